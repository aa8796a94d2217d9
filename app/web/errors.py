"""The only place that turns an exception into an answer: problem+json under `/v1`, a page everywhere else."""

import secrets
from dataclasses import dataclass
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from app.core.errors import AppError, FieldError, InvalidInput, Unavailable
from app.web.copy import copy_for, negotiate
from app.web.deps import ports_of
from app.web.problems import problem
from app.web.render import Renderer

log = structlog.get_logger("leavewell.errors")

API = "/v1"
UNKNOWN = "The server could not carry this out. It has been noted under {reference}."

# What Litestar itself refuses: its own wording names Python types and internals.
FRAMEWORK = {
    400: ("bad_request", "The request could not be read."),
    401: ("unauthorized", "Authentication is required."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
    413: ("payload_too_large", "The request is too large."),
    415: ("unsupported_media_type", "The body is of a type that is not read here."),
    422: ("invalid_input", "Some of what was sent is not valid."),
    429: ("too_many_requests", "Too many requests. Please wait a moment and try again."),
    503: ("unavailable", "This is not available right now. Please try again in a moment."),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What may be said about an exception."""

    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    retry_after: int | None = None
    allow: str | None = None
    reference: str = ""

    @property
    def headers(self) -> dict[str, str]:
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.allow:
            headers["Allow"] = self.allow
        if self.status == 408:
            headers["Connection"] = "close"  # the rest of that body is still to come; nobody will read it
        return headers


def on_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer for any exception that a handler, a dependency or the router lets through."""
    failure = describe(error)
    if failure.status >= 500:
        # A refusal of our own that nothing caused is said with its code; where it was raised tells nobody more.
        is_refusal = isinstance(error, AppError) and error.__cause__ is None
        log.error(
            "request failed",
            reference=failure.reference,
            code=failure.code,
            exc_info=None if is_refusal else error,
        )
    if is_api(request.scope["path"]):
        return problem(failure.status, failure.code, failure.detail, failure.errors, failure.headers)
    return error_page(request, ports_of(request.app.state).renderer, failure)


def describe(error: Exception) -> Failure:
    """Sort an exception: ours, the framework's, or one that nobody foresaw."""
    if isinstance(error, AppError):
        reference = new_reference() if error.status >= 500 else ""
        said = error.summary if isinstance(error, InvalidInput) else error.user_message
        return Failure(error.status, error.code, said, error.fields, error.retry_after, None, reference)
    if isinstance(error, HTTPException) and (error.status_code < 500 or error.status_code in FRAMEWORK):
        code, detail = FRAMEWORK.get(error.status_code, FRAMEWORK[400])
        retry_after = Unavailable.retry_after if error.status_code in (429, 503) else None
        return Failure(error.status_code, code, detail, _named(error), retry_after, _allow(error))
    reference = new_reference()
    return Failure(500, "internal_error", UNKNOWN.format(reference=reference), reference=reference)


def error_page(request: Request[Any, Any, Any], renderer: Renderer, failure: Failure) -> Response[bytes]:
    """Answer with a page that names nobody: here it is not known whose page this would have been."""
    locale = negotiate(accept_language=request.headers.get("accept-language"))
    copy = copy_for(locale)
    kind = next(key for key in (failure.code, str(failure.status), "other") if f"failure.{key}.title" in copy)
    context = {
        "title": copy.t(f"failure.{kind}.title"),
        "text": copy.t(f"failure.{kind}.text"),
        "reference": failure.reference,
    }
    return renderer.page(
        request, "errors/show.html", context, status=failure.status, locale=locale, headers=failure.headers
    )


def is_api(path: str) -> bool:
    """True for the addresses that speak JSON."""
    return path == API or path.startswith(f"{API}/")


def new_reference() -> str:
    """Return what a person can quote and the log can be searched for."""
    return secrets.token_hex(4).upper()


def _named(error: HTTPException) -> tuple[FieldError, ...]:
    """Return the parameters Litestar found wrong, by name; its messages stay inside."""
    if error.status_code != 400 or not isinstance(error.extra, list):
        return ()
    names = [entry.get("key") for entry in error.extra if isinstance(entry, dict)]
    return tuple(FieldError(str(name), "This value is not valid.") for name in names if name)


def _allow(error: HTTPException) -> str | None:
    return (error.headers or {}).get("allow")
