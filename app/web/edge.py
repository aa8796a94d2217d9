"""Wraps the whole application: one log line a request, and what every answer carries.

The log never holds a token, a query string, an address or anything a person typed.
"""

import logging
import re
import secrets
import time
from urllib.parse import quote_from_bytes

import structlog
from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.core.errors import AppError
from app.web.problems import problem

log = structlog.get_logger("leavewell.access")

# Wherever one may begin: links get pasted with a bracket or a space before them, and keys in place of an id.
SECRET = re.compile(r"(?<![a-z0-9_])(?:(cl|ck|unch|rcp)_[^/]*|(live|test)_[\w-]{16,})", re.IGNORECASE)
QUIET = frozenset({"/healthz"})
LONGEST_PATH = 200
LARGEST_HEAD = 64 * 1024  # bytes of address and headers; uvicorn's parser has no limit of its own
EVERY_ANSWER = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
ASCII = bytes(range(128)).decode()


class Edge:
    """ASGI wrapper around the router itself, so that unknown addresses are logged too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], redact(scope["path"])  # the router rewrites scope["path"]
        if not scope["query_string"].isascii():
            # A URL is ASCII (RFC 3986). Raw bytes are meant as what they would be encoded; Litestar would stumble.
            scope["query_string"] = quote_from_bytes(scope["query_string"], safe=ASCII).encode()
        request_id = secrets.token_hex(8)
        started = time.perf_counter()
        status, has_begun = 500, False

        async def send_on(message: Message) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                present = {name.lower() for name, _ in message["headers"]}
                missing = [header for header in EVERY_ANSWER if header[0] not in present]
                message["headers"] = [*message["headers"], *missing, (b"x-request-id", request_id.encode())]
            elif message["type"] == "http.response.body" and method == "HEAD":
                message["body"] = b""
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await (refuse_head if has_large_head(scope) else self._app)(scope, receive, send_on)
        except Exception as error:
            refusal = refusal_in(error) if has_begun else None
            if refusal is None:
                raise
            # Too late for another answer. The server closes the connection, by which the client knows that this one
            # is not whole.
            log.error("answer broken off", code=refusal.code)
        finally:
            level = logging.DEBUG if path in QUIET else logging.INFO
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            log.log(level, "request", method=method, path=path, status=status, ms=milliseconds)
            structlog.contextvars.unbind_contextvars("request_id")


def has_large_head(scope: HTTPScope) -> bool:
    """Whether address and headers are more than anybody's request needs."""
    lines = sum(len(name) + len(value) for name, value in scope["headers"])
    return lines + len(scope["path"]) + len(scope["query_string"]) > LARGEST_HEAD


async def refuse_head(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 431 without reading any of it."""
    answer = problem(431, "headers_too_large", "The address and headers of the request are too large.")
    await answer.to_asgi_response(None, Request(scope, receive, send))(scope, receive, send)


def refusal_in(error: BaseException | None) -> AppError | None:
    """What of ours was raised while an answer was on its way; Litestar and its task group wrap it."""
    while error is not None and not isinstance(error, AppError):
        if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        else:
            error = error.__cause__
    return error


def redact(path: str) -> str:
    """Return a path as it may be kept: tokens masked, nothing unprintable, not endless."""
    masked = SECRET.sub(lambda found: f"{found[1] or found[2]}_***", path[:LONGEST_PATH])
    return "".join(character if character.isprintable() else "?" for character in masked)
