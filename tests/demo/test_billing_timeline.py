from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from demo.billing.actions import ACTIONS, Malformed, Refused, act
from demo.billing.seed import CATALOG, LITE, PRO_YEARLY, subscriptions_of
from demo.billing.timeline import add_months, as_of, read_moment, write_moment

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
Document = dict[str, Any]


@pytest.fixture
def pro() -> Document:
    """Pro, monthly, the paid month ending on 12 December."""
    return subscriptions_of("cus_ben", NOW)[0]


@pytest.fixture
def trial() -> Document:
    """On trial until 30 November."""
    return subscriptions_of("cus_dana", NOW)[0]


def do(action: str, subscription: Document, now: datetime = NOW, **body: Any) -> Document:
    return act(action, as_of(subscription, now), body, CATALOG, now)


def period(subscription: Document) -> tuple[str, str]:
    span = subscription["status"]["currentPeriod"]
    return span["start"][:10], span["end"][:10]


def test_a_period_follows_the_other(pro: Document) -> None:
    assert period(pro) == ("2026-11-12", "2026-12-12")
    assert period(as_of(pro, NOW + timedelta(days=21))) == ("2026-12-12", "2027-01-12")
    assert period(as_of(pro, add_months(NOW, 25))) == ("2028-12-12", "2029-01-12")


def test_the_end_of_a_month_does_not_drift(pro: Document) -> None:
    span = {"start": "2026-01-31T00:00:00Z", "end": "2026-02-28T00:00:00Z"}
    pro["status"] = {"name": "active", "currentPeriod": span}
    assert period(as_of(pro, datetime(2026, 3, 15, tzinfo=UTC))) == ("2026-02-28", "2026-03-31")


def test_time_changes_nothing_that_is_stored(pro: Document) -> None:
    before = repr(pro)
    as_of(pro, add_months(NOW, 3))
    assert repr(pro) == before


def test_a_trial_becomes_a_paid_plan(trial: Document) -> None:
    assert trial["status"]["name"] == "trial"
    later = as_of(trial, NOW + timedelta(days=9))
    assert later["status"]["name"] == "active"
    assert period(later) == ("2026-11-30", "2026-12-30")


@pytest.fixture
def yearly() -> Document:
    """Pro, yearly, paid until 17 July 2027."""
    return subscriptions_of("cus_chen", NOW)[0]


def test_a_break_of_paid_time_moves_the_renewal_and_later_years_begin_there(yearly: Document) -> None:
    assert period(yearly) == ("2026-07-17", "2027-07-17")
    away = do("pause", yearly, resumesAt="2027-01-21T09:00:00Z", renewsAt="2027-09-15T09:00:00Z")
    assert (away["status"]["name"], period(away)) == ("active", ("2026-07-17", "2027-09-15"))
    assert period(as_of(away, datetime(2027, 9, 14, tzinfo=UTC))) == ("2026-07-17", "2027-09-15")
    assert period(as_of(away, datetime(2027, 9, 16, tzinfo=UTC))) == ("2027-09-15", "2028-09-15")
    ending = do("cancel", away, timing="period_end")
    assert ending["end"] == "2027-09-15T09:00:00Z"


def test_there_is_one_break_at_a_time(yearly: Document) -> None:
    away = do("pause", yearly, resumesAt="2027-01-21T09:00:00Z", renewsAt="2027-09-15T09:00:00Z")
    more = {"resumesAt": "2027-04-01T09:00:00Z", "renewsAt": "2027-11-01T09:00:00Z"}
    with pytest.raises(Refused, match="already"):
        do("pause", away, **more)
    assert period(do("pause", away, NOW + timedelta(days=62), **more)) == ("2026-07-17", "2027-11-01")


@pytest.mark.parametrize("renews", ["2027-07-17T09:00:00Z", "2027-07-01T09:00:00Z", "2028-08-01T09:00:00Z"])
def test_a_renewal_moves_to_a_later_day_and_by_a_year_at_most(yearly: Document, renews: str) -> None:
    with pytest.raises(Refused, match="later day"):
        do("pause", yearly, resumesAt="2027-01-21T09:00:00Z", renewsAt=renews)


def test_a_scheduled_end_comes(pro: Document) -> None:
    ending = do("cancel", pro, timing="period_end")
    assert ending["end"] == "2026-12-12T09:00:00Z"
    assert as_of(ending, NOW + timedelta(days=20))["status"]["name"] == "active"
    ended = as_of(ending, NOW + timedelta(days=400))
    assert ended["status"] == {"name": "canceled", "canceledAt": "2026-12-12T09:00:00Z"}


def test_an_end_that_was_taken_back_does_not_come(pro: Document) -> None:
    going_on = do("uncancel", do("cancel", pro, timing="period_end"))
    assert as_of(going_on, NOW + timedelta(days=30))["status"]["name"] == "active"


def test_canceled_now_is_over_now(pro: Document) -> None:
    assert do("cancel", pro, timing="now")["status"] == {"name": "canceled", "canceledAt": write_moment(NOW)}


def test_a_trial_that_was_canceled_ends_with_it(trial: Document) -> None:
    assert do("cancel", trial, timing="period_end")["end"] == trial["status"]["trial"]["end"]


def test_a_short_pause_leaves_the_paid_month_as_it_is(pro: Document) -> None:
    paused = do("pause", pro, resumesAt="2026-12-01T00:00:00Z")
    assert as_of(paused, NOW + timedelta(days=5))["status"]["name"] == "paused"
    assert period(as_of(paused, NOW + timedelta(days=15))) == ("2026-11-12", "2026-12-12")


def test_after_a_long_pause_a_new_month_begins(pro: Document) -> None:
    paused = do("pause", pro, resumesAt="2027-01-20T00:00:00Z")
    assert as_of(paused, datetime(2027, 1, 19, tzinfo=UTC))["status"]["name"] == "paused"
    assert period(as_of(paused, datetime(2027, 1, 21, tzinfo=UTC))) == ("2027-01-20", "2027-02-20")


def test_a_pause_can_be_ended_by_hand(pro: Document) -> None:
    paused = do("pause", pro, resumesAt="2027-01-20T00:00:00Z")
    assert period(do("resume", paused, datetime(2027, 1, 2, tzinfo=UTC))) == ("2027-01-02", "2027-02-02")


def test_a_repeating_discount_ends_after_its_months(pro: Document) -> None:
    reduced = do("discount", pro, couponId="coupon_half_price")
    assert reduced["discounts"][0]["end"] == "2027-03-12T09:00:00Z"
    assert as_of(reduced, datetime(2027, 3, 11, tzinfo=UTC))["discounts"]
    assert not as_of(reduced, datetime(2027, 3, 13, tzinfo=UTC))["discounts"]


@pytest.mark.parametrize("who", ["cus_ben", "cus_dana"])
def test_a_single_discount_is_gone_with_the_next_invoice(who: str) -> None:
    subscription = subscriptions_of(who, NOW)[0]
    status = subscription["status"]
    invoice_at = read_moment((status.get("trial") or status["currentPeriod"])["end"])
    reduced = do("discount", subscription, percentOff=20, duration="once")
    assert as_of(reduced, invoice_at - timedelta(seconds=1))["discounts"]
    assert not as_of(reduced, invoice_at)["discounts"]


def test_a_single_discount_waits_for_the_end_of_a_pause(pro: Document) -> None:
    paused = do(
        "pause", do("discount", pro, percentOff=20, duration="once"), resumesAt="2027-01-20T00:00:00Z"
    )
    assert as_of(paused, datetime(2027, 1, 19, tzinfo=UTC))["discounts"]
    assert not as_of(paused, datetime(2027, 1, 21, tzinfo=UTC))["discounts"]


def test_a_discount_for_good_stays(pro: Document) -> None:
    reduced = do("discount", pro, amountOff=500, currency="usd", duration="forever")
    assert as_of(reduced, add_months(NOW, 60))["discounts"][0]["coupon"]["amountOff"] == 500


def test_another_plan_keeps_what_is_paid_for(pro: Document) -> None:
    lite = do("change-plan", pro, priceId=LITE["id"])
    assert lite["items"][0]["price"]["amount"]["value"] == 600
    assert period(lite) == period(pro)


def test_a_change_to_yearly_counts_from_the_end_of_the_paid_month(pro: Document) -> None:
    yearly = do("change-plan", pro, priceId=PRO_YEARLY["id"])
    assert period(as_of(yearly, NOW)) == ("2026-11-12", "2026-12-12")
    assert period(as_of(yearly, NOW + timedelta(days=60))) == ("2026-12-12", "2027-12-12")


def test_a_trial_gets_longer(trial: Document) -> None:
    longer = do("extend-trial", trial, endsAt="2026-12-14T00:00:00Z")
    assert as_of(longer, datetime(2026, 12, 13, tzinfo=UTC))["status"]["name"] == "trial"


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("uncancel", {}, "not_scheduled"),
        ("resume", {}, "not_paused"),
        ("extend-trial", {"endsAt": "2026-12-14T00:00:00Z"}, "not_trialing"),
        ("pause", {"resumesAt": "2026-11-21T09:00:00Z"}, "pause_out_of_range"),
        ("pause", {"resumesAt": "2028-01-01T00:00:00Z"}, "pause_out_of_range"),
        ("change-plan", {"priceId": "price_none"}, "no_such_price"),
        ("change-plan", {"priceId": "price_pro_monthly"}, "same_price"),
        ("discount", {"couponId": "coupon_none"}, "no_such_coupon"),
        ("discount", {"amountOff": 5, "currency": "EUR", "duration": "once"}, "other_currency"),
    ],
)
def test_what_the_state_does_not_allow_is_refused(
    pro: Document, action: str, body: Document, code: str
) -> None:
    with pytest.raises(Refused) as caught:
        do(action, pro, **body)
    assert caught.value.code == code


def test_nothing_can_be_done_to_what_is_over(pro: Document) -> None:
    over = do("cancel", pro, timing="now")
    for action in ACTIONS:
        with pytest.raises(Refused, match="already canceled"):
            do(action, over)


@pytest.mark.parametrize(
    ("first", "then", "code"),
    [
        (("cancel", {"timing": "period_end"}), ("cancel", {"timing": "period_end"}), "already_scheduled"),
        (
            ("cancel", {"timing": "period_end"}),
            ("pause", {"resumesAt": "2026-12-21T00:00:00Z"}),
            "already_scheduled",
        ),
        (
            ("discount", {"couponId": "coupon_thanks"}),
            ("discount", {"couponId": "coupon_thanks"}),
            "already_discounted",
        ),
        (
            ("pause", {"resumesAt": "2026-12-21T00:00:00Z"}),
            ("pause", {"resumesAt": "2026-12-21T00:00:00Z"}),
            "not_active",
        ),
        (
            ("pause", {"resumesAt": "2026-12-21T00:00:00Z"}),
            ("discount", {"couponId": "coupon_thanks"}),
            "not_active",
        ),
    ],
)
def test_one_change_can_stand_in_the_way_of_another(
    pro: Document, first: tuple[str, Document], then: tuple[str, Document], code: str
) -> None:
    after = do(first[0], pro, **first[1])
    with pytest.raises(Refused) as caught:
        do(then[0], after, **then[1])
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("cancel", {}, "timing"),
        ("cancel", {"timing": "later"}, "timing"),
        ("cancel", {"timing": "now", "x": 1}, "x"),
        ("pause", {}, "resumesAt"),
        ("pause", {"resumesAt": "2026-12-21"}, "resumesAt"),
        ("pause", {"resumesAt": 5}, "resumesAt"),
        ("discount", {}, "duration"),
        ("discount", {"duration": "once"}, "percentOff"),
        ("discount", {"duration": "once", "percentOff": 0}, "percentOff"),
        ("discount", {"duration": "once", "percentOff": True}, "percentOff"),
        ("discount", {"duration": "once", "percentOff": 5, "amountOff": 5}, "percentOff"),
        ("discount", {"duration": "repeating", "percentOff": 5}, "durationInMonths"),
        ("change-plan", {"priceId": ""}, "priceId"),
    ],
)
def test_a_request_without_sense_names_its_field(
    pro: Document, action: str, body: Document, field: str
) -> None:
    with pytest.raises(Malformed) as caught:
        do(action, pro, **body)
    assert caught.value.field == field
