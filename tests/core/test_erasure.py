"""What stays of a session is readable as any other, and says nothing of anybody."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.connections.customer_data import read_answer
from app.core.direct import DirectCustomer, parse_customer
from app.core.eligibility import ManualReason
from app.core.email_address import address_key
from app.core.erasure import NOBODY, erased_columns, erased_record, erased_state
from app.core.errors import InvalidInput
from app.core.request_reasons import EMAIL_NOT_VERIFIED, NOT_MADE, OWN_REASONS, own_reasons
from app.core.session_record import redact
from app.core.state import SessionState
from app.insights.mcp.story import story, summary
from app.links.forms import read_order
from tests.support.clock import START

ANSWER = {"reason": "price", "follow_up": "mine alone", "text": "also mine", "at": "2026-11-21T09:00:00Z"}
STATE = {
    "phase": "finished",
    "outcome": "canceled",
    "finished_at": "2026-11-21T09:05:00Z",
    "subscription_id": "sub_1",
    "answers": {"why": ANSWER, "more": {"text": "mine too", "at": "2026-11-21T09:01:00Z"}},
    "used_exit": True,
    "manual_reasons": ["unpaid", "ada@example.com owes: mine", "email_not_verified"],
}
TOLD = {
    "_id": "cs_1",
    "createdAt": "2026-11-21T09:00:00Z",
    "closedAt": "2026-11-21T09:05:00Z",
    "updatedAt": "2026-11-21T09:05:00Z",
    "entry": "link",
    "flowVersion": 1,
    "outcome": "canceled",
    "surveyId": "why",
    "surveyChoiceId": "price",
    "surveyChoiceValue": "It costs too much",
    "followupQuestion": "Why?",
    "followupOptionId": None,
    "followupResponse": "mine alone",
    "feedback": "also mine",
    "region": {"country": "DE"},
    "manualReasons": ["mine to owe"],
    "usedClickToCancel": True,
    "customer": {
        "id": "cus_1",
        "email": "ada@example.com",
        "planId": "pro",
        "subscriptionPrice": 2900,
        "currency": "EUR",
        "billingInterval": "month",
        "customAttributes": {"team": "mine"},
        "metadata": {"vat": "mine"},
    },
    "stepsViewed": [{"stepType": "SURVEY", "guid": "why", "start": "2026-11-21T09:00:00Z", "duration": 9000}],
    "presentedOffers": [
        {
            "guid": "half",
            "offerType": "DISCOUNT",
            "status": "declined",
            "presentedAt": "2026-11-21T09:02:00Z",
            "discountConfig": {"couponId": "mine"},
        }
    ],
    "acceptedOffer": None,
    "effects": [
        {"id": "eff_1", "type": "cancel", "status": "applied", "reference": "mine", "reason": "mine"}
    ],
    "rules": [{"at": "why", "verdict": "yes"}],
}


@pytest.mark.parametrize("keeps_reason", [False, True])
def test_a_state_without_its_customer_is_still_a_state(keeps_reason: bool) -> None:
    left = erased_state(STATE, keeps_reason=keeps_reason)
    state = SessionState.model_validate(left)
    assert (state.phase, state.outcome, state.used_exit) == ("finished", "canceled", True)
    assert "mine" not in json.dumps(left)
    assert "sub_1" not in json.dumps(left)
    assert [answer.reason for answer in state.answers.values()] == (["price"] if keeps_reason else [])


@pytest.mark.parametrize("keeps_reason", [False, True])
def test_that_a_person_was_needed_stays_in_words_of_ours(keeps_reason: bool) -> None:
    left = erased_state(STATE, keeps_reason=keeps_reason)
    assert left["manual_reasons"] == ["unpaid", NOT_MADE, EMAIL_NOT_VERIFIED]
    assert erased_state(left, keeps_reason=keeps_reason) == left
    assert erased_state({**STATE, "manual_reasons": []}, keeps_reason=keeps_reason)["manual_reasons"] == []


@given(st.lists(st.sampled_from(sorted(OWN_REASONS)) | st.text()))
def test_reasons_of_ours_stay_in_their_places_and_nothing_else_does(reasons: list[str]) -> None:
    left = own_reasons(reasons)
    assert len(left) == len(reasons)
    assert OWN_REASONS.issuperset(left)
    assert all(kept in (given, NOT_MADE) for kept, given in zip(left, reasons, strict=True))
    assert own_reasons(left) == left


def test_every_reason_that_a_cancellation_can_be_left_to_a_person_for_is_ours() -> None:
    said_by_us = ("subscription_unclear", "subscription_not_found", "withdrawn", "provider_unavailable")
    ours = (*map(str, ManualReason), *said_by_us, "not_verified", "email_not_verified", "not_made")
    assert own_reasons(ours) == ours


@pytest.mark.parametrize("keeps_reason", [False, True])
def test_a_record_without_its_customer_has_every_name_and_none_of_his_values(keeps_reason: bool) -> None:
    left = erased_record(TOLD, keeps_reason=keeps_reason, now=START)
    written = json.dumps(left)
    for trace in ("mine", "ada@example.com", "cus_1", '"DE"'):
        assert trace not in written
    assert left.keys() == {*TOLD, "erasedAt"}
    assert left["customer"].keys() == TOLD["customer"].keys()
    assert left["presentedOffers"][0].keys() == TOLD["presentedOffers"][0].keys()
    assert (left["outcome"], left["customer"]["planId"], left["stepsViewed"]) == (
        "canceled",
        "pro",
        TOLD["stepsViewed"],
    )
    assert left["surveyChoiceId"] == ("price" if keeps_reason else None)
    assert ("response" in erased_columns(keeps_reason=keeps_reason)) is not keeps_reason


def test_a_field_that_nobody_has_decided_on_goes() -> None:
    bare = erased_record({**TOLD, "sentimentScores": "mine"}, keeps_reason=True, now=START)
    assert bare["sentimentScores"] is None


def test_what_is_left_can_be_told_erased_again_and_explained() -> None:
    left = erased_record(TOLD, keeps_reason=False, now=START)
    assert erased_record(left, keeps_reason=False, now=START) == left
    assert redact(left)["_id"] == summary(left)["_id"] == "cs_1"
    assert story(left)[-1].endswith("ended as canceled.")


def test_no_customer_can_be_called_as_nobody_is() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_customer({"id": NOBODY, "email": "ada@example.com"})
    assert [error.field for error in refused.value.fields] == ["customer.id"]
    with pytest.raises(InvalidInput) as refused:
        read_order({"customerId": NOBODY, "expiresAt": "2027-01-01T00:00:00Z"})
    assert [error.field for error in refused.value.fields] == ["customerId"]
    assert read_answer({"customerId": NOBODY}).customer_id is None
    with pytest.raises(ValidationError):  # what every adapter makes of what its billing system says
        DirectCustomer(id=NOBODY)


# --- Addresses ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.COM", " ada@example.com "),
        ("JÖRG@example.com", "jörg@example.com"),
        ("jo\u0308rg@example.com", "jörg@example.com"),  # an accent by itself
        ("STRASSE@example.com", "straße@example.com"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert address_key(one) == address_key(other)


@pytest.mark.parametrize(
    "other", ["ada+x@example.com", "a.da@example.com", "ada@example.org", "âda@example.com"]
)
def test_other_addresses_have_another(other: str) -> None:
    assert address_key(other) != address_key("ada@example.com")


@given(st.text(max_size=60))
def test_a_key_is_its_own_key(text: str) -> None:
    assert address_key(address_key(text)) == address_key(text)
