"""What may be asked of a billing system, in our words: changes, the protocol, its errors, reading back.

Adapters speak the vendors' words; nothing here knows one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol, Self, assert_never, runtime_checkable

from pydantic import (
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.direct import (
    Canceled,
    DirectCoupon,
    DirectCustomer,
    DirectDiscount,
    DirectPrice,
    DirectSubscription,
    Paused,
    Trial,
)
from app.core.errors import InvalidInput
from app.core.fields import Currency, Id, Minor, Moment, Percent, Shape, field_errors, refusal, whole
from app.core.money import Money

# Some providers keep a date where we asked for an instant; a day apart is the same promise.
DATE_TOLERANCE = timedelta(days=1)
CLOCK_TOLERANCE = timedelta(minutes=5)


class Capability(StrEnum):
    """What a connected provider can do. An offer that needs a missing one is never shown."""

    CANCEL_AT_PERIOD_END = "cancel_at_period_end"
    CANCEL_NOW = "cancel_now"
    UNCANCEL = "uncancel"
    DISCOUNT = "discount"
    PAUSE = "pause"
    PAUSE_TO_ANY_DAY = (
        "pause_to_any_day"  # lets a pause end between two renewals, and be charged at the later one
    )
    RESUME = "resume"
    PLAN_CHANGE = "plan_change"
    TRIAL_EXTENSION = "trial_extension"
    FIND_BY_EMAIL = "find_by_email"
    MOVE_RENEWAL = "move_renewal"  # lets a yearly plan pause: its renewal moves by the paused time


DiscountMonths = Annotated[int, *whole(at_least=1, at_most=1200)]


class Cancel(Shape):
    """End the subscription: at the end of what is paid for, or now. `at` is the date the customer was told."""

    type: Literal["cancel"] = "cancel"
    timing: Literal["period_end", "now"]
    at: Moment | None = None


class Uncancel(Shape):
    """Take a scheduled end away again."""

    type: Literal["uncancel"] = "uncancel"


class Discount(Shape):
    """Reduce the price: by the provider's own coupon, or by a percent or an amount (smallest unit).

    With `coupon_id` the other figures are what the customer was shown of that coupon; the coupon decides.
    """

    type: Literal["discount"] = "discount"
    coupon_id: Id | None = None
    percent_off: Percent | None = None
    amount_off_minor: Minor | None = None
    currency: Annotated[Currency | None, Field(validate_default=True)] = None
    duration: Literal["once", "repeating", "forever"]
    months: Annotated[DiscountMonths | None, Field(validate_default=True)] = None

    @field_validator("currency")
    @classmethod
    def _amount_has_currency(cls, currency: str | None, info: ValidationInfo) -> str | None:
        if currency is None and info.data.get("amount_off_minor") is not None:
            raise PydanticCustomError("missing", "This field is required.")
        return currency

    @field_validator("months")
    @classmethod
    def _repeats_for_months(cls, months: int | None, info: ValidationInfo) -> int | None:
        duration = info.data.get("duration")
        if duration == "repeating" and months is None:
            raise PydanticCustomError("missing", "This field is required.")
        if duration in ("once", "forever") and months is not None:
            raise refusal("Only a repeating discount has months.")
        return months

    @model_validator(mode="after")
    def _says_how_much(self) -> Self:
        if self.percent_off is not None and self.amount_off_minor is not None:
            raise refusal("Give percentOff or amountOffMinor, not both.")
        if self.percent_off is None and self.amount_off_minor is None and self.coupon_id is None:
            raise refusal("Give couponId, percentOff or amountOffMinor.")
        return self


class Pause(Shape):
    """Stop charging, and go on by itself at `resumes_at`.

    With `renews_at` the time is paid for already (a yearly plan): no charge falls into the break, and the renewal
    moves there instead. The subscription then stays active at the provider, and only its renewal date changes.
    """

    type: Literal["pause"] = "pause"
    resumes_at: Moment
    renews_at: Moment | None = None


class Resume(Shape):
    """End a pause now."""

    type: Literal["resume"] = "resume"


class PlanChange(Shape):
    """Put the subscription's one item on another price, keeping its quantity, without proration."""

    type: Literal["plan_change"] = "plan_change"
    price: DirectPrice


class TrialExtension(Shape):
    """Let the trial run `days` longer, counted from its old end: until `ends_at`."""

    type: Literal["trial_extension"] = "trial_extension"
    days: Annotated[int, *whole(at_least=1, at_most=730)]
    ends_at: Moment


Change = Annotated[
    Cancel | Uncancel | Discount | Pause | Resume | PlanChange | TrialExtension, Field(discriminator="type")
]
_CHANGE: TypeAdapter[Change] = TypeAdapter(Change)


def parse_change(obj: object, path: str = "change") -> Change:
    """Read a change from its stored JSON. Raises InvalidInput."""
    try:
        return _CHANGE.validate_python(obj, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidInput(fields=field_errors(error, obj, path=path)) from None


def dump_change(change: Change) -> dict[str, Any]:
    """The JSON of a change, as stored and as sent to action URLs; `parse_change` reads it again."""
    return change.to_wire()


class Preview(Shape):
    """What the provider itself says a change comes to, before it is made. What it does not say is None.

    Prices are those of one interval, discounts taken off. `tax` says how they stand to it: in them, added to them, or,
    with None, not said. `next_charge` is the whole of the next charge, with tax.
    """

    model_config = ConfigDict(strict=False)

    price_now: Money | None = None
    price_after: Money | None = None
    next_charge: Money | None = None
    next_charge_at: Moment | None = None
    tax: Literal["included", "added"] | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """The prices and coupons that offers refer to, by id; what the provider does not know is not in it.

    `previews` are those of one customer's subscriptions, by `preview_key`; `refused` are the changes that it would
    not take, by the same.
    """

    prices: Mapping[str, DirectPrice] = field(default_factory=dict)
    coupons: Mapping[str, DirectCoupon] = field(default_factory=dict)
    previews: Mapping[str, Preview] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()


def preview_key(subscription_id: str, change: Change) -> str:
    """What a preview is kept under: the same for the same change to the same subscription."""
    return f"{subscription_id} {json.dumps(dump_change(change), sort_keys=True)}"


def is_about(subscription_id: str, key: str) -> bool:
    """Whether a `preview_key` is one of this subscription's."""
    return key.startswith(f"{subscription_id} {{")


@dataclass(frozen=True, slots=True)
class PriceList:
    """What a merchant can name in offers: the newest prices and coupons that can be used, at most 100 of each."""

    prices: tuple[DirectPrice, ...] = ()
    coupons: tuple[DirectCoupon, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """Who answers at the other end of a connection. `mode` is None where the vendor does not tell."""

    id: str
    name: str | None = None
    mode: Literal["live", "test"] | None = None


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A vendor's webhook as it arrived. Header names are lower case."""

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class InboundNotice:
    """All that a verified webhook is believed: that something happened to these. What, is read back.

    `event_id` is the vendor's own, the same whenever he sends it again.
    """

    event_id: str
    subscription_ids: tuple[str, ...] = ()
    customer_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """One change to be made. `effect_id` is the idempotency key, the same on every try.

    `shown` is the offer as the customer saw it, None where there was no offer.
    """

    effect_id: str
    session_id: str
    customer_id: str
    subscription_id: str
    mode: Literal["live", "test"]
    change: Change
    shown: Mapping[str, Any] | None
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """The provider took the change. `confirmation` says what proves it: reading back, or his word."""

    reference: str | None = None
    subscription: DirectSubscription | None = None
    confirmation: Literal["read_back", "merchant"] = "read_back"


class ProviderError(Exception):
    """A billing system did not do what was asked. Messages carry no credentials and no customer data."""


class ProviderUnavailable(ProviderError):
    """It did not answer as it should (timeout, network, 429, 5xx), and may have done it: read back, try again.

    `retry_after` is in seconds, where it named a time.
    """

    def __init__(
        self, reason: str = "The billing system did not answer.", *, retry_after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class RateLimited(ProviderUnavailable):
    """It asks everybody who has these credentials for time, and has done nothing (429).

    Where it names no time, that is five seconds.
    """

    def __init__(
        self, reason: str = "The billing system is asked too often.", *, retry_after: float | None = None
    ) -> None:
        super().__init__(reason, retry_after=5.0 if retry_after is None else retry_after)


class NotYet(ProviderUnavailable):
    """It answers, but does not make this change now (a lock, another change under way). Others it would make."""


class CredentialsRefused(ProviderUnavailable):
    """It does not know our credentials, or they may not do this. A person can mend it, so it is tried again.

    `reason` says which permission is missing where the vendor does, and never holds the credential.
    """

    def __init__(self, reason: str = "The billing system does not accept the credentials.") -> None:
        super().__init__(reason)


class InboundRefused(ProviderError):
    """A webhook whose signature does not fit, that is too old, or that cannot be read."""


class ProviderRefused(ProviderError):
    """It said no, and would again. `user_message` is for the customer, `reason` for the merchant."""

    def __init__(self, user_message: str, reason: str | None = None) -> None:
        super().__init__(reason or user_message)
        self.user_message = user_message
        self.reason = reason or user_message


@runtime_checkable
class BillingProvider(Protocol):
    """A connected billing system, for one environment of one organization: live and test never share one.

    Every method may be called at any time, from several processes at once, any number of times. Each keeps its
    own deadline, dials only public (or allowed) addresses, and raises nothing but `ProviderError`:
    `ProviderUnavailable` where a later try may succeed, `ProviderRefused` where it cannot.
    It sees the canonical model only: never a request, HTML, or the database.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do; fixed for the object's life, known without asking the vendor."""
        ...

    @property
    def reads_back(self) -> bool:
        """True: after `apply` the subscription is read and checked with `is_in_place`.

        False: there is nothing to read, and the answer of `apply` is the proof (`direct`).
        """
        ...

    @property
    def has_previews(self) -> bool:
        """False: `preview` has nothing to add to our own reckoning, so nobody need ask."""
        ...

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        """The customer, or None for an unknown id in this mode. Called as a session opens; reads."""
        ...

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        """Everyone with that address, compared without case; empty for nobody.

        Called by the worker for email verification, only with `Capability.FIND_BY_EMAIL`; reads.
        """
        ...

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        """The customer's subscriptions that are not over, at most 20, newest first; empty for unknown ones.

        Called as a session opens; reads.
        """
        ...

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        """One subscription as it is now, canceled ones too; None if unknown or another customer's.

        Called right before and right after a change, and after a crash to learn whether the change happened:
        it must not answer from a cache. Reads.
        """
        ...

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        """Those of the prices and coupons that can be used. Called as a session opens; reads."""
        ...

    async def list_catalog(self) -> PriceList:
        """What offers can name. Called when a merchant edits a flow; reads, in pages, for at most a few seconds."""
        ...

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        """What the change would come to, by the vendor's own reckoning; None where he has none for it.

        Called as a session opens, several at once, within its short deadline; it must change nothing.
        `ProviderRefused`: the change would not be taken.
        """
        ...

    async def check(self) -> Account:
        """Who is at the other end. Called when credentials are saved, and to see whether a mended connection works.

        One harmless read that needs no customer. Raises `CredentialsRefused`, `ProviderUnavailable`.
        """
        ...

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        """Check a webhook by the vendor's own scheme; None for one that is genuine and none of our business.

        Pure but for cryptography: asks nobody. Of the body only ids are believed. Where the scheme has a time, one that
        is more than five minutes off is refused. Two secrets may be set, for rotation; either will do.
        Raises `InboundRefused`, also where the vendor or the connection has no webhooks.
        """
        ...

    async def apply(self, request: ChangeRequest) -> Applied:
        """Make the change. The one method that may move money.

        Called only after the effect row is committed; again, with the same `effect_id`, after any
        `ProviderUnavailable`, crash or kill, possibly by another process. The second call must not do it twice:
        the adapter hands `effect_id` to the vendor as idempotency key; where there is none, it reads first.
        Exactly `request.change` is applied, never what the flow says by now.
        `ProviderUnavailable` leaves open whether it happened; `ProviderRefused`: it did not and will not.
        """
        ...


@runtime_checkable
class AnswersChallenges(Protocol):
    """A billing system that sends webhooks only where somebody has shown that he holds its credentials."""

    def answer_challenge(self, challenge: str) -> str:
        """What the vendor expects for his challenge; no secret, anybody may ask for it.

        Pure but for cryptography. What is signed here can be no webhook of his. Raises `InboundRefused` for anything
        that is no challenge.
        """
        ...


def is_in_place(change: Change, subscription: DirectSubscription, now: datetime) -> bool:
    """Whether the subscription, as just read, shows the change: proof after `apply`, question after a crash."""
    status = subscription.status
    is_over = isinstance(status, Canceled)
    match change:
        case Cancel(timing="now"):
            return is_over or (subscription.end is not None and subscription.end <= now)
        case Cancel():
            return is_over or subscription.end is not None
        case Uncancel():
            return not is_over and subscription.end is None
        case Discount():
            price = subscription.price_total()
            discounts = subscription.discounts or ()
            return any(_is_at_work(given, now) and _is_that(change, given, price) for given in discounts)
        case Pause(renews_at=datetime() as renews_at):
            return not is_over and _is_same_date(subscription.period_end, renews_at)
        case Pause():
            return isinstance(status, Paused) and _is_same_date(status.pause.end, change.resumes_at)
        case Resume():
            return not is_over and not isinstance(status, Paused)
        case PlanChange():
            return len(subscription.items) == 1 and subscription.items[0].price.id == change.price.id
        case TrialExtension():
            return isinstance(status, Trial) and status.trial.end >= change.ends_at.replace(microsecond=0)
        case _:
            assert_never(change)


def _is_at_work(given: DirectDiscount, now: datetime) -> bool:
    """Now, or from a moment on that is not past only because the provider's clock is ahead of ours."""
    return given.is_active(now) or given.is_active(now + CLOCK_TOLERANCE)


def _is_that(wanted: Discount, given: DirectDiscount, price: Money | None) -> bool:
    coupon = given.coupon
    if coupon is None:
        return False
    if wanted.coupon_id is not None:
        return coupon.id == wanted.coupon_id
    if coupon.duration not in (None, wanted.duration):
        return False
    if wanted.percent_off is not None and coupon.amount_off is not None:
        return _is_percent_in_money(wanted.percent_off, coupon, price)
    if wanted.percent_off is not None:
        return coupon.percent_off == wanted.percent_off
    return (coupon.amount_off, coupon.currency) == (wanted.amount_off_minor, wanted.currency)


def _is_percent_in_money(percent_off: Decimal, coupon: DirectCoupon, price: Money | None) -> bool:
    """Some providers keep amounts only: then the percent is what it came to on this subscription's price."""
    if price is None or coupon.currency not in (None, price.currency):
        return False
    return coupon.amount_off == price.minor - price.times_percent(percent_off).minor


def _is_same_date(given: datetime | None, wanted: datetime) -> bool:
    return given is not None and abs(given - wanted) < DATE_TOLERANCE
