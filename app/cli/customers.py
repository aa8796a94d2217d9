"""The customer of a simulation, read from a JSON file in the Direct shapes; every mistake with its path."""

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from app.cli.console import Failed
from app.core.billing import Capability
from app.core.direct import (
    MAX_SUBSCRIPTIONS,
    DirectCoupon,
    DirectCustomer,
    DirectPrice,
    DirectSubscription,
    parse_subscriptions,
)
from app.core.errors import InvalidInput
from app.core.facts import History, parse_attributes
from app.core.fields import Shape, field_errors
from app.core.world import World
from app.links.forms import Locale

Count = Annotated[int, Field(ge=0, le=10_000)]


class HistoryShape(Shape):
    """What the customer did here before, under the names that rules use."""

    model_config = ConfigDict(alias_generator=None)

    sessions: Count = 0
    pauses_12m: Count = 0
    discounts_12m: Count = 0
    saves_12m: Count = 0
    days_since_last_pause: Count | None = None
    days_since_last_discount: Count | None = None
    paused_by_us: bool = False
    days_left_of_break: Count | None = None
    trial_extensions: Count = 0

    def at(self, now: datetime) -> History:
        paused_at = _ago(now, self.days_since_last_pause)
        discounted_at = _ago(now, self.days_since_last_discount)
        last = {"pause": paused_at, "discount": discounted_at}
        return History(
            sessions=self.sessions,
            pauses_12m=self.pauses_12m,
            discounts_12m=self.discounts_12m,
            saves_12m=self.saves_12m,
            last_pause_ended_at=paused_at,
            last_discount_at=discounted_at,
            last_by_kind={kind: moment for kind, moment in last.items() if moment is not None},
            paused_by_us=self.paused_by_us,
            break_ends_at=None
            if self.days_left_of_break is None
            else now + timedelta(self.days_left_of_break),
            trial_extensions=self.trial_extensions,
        )


class CustomerFile(Shape):
    """`prices` and `coupons` are what the billing provider would know of those that the flow names."""

    customer: DirectCustomer | None = None
    subscriptions: Annotated[list[DirectSubscription], Field(max_length=MAX_SUBSCRIPTIONS)] = []
    customer_attributes: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    history: HistoryShape = HistoryShape()
    prices: list[DirectPrice] = []
    coupons: list[DirectCoupon] = []
    locale: Locale = "en"
    mode: Literal["live", "test"] = "test"


def read_world(text: str, filename: str, *, capabilities: frozenset[Capability], now: datetime) -> World:
    """What the flow is decided on. Raises Failed, naming the place of each mistake."""
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        place = (
            f"line {error.lineno}, column {error.colno}: " if isinstance(error, json.JSONDecodeError) else ""
        )
        raise Failed(f"{filename}, {place}this is not valid JSON.") from None
    try:
        given = CustomerFile.model_validate(value, by_alias=True, by_name=False)
        raw: list[object] = value.get("subscriptions") or []
        subscriptions = parse_subscriptions(raw, given.customer)
        attributes = {
            **parse_attributes(given.attributes, "attributes"),
            **parse_attributes(given.customer_attributes),
        }
    except ValidationError as error:
        raise _failed(filename, InvalidInput(fields=field_errors(error, value))) from None
    except InvalidInput as error:
        raise _failed(filename, error) from None
    return World(
        mode=given.mode,
        locale=given.locale,
        customer=given.customer,
        subscriptions=tuple(subscriptions),
        prices={price.id: price for price in given.prices},
        coupons={coupon.id: coupon for coupon in given.coupons if coupon.id},
        capabilities=capabilities,
        history={one.id: given.history.at(now) for one in subscriptions},
        attributes=attributes,
    )


def _failed(filename: str, error: InvalidInput) -> Failed:
    return Failed(*(f"{filename}: {found.field or 'the whole'}: {found.message}" for found in error.fields))


def _ago(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)
