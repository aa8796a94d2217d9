import json
from datetime import UTC, datetime

import pytest

from app.core.billing import Pause
from app.core.direct import parse_customer, parse_subscriptions
from app.core.events import (
    ENDING_EVENTS,
    LINK_EVENTS,
    OFFER_EVENTS,
    Event,
    EventType,
    effect_event,
    ending_event,
    link_event,
    offer_event,
    session_started,
    unverified_request,
    webhook_test,
)
from tests.core.shapes import CUSTOMER, SUBSCRIPTION

NOW = datetime(2025, 4, 10, tzinfo=UTC)


def one_of_each() -> list[Event]:
    who = parse_customer({**CUSTOMER, "name": "Given", "lastName": "Family", "phone": "555-0100"})
    links = [
        link_event(
            type, link_id="lnk_1", customer_id="c", subscription_id=None, is_single_use=True, expires_at=NOW
        )
        for type in LINK_EVENTS
    ]
    offers = [
        offer_event(type, decision_id="dec_1", offer_id="half", kind="discount", placement="why.offer")
        for type in OFFER_EVENTS
    ]
    endings = [
        ending_event(
            type,
            outcome="canceled",
            subscription_id="sub_456",
            reason="price",
            follow_up=None,
            feedback="Too dear.",
            used_exit=False,
        )
        for type in ENDING_EVENTS
    ]
    started = session_started(
        session_id="cs_1",
        customer_id="c",
        flow_version_id="fv_1",
        customer=who,
        subscriptions=parse_subscriptions([SUBSCRIPTION], who),
    )
    applied = effect_event(
        effect_id="eff_1", is_applied=True, change=Pause(resumes_at=NOW), reference="sub_456"
    )
    failed = effect_event(effect_id="eff_1", is_applied=False, reason="refused")
    wish = unverified_request(
        request_id="req_1", reference="LW-1", email="a@b.example", note=None, blockers=["email_not_verified"]
    )
    test = webhook_test(endpoint_id="whk_1")
    return [*links, *offers, *endings, started, applied, failed, wish, test]


def test_every_type_has_a_shape_of_plain_json() -> None:
    events = one_of_each()
    assert {event.type for event in events} == set(EventType)
    for event in events:
        assert json.loads(json.dumps(event.data)) == event.data


def test_no_event_carries_a_name_or_phone() -> None:
    told = json.dumps([event.data for event in one_of_each()])
    assert "jane@acme.com" in told
    for private in ("Given", "Family", "555-0100", "lastName", "phone"):
        assert private not in told


def test_a_link_event_says_whose_link_it_is() -> None:
    event = link_event(
        EventType.CANCEL_LINK_EXCHANGED,
        link_id="lnk_1",
        customer_id="cus_123",
        subscription_id="sub_456",
        is_single_use=True,
        expires_at=NOW,
        session_id="cs_1",
    )
    assert event.data == {
        "linkId": "lnk_1",
        "customerId": "cus_123",
        "subscriptionId": "sub_456",
        "singleUse": True,
        "expiresAt": "2025-04-10T00:00:00Z",
        "sessionId": "cs_1",
    }


def test_a_builder_refuses_a_type_that_is_not_its_own() -> None:
    with pytest.raises(ValueError, match="not about an offer"):
        offer_event(EventType.SESSION_STARTED, decision_id="d", offer_id="o", kind="pause", placement="p")


def test_a_request_of_nobody_in_a_session_can_be_read_like_one_out_of_a_session() -> None:
    of_session, of_nobody = (
        event for event in one_of_each() if event.type is EventType.CANCELLATION_MANUAL_REQUIRED
    )
    assert of_nobody.data["outcome"] == "manual_cancellation_requested"
    assert set(of_session.data) | {"blockers"} <= set(of_nobody.data)
    assert (of_nobody.data["customerId"], of_nobody.data["email"]) == (None, "a@b.example")
