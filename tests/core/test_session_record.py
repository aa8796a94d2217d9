"""The record of a walk: what merchants will read of it, and what they never will."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.core.calendar import add_months, iso
from app.core.direct import parse_customer
from app.core.erasure import erased_record
from app.core.facts import History
from app.core.request_reasons import NOT_MADE
from app.core.session import resting_outcome
from app.core.session_record import Closing, build_record, redact
from app.core.state import Outcome
from app.core.world import World
from app.insights.filters import read_sessions_query
from app.insights.shapes import RecordShape
from tests.core.walks import (
    BREAK,
    BUG,
    CONFIRM,
    GUIDE,
    HALF,
    LITE,
    MORE_TIME,
    READ,
    SAID,
    SKIP,
    TALK,
    UNUSED,
    Journey,
    flow,
    offer,
    world,
)
from tests.support.subscriptions import NOW, active


def built(
    journey: Journey, outcome: Outcome | None = None, **changes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Record and columns as of now, which is a minute after the last command."""
    walk = replace(journey.walk, now=journey.walk.now + timedelta(minutes=1))
    closing = Closing(
        organization_id="org_1",
        provider="demo",
        exit_policy="always",
        customer_id="cus_1",
        recipient=None,
        entry="link",
        flow_version_id="fv_1",
        flow_version=4,
        created_at=NOW,
        closed_at=journey.state.finished_at or walk.now,
        outcome=outcome or resting_outcome(journey.state),
    )
    made = build_record(walk, journey.state, replace(closing, **changes))
    erased = [erased_record(made.told, keeps_reason=keeps, now=walk.now) for keeps in (True, False)]
    for told in (made.told, *erased):
        RecordShape.model_validate(json.loads(json.dumps(told)), by_alias=True, by_name=False)
    return made.told, made.columns


@pytest.mark.parametrize(
    ("outcome", "canceled", "save_type"),
    [
        (Outcome.CANCELED, True, None),
        (Outcome.MANUAL_CANCELLATION_REQUESTED, True, None),
        (Outcome.CANCEL_ALREADY_SCHEDULED, True, None),
        (Outcome.KEPT, False, "ABANDON"),
        (Outcome.DISMISSED, False, "ABANDON"),
        (Outcome.UNCANCELED, False, "ABANDON"),
    ],
)
def test_who_leaves_is_canceled_and_who_takes_nothing_is_abandoned(
    outcome: Outcome, canceled: bool, save_type: str | None
) -> None:
    told, columns = built(Journey(), outcome)
    assert (told["canceled"], told["saveType"], told["outcome"]) == (canceled, save_type, outcome)
    assert told["aborted"] is (save_type == "ABANDON")
    assert (columns["is_canceled"], columns["save_type"]) == (canceled, save_type)


@pytest.mark.parametrize(
    ("offered", "option", "kind", "taken"),
    [
        (HALF, None, "DISCOUNT", {"couponType": "PERCENT", "couponAmount": 50, "couponDuration": 3}),
        (BREAK, "2-months", "PAUSE", {"pauseDuration": 2, "pauseInterval": "MONTH"}),
        (LITE, None, "PLAN_CHANGE", {"newPlanId": "price_lite", "newPlanPrice": 900}),
        (TALK, None, "CONTACT", {"redirectUrl": None}),
        (GUIDE, None, "REDIRECT", {"redirectUrl": "https://example.com/guide"}),
    ],
)
def test_the_offer_that_was_taken_is_told_with_its_figures(
    offered: dict[str, Any], option: str | None, kind: str, taken: dict[str, Any]
) -> None:
    journey = Journey(flow(offer(offered), CONFIRM))
    journey.accept(option)
    if journey.state.pending is not None:
        journey.settle()
    told, columns = built(journey)
    assert (told["saveType"], told["acceptedOffer"]["offerType"]) == (kind, kind)
    assert told["acceptedOffer"]["status"] == "applied"
    assert {name: told["acceptedOffer"][name] for name in taken} == taken
    assert (columns["save_type"], columns["offer_type"]) == (kind, kind)
    (shown,) = told["presentedOffers"]
    assert (shown["accepted"], shown["surveyOffer"], shown["decisionId"]) == (
        True,
        False,
        told["acceptedOffer"]["decisionId"],
    )
    configs = [name for name in shown if name.endswith("Config")]
    assert len(configs) == 1


def test_an_offer_that_could_not_be_made_saves_nobody() -> None:
    journey = Journey(flow(offer(HALF), CONFIRM))
    journey.accept()
    journey.settle(applied=False, reason="refused")
    told, columns = built(journey)
    assert (told["saveType"], told["acceptedOffer"], columns["offer_type"]) == ("ABANDON", None, None)
    assert told["presentedOffers"][0]["status"] == "failed"
    assert told["presentedOffers"][0]["acceptedAt"] is not None


def test_what_was_said_is_told_with_the_flows_words() -> None:
    journey = Journey()
    journey.do(BUG, READ, SAID)
    told, columns = built(journey)
    assert (told["surveyId"], told["surveyChoiceId"], told["surveyChoiceValue"]) == ("why", "bug", "A bug")
    assert (told["followupQuestion"], told["followupResponse"]) == ("Which?", "It crashes")
    assert told["feedback"] == "Too many emails."
    assert (columns["reason_id"], columns["response"]) == ("bug", "A bug")


def test_who_skips_has_said_nothing() -> None:
    journey = Journey()
    journey.do(SKIP)
    told, _ = built(journey)
    assert told["surveyId"] is told["surveyChoiceId"] is told["followupResponse"] is told["feedback"] is None
    assert told["bounced"] is False


def test_only_who_did_nothing_at_all_bounced() -> None:
    assert built(Journey())[0]["bounced"] is True
    journey = Journey()
    journey.exit()
    told, _ = built(journey)
    assert (told["bounced"], told["usedClickToCancel"]) == (False, True)


def test_screens_come_with_their_times_and_the_last_one_without_an_end() -> None:
    journey = Journey()
    journey.do(UNUSED)
    told, _ = built(journey)
    assert [(step["stepType"], step["guid"], step["duration"]) for step in told["stepsViewed"]] == [
        ("SURVEY", "why", 60_000),
        ("OFFER", "why.offer", None),
    ]
    assert [step["numChoices"] for step in told["stepsViewed"]] == [3, 3]
    assert told["presentedOffers"][0]["surveyOffer"] is True


def test_customer_and_plan_are_those_of_the_start() -> None:
    customer = parse_customer(
        {
            "id": "cus_1",
            "email": "Ada.Lovelace@Example.com",
            "name": "Givenname",
            "lastName": "Familyname",
            "phone": "555-0100",
            "metadata": {"source": "ads"},
            "addresses": [{"country": "DE", "line1": "1 Long Street"}],
        }
    )
    seen = world(active(started="2025-06-01", quantity=3), customer=customer, attributes={"team": "azure"})
    journey = Journey(seen=seen)
    journey.exit()
    journey.confirm()
    journey.settle(becomes=active(100, started="2025-06-01"))
    told, columns = built(journey)
    assert told["canceled"] is True
    known = told["customer"]
    assert (known["planId"], known["planPrice"], known["subscriptionPrice"]) == ("price_pro", 2900, 8700)
    assert (known["itemQuantity"], known["billingInterval"], known["currency"]) == (3, "month", "EUR")
    assert (known["metadata"], known["customAttributes"]) == ({"source": "ads"}, {"team": "azure"})
    assert told["region"] == {"country": "DE"}
    assert (columns["price_minor"], columns["session_currency"]) == (8700, "EUR")
    assert columns["customer_email"] == "ada.lovelace@example.com"
    assert columns["invoice_month"] == "2026-12"
    for unsaid in ("Givenname", "Familyname", "555-0100", "Long Street"):
        assert unsaid not in json.dumps(told)


def test_amounts_are_told_in_the_currency_that_they_are_in() -> None:
    customer = parse_customer({"id": "cus_1", "currency": "USD"})
    told, columns = built(Journey(seen=world(active(), customer=customer)))
    assert (told["customer"]["planPrice"], told["customer"]["currency"]) == (2900, "EUR")
    assert (columns["currency"], columns["session_currency"]) == ("USD", "EUR")


def test_a_tiered_price_has_a_currency_all_the_same() -> None:
    tiered = {"price": {"id": "p", "amount": {"model": "tiered", "currency": "EUR"}}}
    told, columns = built(Journey(seen=world(active(items=[tiered]))))
    assert (told["customer"]["subscriptionPrice"], told["customer"]["currency"]) == (None, "EUR")
    assert (columns["price_minor"], columns["session_currency"]) == (None, "EUR")


def test_the_last_end_of_several_discounts_is_told() -> None:
    coupon = {
        "id": "TEN",
        "name": "10% off",
        "percentOff": 10,
        "duration": "repeating",
        "durationInMonths": 3,
    }
    discounts = [
        {"id": "di_1", "coupon": coupon, "end": "2027-01-01T00:00:00Z"},
        {"id": "di_2", "coupon": coupon, "end": "2027-03-01T00:00:00Z"},
    ]
    told, _ = built(Journey(seen=world(active(discounts=discounts))))
    assert told["customer"]["latestDiscountExpiration"] == "2027-03-01T00:00:00Z"
    assert built(Journey())[0]["customer"]["latestDiscountExpiration"] is None


def test_where_billing_knows_no_address_it_is_the_proven_one() -> None:
    told, columns = built(Journey(seen=world(is_verified=False)), recipient="Ada@Example.com")
    assert told["customer"]["email"] == "Ada@Example.com"
    assert columns["customer_email"] == "ada@example.com"
    known = parse_customer({"id": "cus_1", "email": "known@example.com"})
    told, _ = built(Journey(seen=world(customer=known)), recipient="ada@example.com")
    assert told["customer"]["email"] == "known@example.com"


def test_where_a_contact_offer_leads_is_told_of_it_alone() -> None:
    journey = Journey(flow(offer({**TALK, "label": "Write to us"}), CONFIRM))
    journey.accept()
    told, _ = built(journey)
    (shown,) = told["presentedOffers"]
    assert shown["contactConfig"] == {"url": None, "email": "help@example.com", "label": "Write to us"}
    page = {"kind": "contact", "id": "page", "url": "https://example.com/help"}
    journey = Journey(flow(offer(page), CONFIRM))
    journey.accept()
    told, _ = built(journey)
    assert told["acceptedOffer"]["redirectUrl"] is None
    journey = Journey(flow(offer({**GUIDE, "label": "Read the guide"}), CONFIRM))
    told, _ = built(journey)
    assert told["presentedOffers"][0]["redirectConfig"] == {
        "redirectUrl": "https://example.com/guide",
        "redirectLabel": "Read the guide",
    }


def test_the_age_counts_full_months() -> None:
    began = add_months(NOW, -17)
    for started, age in ((began, 17), (began + timedelta(days=1), 16), (NOW, 0)):
        _, columns = built(Journey(seen=world(active(started=iso(started)))))
        assert columns["age_months"] == age
    yearly = built(Journey(seen=world(active(every="year", renews="2027-05-01"))))[1]
    assert (yearly["billing_interval"], yearly["invoice_month"]) == ("year", "2027-05")


def test_without_billing_data_what_is_not_known_is_null() -> None:
    unknown = World(mode="live", locale="de", is_verified=False)
    told, columns = built(Journey(seen=unknown))
    assert (told["mode"], told["billingKnown"], told["customer"]["id"]) == ("LIVE", False, "cus_1")
    assert told["customer"]["onTrial"] is told["customer"]["planId"] is columns["is_trial"] is None


def test_an_offer_that_a_cooldown_held_back_is_noted() -> None:
    before = History(
        discounts_12m=1, last_by_kind={"discount": NOW - timedelta(days=3)}, last_discount_at=NOW
    )
    cooled = flow(offer(HALF, TALK), CONFIRM, cooldowns={"discount": 30})
    journey = Journey(cooled, world(history=before))
    explanations = [{"at": at, "why": why} for at, why in journey.last.considered.items()]
    told, columns = built(journey, explanations=explanations)
    assert (told["discountCooldown"], told["discountCooldownApplied"]) == (30, True)
    assert told["pauseCooldownApplied"] is False
    assert columns["is_cooled_down"] is True
    assert [(rule["offer"], rule["shown"], rule["blockers"]) for rule in told["rules"]] == [
        ("half", False, ["cooldown"]),
        ("talk", True, []),
    ]


def test_rules_are_told_without_what_they_saw() -> None:
    rule = {"attribute": "team", "op": "eq", "value": "blue"}
    journey = Journey(
        flow(offer({**TALK, "when": rule}), CONFIRM), world(attributes={"team": "secretly-red"})
    )
    explanations = [{"at": at, "why": why} for at, why in journey.last.considered.items()]
    assert "secretly-red" in json.dumps(explanations)
    told, _ = built(journey, explanations=explanations)
    assert told["rules"] == [{"at": "stay", "offer": "talk", "verdict": "no", "shown": False, "blockers": []}]


def test_redacted_it_has_no_address_no_own_words_and_no_attributes() -> None:
    customer = parse_customer({"id": "cus_1", "email": "ada@example.com", "metadata": {"vip": "yes"}})
    journey = Journey(seen=world(customer=customer, attributes={"team": "azure"}))
    journey.do(BUG, READ, SAID)
    told, _ = built(journey)
    blind = redact(told)
    RecordShape.model_validate(blind, by_alias=True, by_name=False)
    for personal in ("ada@example.com", "It crashes", "Too many emails.", "azure", "vip"):
        assert personal in json.dumps(told)
        assert personal not in json.dumps(blind)
    assert blind["customer"]["id"] == "cus_1"
    assert blind["surveyChoiceValue"] == "A bug"


def test_the_address_is_kept_as_addresses_are_compared() -> None:
    customer = parse_customer({"id": "cus_1", "email": "Stra\u00dfe@Example.com"})
    told, columns = built(Journey(seen=world(customer=customer)))
    assert told["customer"]["email"] == "Stra\u00dfe@Example.com"
    assert columns["customer_email"] == "strasse@example.com"
    query = read_sessions_query([("customerEmail", "STRASSE@example.com")])
    assert query.selection.filters[0].values == (columns["customer_email"],)


def test_times_are_those_of_opening_closing_and_writing() -> None:
    journey = Journey()
    journey.do(SKIP)
    told, columns = built(journey, closed_at=NOW + timedelta(minutes=61))
    assert told["createdAt"] == iso(NOW)
    assert told["closedAt"] == iso(NOW + timedelta(minutes=61))
    assert told["updatedAt"] == iso(NOW + timedelta(minutes=2))
    assert columns["begun_s"] == int(NOW.timestamp())


def test_a_trial_is_told_as_one() -> None:
    trial = {
        "name": "trial",
        "trial": {"start": iso(NOW - timedelta(days=3)), "end": iso(NOW + timedelta(days=11))},
    }
    on_trial = active().model_copy(
        update={"status": type(active()).model_validate({**active().to_wire(), "status": trial}).status}
    )
    journey = Journey(flow(offer(MORE_TIME), CONFIRM), world(on_trial))
    journey.accept()
    journey.settle()
    told, columns = built(journey)
    assert (told["customer"]["onTrial"], columns["is_trial"]) == (True, True)
    assert told["acceptedOffer"]["trialExtensionDays"] == 14


def test_redacted_it_says_why_in_words_of_ours_alone() -> None:
    """A merchant's own billing may word its refusal with a customer's name in it."""
    told = {
        "customer": {},
        "followupOptionId": None,
        "followupResponse": None,
        "manualReasons": ["schedule", "Ada Byron of 12 Square owes us"],
        "effects": [
            {"id": "eff_1", "reason": "Ada Byron of 12 Square owes us"},
            {"id": "eff_2", "reason": "discount_active"},
            {"id": "eff_3", "reason": None},
        ],
    }
    blind = redact(told)
    assert blind["manualReasons"] == ["schedule", NOT_MADE]
    assert [effect["reason"] for effect in blind["effects"]] == [None, "discount_active", None]
    assert [effect["id"] for effect in blind["effects"]] == ["eff_1", "eff_2", "eff_3"]
    assert told["effects"][0]["reason"].startswith("Ada"), "the record itself stays as it is"
