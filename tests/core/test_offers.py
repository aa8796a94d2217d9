"""The offer as shown: words filled in, safe, and stored so that exactly it can be applied."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from app.core.billing import Catalog, Discount, Pause
from app.core.direct import DirectSubscription, parse_customer
from app.core.facts import Fact
from app.core.flow import OfferKind
from app.core.flow_check import parse_flow
from app.core.offers import ShownOffer, present
from tests.support.subscriptions import NOW, active, day, on_trial, price

CATALOG = Catalog(prices={"lite": price(600, price_id="lite")})
KINDS: dict[str, dict[str, Any]] = {
    "discount": {"percent": 12.5, "duration": "repeating", "months": 3},
    "pause": {"max": 2},
    "plan_change": {"plans": [{"price_id": "lite", "features": ["Search"]}]},
    "trial_extension": {"days": 14},
    "contact": {"email": "help@shop.example"},
    "redirect": {"url": "https://shop.example/guide", "label": "The guide"},
}


def shown(
    fields: Mapping[str, Any],
    subscription: DirectSubscription | None = None,
    facts: Mapping[str, Fact] | None = None,
    name: str | None = None,
) -> ShownOffer:
    step = {"kind": "offer", "id": "stay", "offers": [{"id": "offer", **fields}]}
    definition = parse_flow({"name": "x", "steps": [step, {"kind": "confirm", "id": "c"}]})
    return present(
        definition.steps[0].offers[0],
        decision_id="dec_1",
        placement="stay",
        subscription=subscription or active(),
        customer=parse_customer({"id": "cus_1", "name": name}) if name else None,
        catalog=CATALOG,
        facts=facts or {},
        now=NOW,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_shown_reads_back_exactly(kind: str) -> None:
    before = shown({"kind": kind, **KINDS[kind]}, on_trial() if kind == "trial_extension" else active())
    for stored in (before.model_dump(mode="json"), before.to_wire()):
        assert ShownOffer.model_validate(json.loads(json.dumps(stored))) == before
    assert ShownOffer.model_validate_json(before.model_dump_json()) == before
    assert (before.kind, before.offer_id, before.placement) == (OfferKind(kind), "offer", "stay")


def test_a_picked_date_reads_back_exactly() -> None:
    before = shown({"kind": "pause", "resume_date": True})
    after = ShownOffer.model_validate(json.loads(before.model_dump_json()))
    picked = after.find_option("2027-01-15")
    assert picked == before.find_option("2027-01-15")
    assert picked is not None
    assert picked.change == Pause(resumes_at=day("2027-01-15"))


def test_the_only_option_needs_no_choice() -> None:
    offer = shown({"kind": "discount", **KINDS["discount"]})
    option = offer.find_option(None)
    assert option is not None
    assert option.change == Discount(percent_off=12.5, duration="repeating", months=3)
    assert offer.find_option("another") is None


def test_of_several_options_one_must_be_chosen() -> None:
    offer = shown({"kind": "pause", "max": 3})
    assert offer.find_option(None) is None
    assert offer.find_option("4-months") is None
    chosen = offer.find_option("2-months")
    assert chosen is not None
    assert chosen.resumes_at == day("2027-02-01")


@pytest.mark.parametrize("kind", KINDS)
def test_only_contact_and_redirect_change_nothing(kind: str) -> None:
    offer = shown({"kind": kind, **KINDS[kind]}, on_trial() if kind == "trial_extension" else active())
    assert offer.has_change is (kind not in ("contact", "redirect"))


def test_a_pause_until_a_date_changes_something() -> None:
    assert shown({"kind": "pause", "resume_date": True}).has_change


def test_words_are_filled_in() -> None:
    copy = {
        "headline": "{{notesCount|Your}} notes",
        "cta": "Stay, {{CUSTOMER_NAME.FIRST|friend}}",
        "decline_cta": "No",
    }
    offer = shown({"kind": "pause", "copy": copy}, facts={"notesCount": 12}, name="Ada Okafor")
    assert (offer.wording.headline, offer.wording.cta) == ("12 notes", "Stay, Ada")
    assert shown({"kind": "pause", "copy": copy}).wording.headline == "Your notes"


def test_words_that_the_flow_leaves_out_are_left_to_the_page() -> None:
    assert shown({"kind": "pause"}).wording.model_dump(exclude_none=True) == {}


def test_markup_in_a_value_stays_text_in_rich_text() -> None:
    copy = {"headline": "{{company|you}}", "body": "<p>For {{company|you}}</p>"}
    offer = shown({"kind": "pause", "copy": copy}, facts={"company": "<b>A&B</b>"})
    assert offer.wording.body == "<p>For &lt;b&gt;A&amp;B&lt;/b&gt;</p>"
    assert offer.wording.headline == "<b>A&B</b>"  # plain text, escaped by the page


def test_where_contact_and_redirect_lead() -> None:
    contact, redirect = (
        shown({"kind": "contact", **KINDS["contact"]}),
        shown({"kind": "redirect", **KINDS["redirect"]}),
    )
    assert contact.link is not None
    assert contact.link.email == "help@shop.example"
    assert redirect.link is not None
    assert (redirect.link.url, redirect.link.label) == ("https://shop.example/guide", "The guide")
    assert shown({"kind": "pause"}).link is None
