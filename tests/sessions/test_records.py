"""What is kept of a session: what was seen and for how long, offered, said, and what merchants are told."""

import json
from datetime import UTC, datetime

from app.db.tables.events import EventRow
from tests.support.desk import Desk
from tests.support.pages import FROM_US


async def test_each_step_is_kept_with_how_long_it_was_looked_at(desk: Desk) -> None:
    page = await desk.enter()
    for seconds, button, fields in (
        (5, "Continue", {"reason": "price"}),
        (20, "No, continue to cancel", {}),
        (7, "Continue", {}),
        (60, "Continue", {"feedback": "Bye"}),
        (3, "Cancel my subscription", {}),
    ):
        await desk.visitor.open(page.url, headers=FROM_US)  # a reload is no second view
        desk.clock.advance(seconds=seconds)
        page = await desk.visitor.submit(page, button, fields)
    views = desk.session().steps_viewed
    assert [(v["step"], v["kind"]) for v in views][:5] == [
        ("why", "survey"),
        ("why.offer", "offer"),
        ("what-ends", "message"),
        ("anything-else", "feedback"),
        ("confirm", "confirm"),
    ]
    assert [seconds_of(v) for v in views[:5]] == [5, 20, 7, 60, 3]
    assert views[-1]["step"] == "finished"


async def test_offers_are_kept_as_shown_with_what_became_of_them(desk: Desk) -> None:
    survey = await desk.enter()
    declined = await desk.visitor.submit(survey, "Continue", {"reason": "price"})
    desk.clock.advance(seconds=4)
    await desk.visitor.submit(declined, "No, continue to cancel")
    desk.clock.advance(seconds=4)
    taken = await desk.visitor.submit(survey, "Continue", {"reason": "broken"})
    desk.clock.advance(seconds=4)
    await desk.visitor.submit(taken, "Get in touch")
    discount, contact = sorted(desk.offers(), key=lambda o: o.presented_at)
    assert (discount.kind, discount.status, discount.accepted_at) == ("discount", "declined", None)
    assert discount.declined_at is not None
    assert discount.shown["terms"]["options"][0]["change"]["percentOff"] in (50, "50")
    assert (contact.kind, contact.status, contact.effect_id) == ("contact", "applied", None)
    assert contact.accepted_at == contact.settled_at == desk.clock.now()
    assert {o.placement for o in (discount, contact)} == {"why.offer:price", "why.offer:broken"}


async def test_an_applied_offer_points_to_the_change_that_it_became(desk: Desk) -> None:
    await desk.visitor.submit(await desk.at_offer("price"), "Take 50% off")
    (offer,), (effect,) = desk.offers(), desk.effects()
    assert (offer.status, offer.effect_id, effect.decision_id) == ("applied", effect.id, offer.id)
    assert effect.shown == offer.shown
    assert effect.change == offer.shown["terms"]["options"][0]["change"]
    assert (effect.status, effect.confirmation, effect.attempts) == ("applied", "read_back", 1)


async def test_why_an_offer_was_or_was_not_shown_is_kept(desk: Desk) -> None:
    await desk.at_offer("more-time")  # he is on no trial
    (considered,) = [e for e in desk.session().explanations if e["at"] == "why.offer:more-time"]
    (offer,) = considered["why"]
    assert (offer["offer"], offer["shown"]) == ("two-weeks", False)
    assert offer["blockers"]


async def test_merchants_are_told_in_order_and_numbered_without_a_gap(desk: Desk) -> None:
    page = await desk.at_offer("price")
    page = await desk.visitor.submit(page, "No, continue to cancel")
    page = await desk.visitor.submit(page, "Cancel now")
    await desk.visitor.submit(page, "Cancel my subscription")
    told = [e for e in desk.events() if e.session_id]
    told.sort(key=lambda e: e.sequence)
    assert [e.type for e in told] == [
        "session.started",
        "session.offer_presented",
        "session.offer_declined",
        "cancellation.requested",
        "effect.applied",
        "cancellation.confirmed",
        "session.completed",
    ]
    assert [e.sequence for e in told] == list(range(1, 8))
    assert desk.session().event_count == 7
    completed = told[-1].data
    assert (completed["outcome"], completed["reason"], completed["subscriptionId"]) == (
        "canceled",
        "price",
        "sub_ben_pro",
    )


async def test_the_exchange_tells_which_session_it_opened(desk: Desk) -> None:
    await desk.enter()
    links = [e for e in desk.all(EventRow) if e.type.startswith("cancel_link.")]
    assert {e.type for e in links} == {"cancel_link.exchanged", "cancel_link.consumed"}
    assert {e.data["sessionId"] for e in links} == {desk.session().id}


async def test_no_event_holds_a_name_or_a_phone_or_a_token(desk: Desk) -> None:
    document = desk.store.find_customer("test", "cus_ben")
    assert document is not None
    document["phone"] = "+49 170 5550100"
    subscriptions = desk.store.list_subscriptions("test", "cus_ben", desk.clock.now())
    desk.store.put_customer("test", document, subscriptions)
    page = await desk.visitor.submit(await desk.at_offer("price"), "Take 50% off")
    assert page.h1 == "Your discount is in place"
    told = json.dumps([e.data for e in desk.events()])
    for secret in ("Ben", "Halvorsen", "5550100", "cl_", desk.merchant.api_key):
        assert secret not in told


async def test_an_answer_given_anew_replaces_the_old_one_and_no_offer_is_shown_twice(desk: Desk) -> None:
    survey = await desk.enter()
    for _ in range(3):
        await desk.visitor.submit(survey, "Continue", {"reason": "price"})
        await desk.visitor.submit(survey, "Continue", {"reason": "broken"})
    assert [e for e in desk.told() if e == "session.offer_presented"] == ["session.offer_presented"] * 2
    assert len(desk.offers()) == 2


def seconds_of(view: dict[str, str]) -> float:
    began, ended = (datetime.fromisoformat(view[n]).astimezone(UTC) for n in ("started_at", "ended_at"))
    return (ended - began).total_seconds()
