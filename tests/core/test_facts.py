from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.direct import parse_customer, parse_subscriptions
from app.core.errors import InvalidInput
from app.core.facts import BUILT_INS, Facts, History, build_facts, parse_attributes, sift_attributes
from app.core.rules.values import kind_of
from tests.core.shapes import CUSTOMER, SUBSCRIPTION

NOW = datetime(2025, 4, 10, 12, tzinfo=UTC)


def facts(
    customer: dict[str, Any] | None = None, subscription: dict[str, Any] | None = None, **given: Any
) -> Facts:
    who = parse_customer({**CUSTOMER, **(customer or {})})
    (what,) = parse_subscriptions([{**SUBSCRIPTION, **(subscription or {})}], who)
    known: dict[str, Any] = {
        "customer": who,
        "subscription": what,
        "history": History(),
        "reason": None,
        "attributes": {},
        "mint_attributes": {},
        "now": NOW,
    }
    return build_facts(**{**known, **given})


def test_a_customer_as_rules_see_him() -> None:
    assert facts(
        {"addresses": [{"country": "de"}], "currency": "eur"}, reason="price", mode="test", locale="en"
    ) == {
        "customer.id": "cus_123",
        "customer.email": "jane@acme.com",
        "customer.country": "DE",
        "customer.currency": "EUR",
        "subscription.id": "sub_456",
        "subscription.plan_id": "price_pro",
        "subscription.plan_name": "Pro monthly",
        "subscription.price": 29.99,
        "subscription.price_minor": 2999,
        "subscription.currency": "USD",
        "subscription.interval": "month",
        "subscription.interval_count": 1,
        "subscription.quantity": 1,
        "subscription.status": "active",
        "subscription.start": datetime(2024, 3, 12, tzinfo=UTC),
        "subscription.period_end": datetime(2025, 5, 1, tzinfo=UTC),
        "subscription.tenure_months": 12,
        "subscription.tenure_days": 394,
        "subscription.has_discount": True,
        "history.sessions": 0,
        "history.pauses_12m": 0,
        "history.discounts_12m": 0,
        "history.saves_12m": 0,
        "session.reason": "price",
        "session.mode": "test",
        "session.locale": "en",
        "plan": "pro",
        "signupDate": "2024-03-12",
    }


def test_history_counts_days_from_the_end_of_a_pause() -> None:
    history = History(
        sessions=3,
        last_pause_ended_at=datetime(2025, 4, 1, tzinfo=UTC),
        last_discount_at=datetime(2025, 5, 1, tzinfo=UTC),
    )
    seen = facts(history=history)
    assert (seen["history.sessions"], seen["history.days_since_last_pause"]) == (3, 9)
    assert seen["history.days_since_last_discount"] == 0


def test_days_left_of_a_trial_count_a_begun_day() -> None:
    trial = {"status": {"name": "trial", "trial": {"start": "2025-04-01", "end": "2025-04-12"}}}
    assert facts(subscription=trial)["subscription.trial_days_left"] == 2
    over = {"status": {"name": "trial", "trial": {"start": "2025-04-01", "end": "2025-04-05"}}}
    assert facts(subscription=over)["subscription.trial_days_left"] == 0


def test_a_yen_has_no_cents() -> None:
    items = [{"price": {"id": "p", "amount": {"value": 2999, "currency": "JPY"}}}]
    seen = facts(subscription={"items": items})
    assert (seen["subscription.price"], seen["subscription.price_minor"]) == (2999, 2999)


def test_a_subscription_that_has_not_begun_has_no_tenure() -> None:
    seen = facts(subscription={"start": "2026-01-01", "status": {"name": "future"}})
    assert (seen["subscription.tenure_months"], seen["subscription.tenure_days"]) == (0, 0)


def test_the_endpoint_beats_the_mint_and_that_beats_metadata() -> None:
    seen = facts(
        {"metadata": {"a": "customer", "b": "customer", "c": "customer"}},
        {"metadata": {"a": "subscription", "d": "subscription"}},
        mint_attributes={"b": "mint", "c": "mint"},
        attributes={"c": "endpoint"},
    )
    assert [seen[name] for name in "abcd"] == ["customer", "mint", "endpoint", "subscription"]


def test_a_merchant_cannot_pass_off_a_built_in_fact() -> None:
    assert (
        facts(attributes={"customer.country": "US", "subscription.price": 1})["subscription.price"] == 29.99
    )
    assert "customer.country" not in facts(attributes={"customer.country": "US"})


def test_contact_details_are_no_facts() -> None:
    seen = facts({"name": "Jane", "lastName": "Doe", "phone": "555"})
    assert not {"Jane", "Doe", "555"} & set(map(str, seen.values()))


def test_without_billing_data_rules_still_see_the_rest() -> None:
    seen = build_facts(
        customer=None,
        subscription=None,
        history=History(),
        reason="price",
        attributes={"tickets": 2},
        mint_attributes={},
        now=NOW,
    )
    assert (seen["session.reason"], seen["tickets"]) == ("price", 2)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("plan", {"id": 1}, "nested"),
        ("plan", [1], "nested"),
        ("plan", None, "no value"),
        ("plan", float("nan"), "finite"),
        ("plan", int("9" * 4000), "smaller"),
        ("plan", "x" * 1001, "at most 1000"),
        ("plan", "a\x00", "Control characters"),
        ("plan", "\ud800", "Control characters"),
        ("a.b", 1, "dot"),
        ("", 1, "1 to 100 characters"),
        ("x" * 101, 1, "1 to 100 characters"),
        ("a\nb", 1, "1 to 100 characters"),
    ],
    ids=str,
)
def test_an_attribute_that_rules_cannot_use_is_dropped_and_reported(
    name: str, value: object, said: str
) -> None:
    sifted = sift_attributes({name: value, "good": True})
    assert sifted.kept == {"good": True}
    assert [said in dropped.message for dropped in sifted.dropped] == [True]
    with pytest.raises(InvalidInput, match=said):
        parse_attributes({name: value})


def test_attributes_are_bounded() -> None:
    sifted = sift_attributes({f"n{number}": number for number in range(500)})
    assert (len(sifted.kept), len(sifted.dropped)) == (100, 100)


def test_attributes_at_the_mint_name_the_field() -> None:
    with pytest.raises(InvalidInput, match=r"customerAttributes\.plan: .*nested"):
        parse_attributes({"plan": {}, "tickets": 2})
    with pytest.raises(InvalidInput, match="customerAttributes: Must be an object"):
        parse_attributes([])
    assert parse_attributes({"plan": "pro", "tickets": 2, "vip": True}) == {
        "plan": "pro",
        "tickets": 2,
        "vip": True,
    }


@given(
    st.dictionaries(
        st.text(), st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none())
    )
)
def test_whatever_the_endpoint_answers_facts_are_flat_and_of_their_type(answer: dict[str, object]) -> None:
    for name, value in facts(attributes=answer).items():
        assert kind_of(value) is not None
        assert name not in BUILT_INS or BUILT_INS[name] == kind_of(value)
