"""The one tree of errors: what went wrong, said to a person. Knows nothing of HTTP beyond a status number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_NAMED: Final = 10  # fields in one sentence


@dataclass(frozen=True, slots=True)
class FieldError:
    """One mistake in what was sent: where (`items[0].price.amount.value`; "" is the whole) and what to do."""

    field: str
    message: str


class AppError(Exception):
    """A failure with a name, safe to show: messages never carry secrets, and never echo what was typed.

    A subclass is named for the fact and sets `code` (stable, part of the API), `status` and `user_message`.
    """

    code: str = "error"
    status: int = 500
    user_message: str = "Something went wrong on our side. Please try again."
    retry_after: int | None = None

    def __init__(
        self,
        user_message: str | None = None,
        *,
        fields: Sequence[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        if user_message is not None:
            self.user_message = user_message
        if retry_after is not None:
            self.retry_after = retry_after
        self.fields = tuple(fields)
        super().__init__(self.user_message)

    def __str__(self) -> str:
        return "; ".join([self.user_message, *(f"{error.field}: {error.message}" for error in self.fields)])


class MalformedRequest(AppError):
    code = "malformed_request"
    status = 400
    user_message = "The request could not be read."


class Unauthorized(AppError):
    code = "unauthorized"
    status = 401
    user_message = "The app ID and API key do not belong together, or are missing."


class Forbidden(AppError):
    code = "forbidden"
    status = 403
    user_message = "This is not allowed."


class NotFound(AppError):
    code = "not_found"
    status = 404
    user_message = "There is nothing here."


class Conflict(AppError):
    code = "conflict"
    status = 409
    user_message = "This was changed in the meantime."


class Gone(AppError):
    code = "gone"
    status = 410
    user_message = "This is no longer available."


class PayloadTooLarge(AppError):
    code = "payload_too_large"
    status = 413
    user_message = "The request is too large."


class UnsupportedMediaType(AppError):
    code = "unsupported_media_type"
    status = 415
    user_message = "Send the body as application/json."


class InvalidInput(AppError):
    code = "invalid_input"
    status = 422
    user_message = "Some of what was sent is not valid."

    @property
    def summary(self) -> str:
        """In one sentence, for clients that show no more: what is wrong with the only field, else which ones are."""
        if self.user_message != InvalidInput.user_message or not any(wrong.field for wrong in self.fields):
            return self.user_message
        if len(self.fields) == 1:
            return f"{self.fields[0].field}: {self.fields[0].message}"
        named = list(dict.fromkeys(wrong.field for wrong in self.fields if wrong.field))
        more = " and others" if len(named) > MOST_NAMED else ""
        return f"Not valid: {', '.join(named[:MOST_NAMED])}{more}."


class TooManyRequests(AppError):
    code = "too_many_requests"
    status = 429
    user_message = "Too many requests. Please wait a moment and try again."
    retry_after = 60


class Unavailable(AppError):
    code = "unavailable"
    status = 503
    user_message = "This is not available right now. Please try again in a moment."
    retry_after = 5
