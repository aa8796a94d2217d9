"""What was promised against what is there, case by case."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.billing import (
    Cancel,
    Change,
    Discount,
    Pause,
    PlanChange,
    Resume,
    TrialExtension,
    Uncancel,
)
from app.core.direct import DirectPrice, DirectSubscription, parse_subscriptions
from app.core.drift import Difference, Drift, Promise, differences

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
YESTERDAY = NOW - timedelta(days=1)
PERIOD = {"start": "2026-11-01", "end": "2026-12-01"}
END = datetime(2026, 12, 1, tzinfo=UTC)
ACTIVE = {"name": "active", "currentPeriod": PERIOD}
RETURN = datetime(2027, 2, 1, tzinfo=UTC)
HALF = {"coupon": {"percentOff": 50, "duration": "repeating", "durationInMonths": 3}}
PRO = {"id": "pro", "amount": {"value": 2900, "currency": "USD"}, "duration": {"interval": "month"}}
LITE = DirectPrice.model_validate({**PRO, "id": "lite"}, by_alias=True)
IS_HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
ONCE = Discount(percent_off=Decimal(20), duration="once")


def subscription(status: dict[str, Any] = ACTIVE, **changes: Any) -> DirectSubscription:
    given = {"id": "sub", "start": "2025-11-01", "status": status, "items": [{"price": PRO}], **changes}
    return parse_subscriptions([given], None)[0]


def paused(until: str) -> dict[str, Any]:
    return {"name": "paused", "pause": {"start": "2026-11-20", "end": until}, "currentPeriod": PERIOD}


def on_trial(until: str) -> dict[str, Any]:
    return {"name": "trial", "trial": {"start": "2026-11-10", "end": until}}


OVER = {"name": "canceled", "canceledAt": "2026-11-21T00:00:00Z"}


@pytest.mark.parametrize(
    ("change", "now_there", "drift"),
    [
        (Cancel(timing="period_end", at=END), subscription(end="2026-12-01"), None),
        (Cancel(timing="period_end", at=END), subscription(OVER), None),
        (Cancel(timing="period_end", at=END), subscription(), Drift.STILL_RUNNING),
        (Cancel(timing="period_end", at=END), subscription(end="2026-12-20"), Drift.OTHER_END),
        (Cancel(timing="period_end"), subscription(end="2026-12-20"), None),
        (Cancel(timing="now"), subscription(OVER), None),
        (Cancel(timing="now"), subscription(end="2026-12-01"), Drift.STILL_RUNNING),
        (Uncancel(), subscription(), None),
        (Uncancel(), subscription(end="2026-12-01"), Drift.ENDS_AGAIN),
        (Uncancel(), subscription(OVER), Drift.OVER),
        (Pause(resumes_at=RETURN), subscription(paused("2027-02-01")), None),
        (Pause(resumes_at=RETURN), subscription(), Drift.NOT_PAUSED),
        (Pause(resumes_at=RETURN), subscription(paused("2027-03-01")), Drift.OTHER_RETURN),
        (Pause(resumes_at=NOW - timedelta(days=3)), subscription(), None),
        (Pause(resumes_at=NOW - timedelta(days=3)), subscription(paused("2027-02-01")), Drift.STILL_PAUSED),
        (Pause(resumes_at=RETURN, renews_at=END), subscription(), None),
        (Pause(resumes_at=RETURN, renews_at=RETURN), subscription(), Drift.OTHER_RENEWAL),
        (Resume(), subscription(), None),
        (Resume(), subscription(paused("2027-02-01")), Drift.STILL_PAUSED),
        (IS_HALF, subscription(discounts=[HALF]), None),
        (IS_HALF, subscription(), Drift.NO_DISCOUNT),
        (ONCE, subscription(), Drift.NO_DISCOUNT),
        (ONCE, subscription(on_trial("2026-12-01")), Drift.NO_DISCOUNT),
        (PlanChange(price=LITE), subscription(items=[{"price": {**PRO, "id": "lite"}}]), None),
        (PlanChange(price=LITE), subscription(), Drift.OTHER_PLAN),
        (TrialExtension(days=7, ends_at=END), subscription(on_trial("2026-12-01")), None),
        (TrialExtension(days=7, ends_at=END), subscription(on_trial("2026-11-24")), Drift.SHORTER_TRIAL),
        (Cancel(timing="now"), None, Drift.SUBSCRIPTION_GONE),
    ],
)
def test_each_kind_of_promise(
    change: Change, now_there: DirectSubscription | None, drift: Drift | None
) -> None:
    found = differences([Promise("eff_1", change, YESTERDAY)], now_there, NOW)
    assert found == ([Difference("eff_1", drift)] if drift else [])


@pytest.mark.parametrize(
    ("change", "since"),
    [
        (ONCE, timedelta(days=40)),
        (IS_HALF, timedelta(days=100)),
        (TrialExtension(days=7, ends_at=NOW - timedelta(days=1)), timedelta(days=20)),
    ],
)
def test_what_time_has_settled_is_no_difference(change: Change, since: timedelta) -> None:
    assert differences([Promise("eff_1", change, NOW - since)], subscription(), NOW) == []


def test_a_later_change_stands_in_the_place_of_an_earlier_one_in_whatever_order_they_come() -> None:
    promises = [
        Promise("eff_2", Uncancel(), NOW - timedelta(hours=1)),
        Promise("eff_1", Cancel(timing="period_end", at=END), NOW - timedelta(hours=2)),
    ]
    assert differences(promises, subscription(), NOW) == []
    assert differences(promises, subscription(end="2026-12-01"), NOW) == [
        Difference("eff_2", Drift.ENDS_AGAIN)
    ]


def test_changes_of_different_kinds_are_each_looked_at() -> None:
    promises = [Promise("eff_1", IS_HALF, YESTERDAY), Promise("eff_2", PlanChange(price=LITE), YESTERDAY)]
    found = differences(promises, subscription(), NOW)
    assert {(one.effect_id, one.drift) for one in found} == {
        ("eff_1", Drift.NO_DISCOUNT),
        ("eff_2", Drift.OTHER_PLAN),
    }


def test_nothing_promised_is_nothing_to_find() -> None:
    assert differences([], subscription(OVER), NOW) == []


def test_every_difference_is_said_in_a_sentence() -> None:
    assert all(drift.sentence.endswith(".") for drift in Drift)


def test_an_offer_that_was_given_up_and_made_all_the_same_is_said() -> None:
    given_up = Promise("eff_1", IS_HALF, YESTERDAY, is_doubtful=True)
    assert differences([given_up], subscription(discounts=[HALF]), NOW) == [
        Difference("eff_1", Drift.MADE_AFTER_ALL)
    ]
    assert differences([given_up], subscription(), NOW) == []
    assert differences([given_up], None, NOW) == []


def test_a_cancellation_that_was_given_up_is_for_the_person_it_went_to() -> None:
    given_up = Promise("eff_1", Cancel(timing="period_end", at=END), YESTERDAY, is_doubtful=True)
    assert differences([given_up], subscription(end="2026-12-01"), NOW) == []


def test_what_was_asked_for_anew_and_made_explains_what_was_given_up() -> None:
    given_up = Promise("eff_1", IS_HALF, YESTERDAY, is_doubtful=True)
    made = Promise("eff_2", IS_HALF, NOW)
    assert differences([given_up, made], subscription(discounts=[HALF]), NOW) == []
