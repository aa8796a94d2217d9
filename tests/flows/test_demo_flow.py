"""The demo's flow can be published, and shows each of the six customers what the README promises."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.core.billing import Capability, Catalog
from app.core.direct import DirectCoupon, DirectPrice, DirectSubscription, parse_subscriptions
from app.core.eligibility import eligibility
from app.core.facts import Facts, History, build_facts
from app.core.flow import Offer, OfferStep, SurveyStep
from app.core.flow_check import validate_flow
from app.core.rules import Verdict, evaluate
from app.flows.files import load_yaml
from demo.billing.seed import CATALOG, subscriptions_of
from demo.customers import find_customer
from tests.support.subscriptions import NOW

FLOW = load_yaml((Path(__file__).parents[2] / "demo" / "flow.yaml").read_text("utf-8"), "demo/flow.yaml")
KNOWN = Catalog(
    {key: DirectPrice.model_validate(value) for key, value in CATALOG.prices.items()},
    {key: DirectCoupon.model_validate(value) for key, value in CATALOG.coupons.items()},
)


def attributes_of(customer_id: str) -> Mapping[str, Any]:
    customer = find_customer(customer_id)
    assert customer is not None
    return customer.attributes


def offers_seen(
    customer_id: str,
    reason: str | None,
    attributes: Mapping[str, Any] | None = None,
    *,
    subscription: Mapping[str, Any] | None = None,
) -> list[str]:
    """The offers that someone sees who gives this reason, or none, and declines each one."""
    document = subscription or subscriptions_of(customer_id, NOW)[0]
    return _seen(
        parse_subscriptions([document], None)[0],
        reason,
        attributes_of(customer_id) if attributes is None else attributes,
    )


def _seen(subscription: DirectSubscription, reason: str | None, attributes: Mapping[str, Any]) -> list[str]:
    facts = build_facts(
        customer=None,
        subscription=subscription,
        history=History(),
        reason=reason,
        attributes=attributes,
        mint_attributes={},
        now=NOW,
    )
    seen = []
    goto: str | None = None
    for step in FLOW.steps:
        if goto not in (None, step.id) or not is_true(step.when, facts):
            continue
        goto = next((branch.goto for branch in step.branches if is_true(branch.when, facts)), None)
        offers: list[Offer] = []
        if isinstance(step, SurveyStep):
            offers = next((r.offers for r in step.reasons if r.id == reason), [])
        elif isinstance(step, OfferStep):
            offers = step.offers
        seen += [offer.id for offer in offers if is_made(offer, subscription, facts)][:1]
    return seen


def is_true(rule: Any, facts: Facts) -> bool:
    return rule is None or evaluate(rule, facts) is Verdict.YES


def is_made(offer: Offer, subscription: DirectSubscription, facts: Facts) -> bool:
    return is_true(offer.when, facts) and not eligibility(
        offer,
        subscription=subscription,
        customer=None,
        history=History(),
        capabilities=frozenset(Capability),
        flow_cooldowns=FLOW.cooldowns,
        catalog=KNOWN,
        now=NOW,
        accepted_in_session=False,
    )


def test_it_can_be_published() -> None:
    assert validate_flow(FLOW, frozenset(Capability)) == []


@pytest.mark.parametrize(
    ("customer_id", "reason", "expected"),
    [
        ("cus_ada", None, []),
        ("cus_ada", "too-expensive", []),
        ("cus_ada", "not-using", ["take-a-break"]),
        ("cus_ada", "trouble", ["get-help"]),
        ("cus_ben", None, ["half-price"]),
        ("cus_ben", "too-expensive", ["half-price", "move-to-lite"]),
        ("cus_ben", "not-using", ["take-a-break", "half-price"]),
        ("cus_ben", "missing-feature", ["whats-new", "half-price"]),
        ("cus_ben", "switching", ["half-price"]),
        ("cus_ben", "trouble", ["get-help"]),
        ("cus_chen", None, ["yearly-thanks"]),
        ("cus_chen", "too-expensive", ["yearly-thanks", "move-to-lite"]),
        ("cus_chen", "not-using", ["pause-the-year", "yearly-thanks"]),
        ("cus_dana", None, ["two-more-weeks"]),
        ("cus_dana", "too-expensive", ["two-more-weeks", "move-to-lite"]),
        ("cus_dana", "not-using", ["two-more-weeks"]),
        ("cus_emil", None, ["half-price"]),
        ("cus_emil", "too-expensive", ["half-price", "move-to-lite"]),
        ("cus_farah", None, ["settle-tickets"]),
        ("cus_farah", "too-expensive", ["settle-tickets", "move-to-lite"]),
        ("cus_farah", "not-using", ["settle-tickets"]),
        ("cus_farah", "trouble", ["settle-tickets"]),
    ],
)
def test_different_customers_see_different_offers(
    customer_id: str, reason: str | None, expected: list[str]
) -> None:
    assert offers_seen(customer_id, reason) == expected


def test_the_discount_is_for_pro_and_not_for_the_other_subscription_beside_it() -> None:
    pro, publish = subscriptions_of("cus_emil", NOW)
    assert offers_seen("cus_emil", None, subscription=pro) == ["half-price"]
    assert offers_seen("cus_emil", None, subscription=publish) == []


@pytest.mark.parametrize("reason", [None, "too-expensive", "not-using"])
def test_what_needs_attributes_is_not_offered_without_them(reason: str | None) -> None:
    assert not {"half-price", "settle-tickets", "take-a-break"} & set(offers_seen("cus_ben", reason, {}))


def test_nobody_sees_more_than_two_offers() -> None:
    survey = FLOW.steps[0]
    assert isinstance(survey, SurveyStep)
    for customer in ("cus_ada", "cus_ben", "cus_chen", "cus_dana", "cus_emil", "cus_farah"):
        assert all(len(offers_seen(customer, reason.id)) <= 2 for reason in survey.reasons)
        assert len(offers_seen(customer, None)) <= 1
