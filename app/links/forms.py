"""The shapes of the cancel-session API: what comes in, read strictly; what goes out. The document is made of them."""

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, WithJsonSchema

from app.core.calendar import is_date_only, iso, parse_moment
from app.core.direct import MAX_SUBSCRIPTIONS, DirectCustomer, DirectSubscription, parse_subscriptions
from app.core.errors import FieldError, InvalidInput
from app.core.facts import MAX_ATTRIBUTES, MAX_NAME, MAX_VALUE, Scalar, parse_attributes
from app.core.fields import Id, Moment, Shape, field_errors, refusal
from app.db.tables.links import CancelLink
from app.links.idempotency import MAX_LENGTH, IdempotencyKey
from app.links.service import LinkOrder, LinkState, Minted, state_of

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_URL: Final = 2048
LOCALE: Final = r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,7}$"

Parsed = TypeVar("Parsed")
Model = TypeVar("Model", bound=BaseModel)


def _instant(value: object) -> datetime:
    if not isinstance(value, str):
        raise refusal("Must be an ISO 8601 date and time in a string, such as 2026-12-01T12:00:00Z.")
    if is_date_only(value):
        raise refusal("Needs a time with an offset, such as 2026-12-01T12:00:00Z.")
    try:
        return parse_moment(value)
    except ValueError as error:
        raise refusal(str(error)) from None


def _locale(tag: str) -> str:
    """A BCP 47 tag; `de_AT` is what many programs write for `de-AT`."""
    if re.fullmatch(LOCALE, tag, re.ASCII) is None:
        raise refusal("Must be a language tag, such as en or de-AT.")
    return tag.replace("_", "-")


def _is_cursor(text: str) -> str:
    read_cursor(text)
    return text


Instant = Annotated[
    datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
Locale = Annotated[str, Field(json_schema_extra={"pattern": LOCALE}), AfterValidator(_locale)]
ReturnUrl = Annotated[str, Field(min_length=1, max_length=MAX_URL, json_schema_extra={"format": "uri"})]
Attributes = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_ATTRIBUTES,
            "propertyNames": {
                "minLength": 1,
                "maxLength": MAX_NAME,
                "pattern": r"^[^.\s\u0000-\u001f\u007f-\u009f][^.\u0000-\u001f\u007f-\u009f]*$",
            },
            "additionalProperties": {
                "anyOf": [
                    {
                        "type": "string",
                        "maxLength": MAX_VALUE,
                        "pattern": r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]*$",
                    },
                    {"type": "number", "minimum": -1e14, "maximum": 1e14},
                    {"type": "boolean"},
                ]
            },
        }
    ),
]


class MintBody(Shape):
    """A cancel link to be made, for one customer."""

    customer_id: Id = Field(
        description="Your id of the customer, as your billing provider knows it.",
        examples=["cus_R4nd0m"],
    )
    expires_at: Instant = Field(
        description="When the link stops working: ISO 8601 with an offset, in the future, at most 30 days ahead.",
        examples=["2026-12-01T12:00:00Z"],
    )
    subscription_id: Id | None = Field(
        default=None,
        description="The subscription to be cancelled. Left out, a customer who has several chooses.",
        examples=["sub_R4nd0m"],
    )
    single_use: bool = Field(
        default=True, description="Whether the first browser to open the link uses it up."
    )
    return_url: ReturnUrl | None = Field(
        default=None,
        description="Where the last page leads back to. Its origin must be on the environment's list. "
        "Left out, the environment's own return URL.",
        examples=["https://app.example.com/billing"],
    )
    locale: Locale | None = Field(
        default=None,
        description="The customer's language as a BCP 47 tag. Left out, the browser's languages decide.",
        examples=["de-AT"],
    )
    customer_attributes: Attributes | None = Field(
        default=None,
        description="What you know of the customer, for rules and copy: flat strings, numbers and booleans. "
        "Names have no dot. They stay on the server; your customer data endpoint overrides them.",
        examples=[{"plan": "Pro", "openTickets": 2}],
    )
    customer: DirectCustomer | None = Field(
        default=None,
        description="With your own billing (`direct`): the customer. Its `id` is the `customerId`.",
    )
    subscriptions: Annotated[list[DirectSubscription], Field(max_length=MAX_SUBSCRIPTIONS)] | None = Field(
        default=None,
        description="With your own billing (`direct`): the customer's subscriptions. "
        "A currency that is left out is the customer's.",
    )


class LinkShape(Shape):
    """A cancel link, as it stands."""

    id: str = Field(examples=["lnk_5d1c0f3a9e7b42d68c15f0aa"])
    customer_id: str = Field(description="Empty once it was erased.", examples=["cus_R4nd0m"])
    subscription_id: str | None = Field(examples=["sub_R4nd0m"])
    single_use: bool
    mode: Literal["live", "test"]
    status: LinkState = Field(
        description="`active`: not opened yet. `exchanged`: opened, and usable again. `consumed`: used up. "
        "`expired` and `revoked`: over.",
    )
    expires_at: Moment
    created_at: Moment
    exchanged_at: Moment | None = Field(description="When it was last opened.")
    consumed_at: Moment | None
    revoked_at: Moment | None
    return_url: str | None
    locale: str | None


class MintedLink(Shape):
    """A new cancel link. Its address is told this once: send the customer there, and do not keep it."""

    id: str = Field(examples=["lnk_5d1c0f3a9e7b42d68c15f0aa"])
    url: str = Field(
        description="Where to send the customer.",
        examples=["https://leave.example.com/cancel/cl_EAAAAAAAAAAAAAAAAAAAAA.c2lnbmF0dXJl"],
        json_schema_extra={"format": "uri"},
    )
    token: str = Field(
        description="The last part of the address.", examples=["cl_EAAAAAAAAAAAAAAAAAAAAA.c2lnbmF0dXJl"]
    )
    expires_at: Moment
    customer_id: str = Field(examples=["cus_R4nd0m"])
    subscription_id: str | None = Field(examples=["sub_R4nd0m"])
    single_use: bool
    mode: Literal["live", "test"] = Field(description="Whose API key it was.")
    status: Literal["active"] = "active"
    created_at: Moment


class LinkPage(Shape):
    """Some of the environment's links, newest first."""

    data: list[LinkShape]
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.")


@dataclass(frozen=True, slots=True)
class LinkQuery:
    """Which links to list."""

    limit: int = DEFAULT_LIMIT
    before: tuple[datetime, str] | None = None
    customer_id: str | None = None


class _Query(Shape):
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: Annotated[str, AfterValidator(_is_cursor)] | None = None
    customer_id: Id | None = None


def read_order(value: object) -> LinkOrder:
    """The order in a mint request's JSON. Raises InvalidInput that names every field that is wrong."""
    problems: list[FieldError] = []
    given: Mapping[str, Any] = value if isinstance(value, dict) else {}
    body = _collect(problems, lambda: _validate(MintBody, value))
    attributes = _collect(problems, lambda: _attributes(given.get("customerAttributes")))
    if body is not None:
        if body.customer is not None and body.customer.id != body.customer_id:
            problems.append(FieldError("customer.id", "Must be the customerId."))
        # A currency may stand on the customer, and an id must not come twice: more than a shape can say.
        subscriptions = _collect(problems, lambda: _subscriptions(given.get("subscriptions"), body.customer))
        if not problems:
            return LinkOrder(
                customer_id=body.customer_id,
                expires_at=body.expires_at,
                subscription_id=body.subscription_id,
                is_single_use=body.single_use,
                return_url=body.return_url,
                locale=body.locale,
                attributes=attributes or {},
                customer=body.customer,
                subscriptions=subscriptions,
            )
    raise InvalidInput(fields=problems)


def read_query(pairs: Sequence[tuple[str, str]]) -> LinkQuery:
    """What a list request asks for. Raises InvalidInput, also for a parameter that there is not or that comes twice."""
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(fields=[FieldError(name[:MAX_NAME], "Give this once.") for name in twice])
    given: dict[str, Any] = dict(pairs)
    if (limit := given.get("limit", "")).isascii() and limit.isdecimal() and len(limit) <= 99:
        given["limit"] = int(limit)
    query = _validate(_Query, given)
    return LinkQuery(query.limit, read_cursor(query.cursor) if query.cursor else None, query.customer_id)


def read_idempotency_key(values: Sequence[str], endpoint: str, body: object) -> IdempotencyKey | None:
    """The key of a request, with a digest of what its body says, however it is spelt. Raises InvalidInput."""
    if not values:
        return None
    key = values[0]
    if len(values) > 1 or not key or len(key) > MAX_LENGTH or not key.isascii() or not key.isprintable():
        message = f"Must be one value of 1 to {MAX_LENGTH} printable ASCII characters."
        raise InvalidInput(fields=[FieldError("Idempotency-Key", message)])
    said = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return IdempotencyKey(_sha256(f"{endpoint}\n{key}"), _sha256(said))


def write_cursor(link: CancelLink) -> str:
    """Names the place just behind a link, in a list that is newest first."""
    return urlsafe_b64encode(f"{iso(link.created_at)} {link.id}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[datetime, str]:
    """The place that a cursor names."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode("ascii")
        created_at, _, link_id = raw.partition(" ")
        if not link_id or not link_id.isprintable():
            raise refusal("Must be the nextCursor of an earlier answer.")
        return parse_moment(created_at), link_id
    except ValueError:  # of base64, of the text in it, of the date
        raise refusal("Must be the nextCursor of an earlier answer.") from None


def link_shape(link: CancelLink, mode: Literal["live", "test"], now: datetime) -> LinkShape:
    return LinkShape(
        id=link.id,
        customer_id=link.customer_id,
        subscription_id=link.subscription_id,
        single_use=link.single_use,
        mode=mode,
        status=state_of(link, now),
        expires_at=link.expires_at,
        created_at=link.created_at,
        exchanged_at=link.exchanged_at,
        consumed_at=link.consumed_at,
        revoked_at=link.revoked_at,
        return_url=link.return_url,
        locale=link.locale,
    )


def minted_link(minted: Minted, mode: Literal["live", "test"], base_url: str) -> MintedLink:
    order = minted.order
    return MintedLink(
        id=minted.id,
        url=f"{base_url}/cancel/{minted.token}",
        token=minted.token,
        expires_at=order.expires_at,
        customer_id=order.customer_id,
        subscription_id=order.subscription_id,
        single_use=order.is_single_use,
        mode=mode,
        created_at=minted.created_at,
    )


def dump(shape: BaseModel) -> str:
    """The JSON text of an answer: camelCase, what is not known is null."""
    return shape.model_dump_json(by_alias=True)


def _validate(model: type[Model], value: object) -> Model:
    """By the names of the wire alone, which `populate_by_name` would not insist on."""
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidInput(fields=field_errors(error, value)) from None


def _attributes(raw: object) -> dict[str, Scalar]:
    # What is not an object is the shape's own mistake, and named there.
    return parse_attributes(raw) if isinstance(raw, dict) else {}


def _subscriptions(raw: object, customer: DirectCustomer | None) -> list[DirectSubscription] | None:
    return None if raw is None else parse_subscriptions(raw, customer)


def _collect(problems: list[FieldError], read: Callable[[], Parsed]) -> Parsed | None:
    try:
        return read()
    except InvalidInput as error:
        problems.extend(error.fields)
        return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
