"""Wraps the whole application: one log line a request, and what every answer carries.

The log never holds a token, a query string, an address or anything a person typed.
"""

import logging
import re
import secrets
import time
from urllib.parse import quote_from_bytes

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("leavewell.access")

SECRET = re.compile(r"(?<![^/])(cl|ck|unch)_[^/]*", re.IGNORECASE)
QUIET = frozenset({"/healthz"})
LONGEST_PATH = 200
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
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name.lower() for name, _ in message["headers"]}
                missing = [header for header in EVERY_ANSWER if header[0] not in present]
                message["headers"] = [*message["headers"], *missing, (b"x-request-id", request_id.encode())]
            elif message["type"] == "http.response.body" and method == "HEAD":
                message["body"] = b""
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_on)
        finally:
            level = logging.DEBUG if path in QUIET else logging.INFO
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            log.log(level, "request", method=method, path=path, status=status, ms=milliseconds)
            structlog.contextvars.unbind_contextvars("request_id")


def redact(path: str) -> str:
    """Return a path as it may be kept: tokens masked, nothing unprintable, not endless."""
    masked = SECRET.sub(r"\1_***", path[:LONGEST_PATH])
    return "".join(character if character.isprintable() else "?" for character in masked)
