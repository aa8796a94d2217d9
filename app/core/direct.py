"""The canonical billing model: customers, subscriptions, prices, coupons; for every provider and the wire.

Parses strictly and says where a mistake is; decides nothing about offers.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from app.core.calendar import Interval
from app.core.email_address import MAX_KNOWN, may_be_known_by
from app.core.errors import FieldError, InvalidInput
from app.core.fields import (
    NO_SUCH_FIELD,
    Country,
    Currency,
    Id,
    Metadata,
    Minor,
    Moment,
    OptionalText,
    Percent,
    Shape,
    dotted,
    field_errors,
    refusal,
    whole,
)
from app.core.money import Money

MAX_SUBSCRIPTIONS = 20
MAX_ITEMS = 50
# Contact details serve the screen in front of the customer; they go to no record, rule or webhook.
UNRECORDED = frozenset({"name", "last_name", "phone"})


Email = Annotated[str, Field(min_length=3, max_length=MAX_KNOWN, json_schema_extra={"pattern": r"^\S+@\S+$"})]


class DirectAddress(Shape):
    """A billing address; the first one with a country decides the customer's."""

    line1: OptionalText = None
    line2: OptionalText = None
    city: OptionalText = None
    state: OptionalText = None
    postal_code: OptionalText = None
    country: Country | None = None


Addresses = Annotated[list[DirectAddress], Field(max_length=20)]


class DirectCustomer(Shape):
    """Who is leaving. `name`, `last_name` and `phone` are for the screen only: see `to_record`."""

    id: Id
    email: Annotated[Email | None, Field(repr=False)] = None
    name: Annotated[OptionalText, Field(repr=False)] = None
    last_name: Annotated[OptionalText, Field(repr=False)] = None
    phone: Annotated[OptionalText, Field(repr=False)] = None
    currency: Currency | None = None
    addresses: Annotated[Addresses | None, Field(repr=False)] = None
    metadata: Annotated[Metadata | None, Field(repr=False)] = None

    @field_validator("email")
    @classmethod
    def _is_an_address(cls, email: str | None) -> str | None:
        if email is not None and not may_be_known_by(email):
            raise refusal("Must be an email address.")
        return email

    @property
    def country(self) -> str | None:
        """Billing country, ISO 3166-1 alpha-2."""
        return next((address.country for address in self.addresses or () if address.country), None)

    def to_record(self) -> dict[str, Any]:
        """The customer as records and webhooks may show it: without name and phone."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(UNRECORDED))


class DurationConfig(Shape):
    """A billing interval: every `interval_count` `interval`s."""

    interval: Interval
    interval_count: Annotated[int, *whole(at_least=1, at_most=3650)] = 1


class Amount(Shape):
    """A unit price in the smallest unit of its currency. A tiered one has no usable unit price."""

    model: Literal["fixed", "tiered"] = "fixed"
    value: Annotated[Minor | None, Field(validate_default=True)] = None
    currency: Currency | None = None

    @field_validator("value")
    @classmethod
    def _fixed_needs_value(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None and info.data.get("model") == "fixed":
            raise PydanticCustomError("missing", "This field is required.")
        return value


class DirectPrice(Shape):
    """What one unit of an item costs, how often."""

    id: Id
    type: Literal["standalone", "product"] | None = None
    active: bool | None = None
    product_id: Id | None = None
    name: OptionalText = None
    description: OptionalText = None
    duration: DurationConfig | None = None
    amount: Amount
    metadata: Metadata | None = None

    @property
    def money(self) -> Money | None:
        """The price of one unit; None where it is tiered or its currency is not known."""
        if self.amount.model == "tiered" or self.amount.value is None or self.amount.currency is None:
            return None
        return Money(self.amount.value, self.amount.currency)

    def with_currency(self, currency: str) -> Self:
        """The same price, in `currency` if it names none."""
        if self.amount.currency is not None:
            return self
        return self.model_copy(update={"amount": self.amount.model_copy(update={"currency": currency})})


class DirectCoupon(Shape):
    """A price reduction: percent or amount (smallest unit), once, for some months, or for good."""

    id: Id | None = None
    name: OptionalText = None
    percent_off: Percent | None = None
    amount_off: Minor | None = None
    currency: Currency | None = None
    duration: Literal["once", "repeating", "forever"] | None = None
    duration_in_months: Annotated[int, *whole(at_least=1, at_most=1200)] | None = None
    metadata: Metadata | None = None

    @field_validator("amount_off")
    @classmethod
    def _percent_or_amount(cls, amount: int | None, info: ValidationInfo) -> int | None:
        if amount is not None and info.data.get("percent_off") is not None:
            raise refusal("Give percentOff or amountOff, not both.")
        return amount

    def reduce(self, price: Money) -> Money:
        """The price with this coupon; unchanged where it gives nothing off in that currency."""
        if self.percent_off is not None:
            return price.times_percent(self.percent_off)
        if self.amount_off is not None and self.currency in (None, price.currency):
            return price.minus(Money(self.amount_off, price.currency))
        return price


class DirectDiscount(Shape):
    """A coupon at work on a subscription."""

    id: Id | None = None
    coupon: DirectCoupon | None = None
    start: Moment | None = None
    end: Moment | None = None

    def is_active(self, now: datetime) -> bool:
        """True from `start` to just before `end`; a missing one is no bound."""
        return (self.start is None or self.start <= now) and (self.end is None or now < self.end)

    def with_currency(self, currency: str) -> Self:
        """The same discount, its amount off in `currency` if it names none."""
        if self.coupon is None or self.coupon.amount_off is None or self.coupon.currency is not None:
            return self
        return self.model_copy(update={"coupon": self.coupon.model_copy(update={"currency": currency})})


class DirectSubscriptionItem(Shape):
    """One line of a subscription."""

    id: Id | None = None
    price: DirectPrice
    quantity: Annotated[int, *whole(at_least=0, at_most=1_000_000)] = 1

    def total(self) -> Money | None:
        """Unit price times quantity; None where the unit price is not usable."""
        money = self.price.money
        return money.times(self.quantity) if money else None


class Period(Shape):
    """A stretch of time, its end not before its start."""

    start: Moment
    end: Moment

    @field_validator("end")
    @classmethod
    def _ends_after_start(cls, end: datetime, info: ValidationInfo) -> datetime:
        if "start" in info.data and end < info.data["start"]:
            raise refusal("Must not be before start.")
        return end


class OpenPeriod(Shape):
    """A stretch of time that may have no end yet."""

    start: Moment
    end: Moment | None = None

    @field_validator("end")
    @classmethod
    def _ends_after_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        if end is not None and "start" in info.data and end < info.data["start"]:
            raise refusal("Must not be before start.")
        return end


class Active(Shape):
    name: Literal["active"] = "active"
    current_period: Period


class Trial(Shape):
    name: Literal["trial"] = "trial"
    trial: Period
    current_period: Period | None = None


class Paused(Shape):
    name: Literal["paused"] = "paused"
    pause: OpenPeriod
    current_period: Period | None = None


class Canceled(Shape):
    name: Literal["canceled"] = "canceled"
    canceled_at: Moment


class Unpaid(Shape):
    name: Literal["unpaid"] = "unpaid"
    current_period: Period | None = None


class Future(Shape):
    name: Literal["future"] = "future"
    current_period: Period | None = None


SubscriptionStatus = Annotated[
    Active | Trial | Paused | Canceled | Unpaid | Future, Field(discriminator="name")
]


class Obstacle(StrEnum):
    """What an adapter saw of a subscription that no status says, and that makes every change unsafe.

    Such a subscription is touched by nobody but a person (DESIGN §3, manual mode).
    """

    SCHEDULE = "schedule"  # a schedule or ramp governs it, and would overwrite what we change
    PENDING_UPDATE = "pending_update"  # a change waits for a payment or for somebody's word
    SHARED_BILLING = "shared_billing"  # billed together with other subscriptions
    SEVERAL_ITEMS = "several_items"  # more of them than the items show
    CONTRACT = "contract"  # a contract term with rules of its own for ending it
    UNPAID = "unpaid"  # it runs, and a payment for it is overdue
    FOREIGN_PAUSE = "foreign_pause"  # a pause of another kind than ours
    UNKNOWN_STATE = "unknown_state"  # a state that the adapter has no word for


def _read_obstacles(value: object) -> object:
    """As they come back from where a session's world is stored."""
    names = {str(one): one for one in Obstacle}
    return tuple(names.get(one, one) for one in value) if isinstance(value, list) else value


class DirectSubscription(Shape):
    """What the customer pays for, and where it stands. `end` is set once it is to end, or has ended."""

    id: Id
    customer_id: Id | None = None
    start: Moment
    status: SubscriptionStatus
    items: Annotated[list[DirectSubscriptionItem], Field(min_length=1, max_length=MAX_ITEMS)]
    duration: DurationConfig | None = None
    end: Moment | None = None
    discounts: Annotated[list[DirectDiscount], Field(max_length=20)] | None = None
    metadata: Metadata | None = None
    # An adapter's to set; on the wire there is no such field.
    obstacles: SkipJsonSchema[Annotated[tuple[Obstacle, ...] | None, BeforeValidator(_read_obstacles)]] = None

    @property
    def interval(self) -> DurationConfig | None:
        """How often it is billed: the subscription's own word, else its first price's."""
        return self.duration or self.items[0].price.duration

    @property
    def period_end(self) -> datetime | None:
        """When what is paid for (or tried for free) runs out; None where that is not known or it is over."""
        match self.status:
            case Trial(trial=trial):
                return trial.end
            case Canceled():
                return None
            case status:
                return status.current_period.end if status.current_period else None

    def price_total(self) -> Money | None:
        """What one interval costs before discounts; None where a price is tiered or currencies differ."""
        totals = [item.total() for item in self.items]
        known = [total for total in totals if total is not None]
        if len(known) < len(totals) or len({total.currency for total in known}) > 1:
            return None
        return Money(sum(total.minor for total in known), known[0].currency)

    @property
    def currency(self) -> str | None:
        """The one that all its prices are in, tiered ones too; None where they name none, or several."""
        named = {item.price.amount.currency for item in self.items}
        return named.pop() if len(named) == 1 else None

    def active_discount(self, now: datetime) -> DirectDiscount | None:
        """The first discount that is at work now."""
        return next((discount for discount in self.discounts or () if discount.is_active(now)), None)

    def with_currency(self, currency: str) -> Self:
        """The same subscription with `currency` wherever a price or an amount off names none."""
        items = [item.model_copy(update={"price": item.price.with_currency(currency)}) for item in self.items]
        discounts = self.discounts and [discount.with_currency(currency) for discount in self.discounts]
        return self.model_copy(update={"items": items, "discounts": discounts})

    def is_scheduled_to_end(self, now: datetime) -> bool:
        """True while it still runs, but already has a date on which it ends."""
        return self.status.name in ("active", "trial") and self.end is not None and self.end > now


_CUSTOMER: TypeAdapter[DirectCustomer] = TypeAdapter(DirectCustomer)
_SUBSCRIPTIONS: TypeAdapter[list[DirectSubscription]] = TypeAdapter(
    Annotated[list[DirectSubscription], Field(max_length=MAX_SUBSCRIPTIONS)]
)


def parse_customer(obj: object, path: str = "customer") -> DirectCustomer:
    """Read a customer from JSON as it came. Raises InvalidInput whose fields start with `path`."""
    try:
        return _CUSTOMER.validate_python(obj, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidInput(fields=field_errors(error, obj, path=path)) from None


def parse_subscriptions(
    obj: object, customer: DirectCustomer | None, path: str = "subscriptions"
) -> list[DirectSubscription]:
    """Read subscriptions from JSON as it came; currencies left out are the customer's.

    Raises InvalidInput whose fields start with `path`, also where no currency is known or an id comes twice.
    """
    try:
        subscriptions = _SUBSCRIPTIONS.validate_python(obj, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidInput(fields=field_errors(error, obj, path=path)) from None
    if customer is not None and customer.currency is not None:
        subscriptions = [subscription.with_currency(customer.currency) for subscription in subscriptions]
    if problems := [
        *_without_currency(subscriptions, path),
        *_repeated_ids(subscriptions, path),
        *_with_obstacles(subscriptions, path),
    ]:
        raise InvalidInput(fields=problems)
    return subscriptions


def _without_currency(subscriptions: Sequence[DirectSubscription], path: str) -> list[FieldError]:
    return [
        FieldError(
            dotted((number, "items", position, "price", "amount", "currency"), path),
            "Give a currency here or on the customer.",
        )
        for number, subscription in enumerate(subscriptions)
        for position, item in enumerate(subscription.items)
        if item.price.amount.currency is None
    ]


def _with_obstacles(subscriptions: Sequence[DirectSubscription], path: str) -> list[FieldError]:
    return [
        FieldError(dotted((number, "obstacles"), path), NO_SUCH_FIELD)
        for number, subscription in enumerate(subscriptions)
        if "obstacles" in subscription.model_fields_set
    ]


def _repeated_ids(subscriptions: Sequence[DirectSubscription], path: str) -> list[FieldError]:
    ids = [subscription.id for subscription in subscriptions]
    return [
        FieldError(dotted((number, "id"), path), "An earlier subscription has the same id.")
        for number, subscription_id in enumerate(ids)
        if subscription_id in ids[:number]
    ]
