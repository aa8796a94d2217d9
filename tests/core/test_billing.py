from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.billing import (
    BillingProvider,
    Cancel,
    Change,
    Discount,
    Pause,
    PlanChange,
    ProviderRefused,
    ProviderUnavailable,
    Resume,
    TrialExtension,
    Uncancel,
    dump_change,
    is_in_place,
    parse_change,
)
from app.core.direct import DirectPrice, parse_subscriptions
from app.core.errors import InvalidInput
from tests.core.shapes import SUBSCRIPTION

NOW = datetime(2025, 4, 10, tzinfo=UTC)
LATER = datetime(2025, 6, 1, 12, tzinfo=UTC)
ACTIVE = SUBSCRIPTION["status"]
CANCELED = {"name": "canceled", "canceledAt": "2025-04-10"}
PRICE = DirectPrice.model_validate({"id": "price_lite", "amount": {"value": 900, "currency": "USD"}})


def paused(end: str | None) -> dict[str, Any]:
    return {"status": {"name": "paused", "pause": {"start": "2025-04-10", **({"end": end} if end else {})}}}


def trial(end: str) -> dict[str, Any]:
    return {"status": {"name": "trial", "trial": {"start": "2025-04-01", "end": end}}}


def discounted(start: str | None = None, end: str | None = None, **coupon: object) -> dict[str, Any]:
    return {"discounts": [{"coupon": coupon, "start": start, "end": end}]}


HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
FIVE_OFF = Discount(amount_off_minor=500, currency="USD", duration="once")


@pytest.mark.parametrize(
    ("change", "state", "is_there"),
    [
        (Cancel(timing="period_end"), {}, False),
        (Cancel(timing="period_end"), {"end": "2025-05-01"}, True),
        (Cancel(timing="period_end"), {"status": CANCELED}, True),
        (Cancel(timing="now"), {"end": "2025-05-01"}, False),
        (Cancel(timing="now"), {"end": "2025-04-10"}, True),
        (Cancel(timing="now"), {"status": CANCELED}, True),
        (Uncancel(), {}, True),
        (Uncancel(), {"end": "2025-05-01"}, False),
        (Uncancel(), {"status": CANCELED}, False),
        (HALF, {"discounts": []}, False),
        (HALF, {"discounts": [{"id": "di_1"}]}, False),
        (HALF, discounted(percentOff=50), True),
        (HALF, discounted(percentOff=50.0, duration="repeating"), True),
        (HALF, discounted(percentOff=50, duration="once"), False),
        (HALF, discounted(percentOff=10), False),
        (HALF, discounted(amountOff=1500, currency="USD"), True),  # of 29.99, half a cent goes up
        (HALF, discounted(amountOff=1499, currency="USD"), False),
        (HALF, discounted(amountOff=1500, currency="EUR"), False),
        (HALF, discounted(amountOff=1500, currency="USD", duration="once"), False),
        (HALF, discounted(end="2025-04-01", percentOff=50), False),
        (HALF, discounted(start="2025-05-01", percentOff=50), False),
        (FIVE_OFF, discounted(amountOff=500, currency="usd"), True),
        (FIVE_OFF, discounted(amountOff=500, currency="EUR"), False),
        (FIVE_OFF, discounted(amountOff=499, currency="USD"), False),
        (Discount(coupon_id="HALF", duration="once"), discounted(id="HALF", percentOff=50), True),
        (Discount(coupon_id="HALF", duration="once"), discounted(id="OTHER", percentOff=50), False),
        (Pause(resumes_at=LATER), {}, False),
        (Pause(resumes_at=LATER), paused("2025-06-01T12:00:00Z"), True),
        (Pause(resumes_at=LATER), paused("2025-06-01"), True),
        (Pause(resumes_at=LATER), paused("2025-07-01"), False),
        (Pause(resumes_at=LATER), paused(None), False),
        (Resume(), {}, True),
        (Resume(), paused("2025-06-01"), False),
        (Resume(), {"status": CANCELED}, False),
        (PlanChange(price=PRICE), {}, False),
        (PlanChange(price=PRICE), {"items": [{"price": PRICE.to_wire()}]}, True),
        (PlanChange(price=PRICE), {"items": [{"price": PRICE.to_wire()}, *SUBSCRIPTION["items"]]}, False),
        (TrialExtension(days=7, ends_at=LATER), {}, False),
        (TrialExtension(days=7, ends_at=LATER), trial("2025-05-25"), False),
        (TrialExtension(days=7, ends_at=LATER), trial("2025-06-01T12:00:00Z"), True),
        (
            TrialExtension(days=7, ends_at=LATER + timedelta(microseconds=5)),
            trial("2025-06-01T12:00:00Z"),
            True,
        ),
        (TrialExtension(days=7, ends_at=LATER), trial("2025-06-08"), True),
    ],
)
def test_a_change_is_recognised_in_what_was_read_back(
    change: Change, state: dict[str, Any], is_there: bool
) -> None:
    (read,) = parse_subscriptions([{**SUBSCRIPTION, **state}], None)
    assert is_in_place(change, read, NOW) is is_there


CHANGES: list[Change] = [
    Cancel(timing="period_end", at=LATER),
    Cancel(timing="now"),
    Uncancel(),
    HALF,
    FIVE_OFF,
    Discount(coupon_id="HALF", percent_off=Decimal("12.5"), duration="forever"),
    Pause(resumes_at=LATER),
    Resume(),
    PlanChange(price=PRICE),
    TrialExtension(days=14, ends_at=LATER),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
def test_a_stored_change_reads_back(change: Change) -> None:
    assert parse_change(dump_change(change)) == change


def test_a_change_on_the_wire() -> None:
    assert dump_change(HALF) == {"type": "discount", "percentOff": 50, "duration": "repeating", "months": 3}
    assert dump_change(Pause(resumes_at=LATER)) == {"type": "pause", "resumesAt": "2025-06-01T12:00:00Z"}


@pytest.mark.parametrize(
    ("obj", "field"),
    [
        (None, "change"),
        ({}, "change.type"),
        ({"type": "refund"}, "change.type"),
        ({"type": "cancel"}, "change.timing"),
        ({"type": "pause", "resumesAt": "soon"}, "change.resumesAt"),
        ({"type": "pause", "resumes_at": "2025-06-01"}, "change.resumesAt"),
        ({"type": "discount", "duration": "once"}, "change"),
        ({"type": "discount", "duration": "once", "amountOffMinor": 5}, "change.currency"),
        ({"type": "discount", "duration": "repeating", "percentOff": 5}, "change.months"),
        ({"type": "discount", "duration": "once", "percentOff": 5, "months": 2}, "change.months"),
        (
            {"type": "discount", "duration": "once", "percentOff": 5, "amountOffMinor": 5, "currency": "USD"},
            "change",
        ),
        ({"type": "trial_extension", "days": 0, "endsAt": "2025-06-01"}, "change.days"),
        ({"type": "plan_change", "price": {"id": "p"}}, "change.price.amount"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(obj: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_change(obj)
    assert field in {error.field for error in caught.value.fields}


def test_provider_errors_say_whether_to_try_again() -> None:
    assert ProviderUnavailable("HTTP 429", retry_after=3).retry_after == 3
    refusal = ProviderRefused("That coupon has run out.", "coupon_expired")
    assert (refusal.user_message, refusal.reason) == ("That coupon has run out.", "coupon_expired")


def test_something_else_is_no_provider() -> None:
    assert not isinstance(object(), BillingProvider)
