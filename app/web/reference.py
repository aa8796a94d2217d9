"""How a room describes its API for the published document: operations as data, shapes as the models it works with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.core.errors import (
    AppError,
    MalformedRequest,
    PayloadTooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from app.web.bodies import BodyTooSlow


class ProblemError(BaseModel):
    """One mistake in what was sent."""

    model_config = ConfigDict(extra="forbid")

    field: str = Field(
        description="Where: a path such as `subscriptions[0].items[0].price`, or empty for the whole.",
        examples=["expiresAt"],
    )
    message: str = Field(description="What to do.", examples=["Must be in the future."])


class Problem(BaseModel):
    """Why a request was refused (RFC 9457). Never repeats what was sent."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(examples=["urn:leavewell:problem:invalid_input"], pattern="^urn:leavewell:problem:")
    title: str = Field(description="The status in words.")
    status: int = Field(ge=400, le=599, description="The HTTP status again.")
    detail: str = Field(description="One sentence for a person.")
    code: str = Field(description="Stable; what a program should look at.", examples=["invalid_input"])
    errors: list[ProblemError] = Field(description="Each mistake; empty where it is not about fields.")
    message: str = Field(description="The same as `detail`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A header, or a part of the address."""

    name: str
    place: Literal["header", "path", "query"]
    description: str
    schema: Mapping[str, Any]
    example: Any = None
    is_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """What is answered when all went well."""

    status: int
    description: str
    model: type[BaseModel]
    example: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)  # name, and what it says
    also: Mapping[str, str] = field(default_factory=dict)  # other types to ask for, each with an example


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way of being refused."""

    status: int
    code: str
    detail: str
    when: str

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address. `path` is written as OpenAPI does: `/v1/things/{thing_id}`."""

    method: Literal["get", "post", "put", "patch", "delete"]
    path: str
    id: str
    tag: str
    summary: str
    description: str
    success: Success
    also: Sequence[Success] = ()  # other ways of going well
    parameters: Sequence[Parameter] = ()
    body: type[BaseModel] | None = None
    body_example: Mapping[str, Any] | None = None
    refusals: Sequence[Refusal] = ()


def refusal(error: type[AppError], when: str) -> Refusal:
    """A refusal, worded as the error itself is."""
    return Refusal(error.status, error.code, error.user_message, when)


ALWAYS = (
    refusal(Unauthorized, "App ID or API key is missing, unknown, revoked, or of another environment."),
    refusal(
        TooManyRequests,
        "The key has asked too often, or its address with wrong ones; `Retry-After` has the seconds to wait.",
    ),
    Refusal(
        500,
        "internal_error",
        "The server could not carry this out. It has been noted under 1A2B3C4D.",
        "A fault of ours; the log of the server has it under that reference.",
    ),
    refusal(Unavailable, "The database does not answer just now, or there is more to do than can be done."),
)
WITH_BODY = (
    refusal(MalformedRequest, "The body is not JSON, or two programs could understand it differently."),
    refusal(BodyTooSlow, "The body had not arrived as a whole after 10 seconds."),
    refusal(PayloadTooLarge, "The body is larger than 64 KB."),
    refusal(UnsupportedMediaType, "The body is not sent as `application/json`."),
)
