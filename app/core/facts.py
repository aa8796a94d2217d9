"""The attributes that rules and copy see, built from what is known of customer, subscription, history and session.

Names with a dot are ours and stand in `BUILT_INS`; the merchant's own are bare.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from app.core.calendar import months_between
from app.core.direct import DirectCustomer, DirectSubscription, Trial
from app.core.errors import FieldError, InvalidInput
from app.core.fields import dotted, is_clean

Scalar = str | int | float | bool
Fact = Scalar | datetime
Facts = Mapping[str, Fact]
FactType = Literal["text", "number", "boolean", "date"]

MAX_ATTRIBUTES = 100
MAX_NAME = 100
MAX_VALUE = 1000
MAX_NUMBER = 10**15

BUILT_INS: Mapping[str, FactType] = MappingProxyType(
    {
        "customer.id": "text",
        "customer.email": "text",
        "customer.country": "text",
        "customer.currency": "text",
        "subscription.id": "text",
        "subscription.plan_id": "text",
        "subscription.plan_name": "text",
        "subscription.product_id": "text",
        "subscription.price": "number",
        "subscription.price_minor": "number",
        "subscription.currency": "text",
        "subscription.interval": "text",
        "subscription.interval_count": "number",
        "subscription.quantity": "number",
        "subscription.status": "text",
        "subscription.start": "date",
        "subscription.period_end": "date",
        "subscription.tenure_days": "number",
        "subscription.tenure_months": "number",
        "subscription.has_discount": "boolean",
        "subscription.trial_days_left": "number",
        "history.sessions": "number",
        "history.pauses_12m": "number",
        "history.discounts_12m": "number",
        "history.saves_12m": "number",
        "history.days_since_last_pause": "number",
        "history.days_since_last_discount": "number",
        "session.reason": "text",
        "session.follow_up": "text",
        "session.mode": "text",
        "session.locale": "text",
    }
)


@dataclass(frozen=True, slots=True)
class History:
    """What this customer did in earlier sessions here. Counts reach back twelve months, `sessions` over all time.

    `last_by_kind`: when an offer of each kind was last accepted. `paused_by_us`: the pause that runs now is ours.
    `break_ends_at`: until when a break of paid time lasts, during which the subscription is active.
    """

    sessions: int = 0
    pauses_12m: int = 0
    discounts_12m: int = 0
    saves_12m: int = 0
    last_pause_ended_at: datetime | None = None
    last_discount_at: datetime | None = None
    last_by_kind: Mapping[str, datetime] = field(default_factory=dict)
    paused_by_us: bool = False
    break_ends_at: datetime | None = None
    trial_extensions: int = 0


@dataclass(frozen=True, slots=True)
class Attributes:
    """A merchant's attributes, sifted: what rules may use, and what was left out, each with the reason."""

    kept: Mapping[str, Scalar]
    dropped: tuple[FieldError, ...] = ()


def sift_attributes(raw: Mapping[str, object]) -> Attributes:
    """Keep the flat string, number and boolean values, at most 100; say of every other name why it is left out.

    For answers of a merchant's endpoint and for metadata, where one bad value must not spoil the flow.
    """
    kept: dict[str, Scalar] = {}
    dropped: list[FieldError] = []
    for name, value in raw.items():
        problem = _problem_with(name, value)
        if problem is None and len(kept) >= MAX_ATTRIBUTES:
            problem = f"There are more than {MAX_ATTRIBUTES} attributes."
        if problem is None and isinstance(value, str | int | float):
            kept[name] = value
        elif problem is not None and len(dropped) < MAX_ATTRIBUTES:
            dropped.append(FieldError(str(name)[:MAX_NAME], problem))
    return Attributes(kept, tuple(dropped))


def parse_attributes(obj: object, path: str = "customerAttributes") -> dict[str, Scalar]:
    """Read attributes where the sender can still put them right. Raises InvalidInput that names each bad one."""
    if not isinstance(obj, Mapping):
        raise InvalidInput(fields=[FieldError(path, "Must be an object of strings, numbers and booleans.")])
    sifted = sift_attributes(obj)
    if sifted.dropped:
        raise InvalidInput(fields=[FieldError(dotted((d.field,), path), d.message) for d in sifted.dropped])
    return dict(sifted.kept)


def _problem_with(name: object, value: object) -> str | None:
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not is_clean(name):
        return f"A name has 1 to {MAX_NAME} characters, none of them control characters."
    if "." in name:
        return "A name must not contain a dot: those are the built-in ones."
    match value:
        case str() if len(value) > MAX_VALUE:
            return f"Must have at most {MAX_VALUE} characters."
        case str() if not is_clean(value, allowed="\n\t"):
            return "Control characters are not allowed here, except line feeds and tabs."
        case float() if not math.isfinite(value):
            return "Must be a finite number."
        case bool() | str():
            return None
        case int() | float():
            return None if abs(value) <= MAX_NUMBER else "Must be a smaller number."
        case None:
            return "Has no value; leave it out."
        case _:
            return "Must be a string, a number or a boolean: nested values are not used."


def build_facts(
    *,
    customer: DirectCustomer | None,
    subscription: DirectSubscription | None,
    history: History,
    reason: str | None,
    attributes: Mapping[str, object],
    mint_attributes: Mapping[str, object],
    now: datetime,
    follow_up: str | None = None,
    mode: str | None = None,
    locale: str | None = None,
) -> Facts:
    """Everything that a rule may ask, by name; what is not known is absent, never null.

    On the same bare name the endpoint's `attributes` beat `mint_attributes`, and those the customer's metadata, and
    that the subscription's. Prices are in major units (`subscription.price`) and in the smallest (`price_minor`).
    """
    facts: dict[str, Fact] = {}
    for source in (
        subscription.metadata if subscription else None,
        customer.metadata if customer else None,
        mint_attributes,
        attributes,
    ):
        facts.update(sift_attributes(source or {}).kept)
    for name, value in (
        *_customer(customer),
        *_subscription(subscription, now),
        *_history(history, now),
        ("session.reason", reason),
        ("session.follow_up", follow_up),
        ("session.mode", mode),
        ("session.locale", locale),
    ):
        if value is not None:
            facts[name] = value
    return MappingProxyType(facts)


def _customer(customer: DirectCustomer | None) -> Iterator[tuple[str, Fact | None]]:
    if customer is None:
        return
    yield "customer.id", customer.id
    yield "customer.email", customer.email
    yield "customer.country", customer.country
    yield "customer.currency", customer.currency


def _subscription(
    subscription: DirectSubscription | None, now: datetime
) -> Iterator[tuple[str, Fact | None]]:
    if subscription is None:
        return
    first = subscription.items[0]
    total, interval = subscription.price_total(), subscription.interval
    yield "subscription.id", subscription.id
    yield "subscription.plan_id", first.price.id
    yield "subscription.plan_name", first.price.name
    yield "subscription.product_id", first.price.product_id
    yield "subscription.price", float(total.decimal()) if total else None
    yield "subscription.price_minor", total.minor if total else None
    yield "subscription.currency", total.currency if total else first.price.amount.currency
    yield "subscription.interval", interval.interval if interval else None
    yield "subscription.interval_count", interval.interval_count if interval else None
    yield "subscription.quantity", first.quantity
    yield "subscription.status", subscription.status.name
    yield "subscription.start", subscription.start
    yield "subscription.period_end", subscription.period_end
    yield "subscription.tenure_days", _days(now - subscription.start)
    yield "subscription.tenure_months", months_between(subscription.start, now)
    yield "subscription.has_discount", subscription.active_discount(now) is not None
    if isinstance(subscription.status, Trial):
        yield "subscription.trial_days_left", max(math.ceil((subscription.status.trial.end - now) / DAY), 0)


def _history(history: History, now: datetime) -> Iterator[tuple[str, Fact | None]]:
    yield "history.sessions", history.sessions
    yield "history.pauses_12m", history.pauses_12m
    yield "history.discounts_12m", history.discounts_12m
    yield "history.saves_12m", history.saves_12m
    if history.last_pause_ended_at is not None:
        yield "history.days_since_last_pause", _days(now - history.last_pause_ended_at)
    if history.last_discount_at is not None:
        yield "history.days_since_last_discount", _days(now - history.last_discount_at)


DAY = timedelta(days=1)


def _days(passed: timedelta) -> int:
    """Whole days; 0 for what lies ahead."""
    return max(passed // DAY, 0)
