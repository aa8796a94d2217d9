"""What a customer has in writing after each way a session can end, and while a change is still to be made."""

from datetime import timedelta
from typing import Any

import pytest

from app.core.calendar import parse_moment
from app.db.tables.manual import CancellationRequest
from app.db.tables.receipts import Receipt
from app.sessions import undoing
from app.sessions.undoing import NothingToUndo
from demo.billing.faults import Fault
from tests.support.desk import Desk
from tests.support.pages import FROM_A_PAGE
from tests.support.press import press

BEN = "ben@example.com"
ELSEWHERE = "f" * 64  # another browser than the one that canceled


def receipts(desk: Desk) -> list[Receipt]:
    return sorted(desk.all(Receipt), key=lambda each: (each.created_at, each.status == "confirmed"))


def told(desk: Desk) -> list[tuple[str, str]]:
    return [(each.content["type"], each.status) for each in receipts(desk)]


def only(desk: Desk) -> dict[str, Any]:
    (receipt,) = receipts(desk)
    return receipt.content


async def cancel(desk: Desk, customer: str = "cus_ben") -> None:
    await press(desk.visitor, await desk.at_confirm(customer), "confirm")


def elsewhere(desk: Desk, action: str, body: dict[str, Any]) -> None:
    """Something is done at the billing system that did not come from us."""
    desk.store.act("test", "sub_ben_pro", action, body, "elsewhere", desk.clock.now())


async def later(desk: Desk, **passed: float) -> None:
    desk.clock.advance(seconds=timedelta(**passed).total_seconds())
    await desk.worker().drain()


async def test_a_cancellation_is_proven_with_its_end_and_the_way_back(desk: Desk) -> None:
    await cancel(desk)
    (receipt,) = receipts(desk)
    content = receipt.content
    subscription = desk.subscription()
    assert told(desk) == [("cancellation", "confirmed")]
    assert parse_moment(content["facts"]["endsAt"]) == parse_moment(subscription["end"])
    assert content["undoUntil"] == content["facts"]["endsAt"]
    assert parse_moment(content["requestedAt"]) == desk.clock.now()
    assert content["sessionId"] == receipt.session_id == desk.session().id
    assert content["merchant"]["name"] == "Northwind Notes"
    assert content["plan"] == "Pro"
    assert receipt.recipient == BEN
    assert receipt.effect_id == desk.effects()[0].id


@pytest.mark.parametrize(
    ("reason", "customer", "kind"),
    [
        ("price", "cus_ben", "discount"),
        ("unused", "cus_ben", "pause"),
        ("too-big", "cus_ben", "plan_change"),
        ("more-time", "cus_dana", "trial_extension"),
    ],
)
async def test_an_accepted_offer_is_proven_as_it_was_shown(
    desk: Desk, reason: str, customer: str, kind: str
) -> None:
    await press(desk.visitor, await desk.at_offer(reason, customer), "accept")
    (offer,) = desk.offers()
    content = only(desk)
    assert told(desk) == [(kind, "confirmed")]
    assert content["offer"]["decisionId"] == offer.id
    assert content["offer"]["headline"] == offer.shown["wording"].get("headline")


@pytest.mark.parametrize("ending", ["keep", "contact"])
async def test_nothing_is_proven_where_nothing_was_changed(desk: Desk, ending: str) -> None:
    if ending == "keep":
        await press(desk.visitor, await desk.at_confirm(), "keep")
    else:
        await press(desk.visitor, await desk.at_offer("broken"), "accept")
    assert desk.session().phase == "finished"
    assert receipts(desk) == []


async def test_while_billing_is_down_the_request_is_proven_at_once_and_its_success_later(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.break_billing("read")
    requested_at = desk.clock.now()
    await press(desk.visitor, page, "confirm")
    assert told(desk) == [("cancellation", "requested")]
    assert only(desk)["confirmedAt"] is None
    await later(desk, seconds=1)
    assert told(desk) == [("cancellation", "requested")], "a second failure is no second receipt"
    desk.faults.clear()
    await later(desk, hours=1)
    assert told(desk) == [("cancellation", "requested"), ("cancellation", "confirmed")]
    confirmed = receipts(desk)[1].content
    assert parse_moment(confirmed["requestedAt"]) == requested_at
    assert parse_moment(confirmed["confirmedAt"]) > requested_at
    assert desk.billed() == ["cancel"]


async def test_who_was_told_of_a_request_is_told_that_it_failed(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("read")
    await press(desk.visitor, page, "accept")
    assert told(desk) == [("discount", "requested")]
    await later(desk, days=4)
    assert told(desk) == [("discount", "requested"), ("discount", "failed")]
    assert desk.billed() == []


async def test_an_offer_that_fails_on_the_spot_needs_no_letter(desk: Desk) -> None:
    page = await desk.at_offer("price")
    elsewhere(desk, "cancel", {"timing": "now"})
    await press(desk.visitor, page, "accept")
    assert desk.session().phase == "trouble"
    assert receipts(desk) == []


async def test_a_cancellation_that_billing_never_took_goes_to_a_person_and_says_so(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.break_billing("read")
    await press(desk.visitor, page, "confirm")
    await later(desk, days=4)
    assert told(desk) == [("cancellation", "requested"), ("cancellation_request", "requested")]
    (request,) = desk.all(CancellationRequest)
    assert (request.session_id, request.customer_id) == (desk.session().id, "cus_ben")
    assert request.reasons == ["provider_unavailable"]
    assert request.closed_at is None


async def test_taking_it_back_on_the_result_page_is_proven_too(desk: Desk) -> None:
    page = await press(desk.visitor, await desk.at_confirm(), "confirm")
    desk.clock.advance(seconds=60)
    await press(desk.visitor, page, "uncancel")
    assert told(desk) == [("cancellation", "confirmed"), ("uncancel", "confirmed")]


# --- The customer's clock -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("America/New_York", "America/New_York"),
        ("Europe/Kyiv", "Europe/Kyiv"),
        ("Mars/Olympus", None),
        ("../../etc/passwd", None),
        ("Europe", None),
        ("x" * 3000, None),
    ],
)
async def test_times_are_given_by_the_clock_of_the_browser_if_there_is_such_a_zone(
    desk: Desk, said: str, kept: str | None
) -> None:
    page = await desk.at_confirm()
    desk.visitor.client.cookies.set("lw_zone", said, path="/cancel")
    await press(desk.visitor, page, "confirm")
    assert only(desk)["timeZone"] == kept


async def test_what_the_merchant_says_of_the_zone_goes_before_the_browser(desk: Desk) -> None:
    desk.merchant.change(time_zone="Europe/Paris")
    page = await desk.at_confirm(attributes={"timezone": "Asia/Tokyo"})
    desk.visitor.client.cookies.set("lw_zone", "America/New_York", path="/cancel")
    await press(desk.visitor, page, "confirm")
    assert only(desk)["timeZone"] == "Asia/Tokyo"


async def test_a_merchant_may_name_the_zone_of_those_whose_is_not_known(desk: Desk) -> None:
    desk.merchant.change(time_zone="Europe/Paris")
    await cancel(desk)
    assert only(desk)["timeZone"] == "Europe/Paris"


# --- Undo from the receipt ------------------------------------------------------------------------------------------


async def undo(desk: Desk, receipt_id: str | None = None, browser: str = ELSEWHERE) -> str:
    return await undoing.undo(
        desk.session_ports(), receipt_id=receipt_id or receipts(desk)[0].id, browser_sha256=browser
    )


async def test_a_cancellation_is_taken_back_days_later_in_another_browser(desk: Desk) -> None:
    await cancel(desk)
    await later(desk, days=3)
    session_id = await undo(desk)
    assert desk.billed() == ["cancel", "uncancel"]
    assert told(desk)[1:] == [("uncancel", "confirmed")]
    undone = next(s for s in desk.sessions() if s.id == session_id)
    assert (undone.outcome, undone.entry, undone.browser_sha256) == ("uncanceled", "receipt", ELSEWHERE)
    with pytest.raises(NothingToUndo):
        await undo(desk, browser="e" * 64)


async def test_pressed_twice_it_is_one_session(desk: Desk) -> None:
    await cancel(desk)
    assert await undo(desk) == await undo(desk)
    assert desk.billed() == ["cancel", "uncancel"]


async def test_it_is_asked_for_while_billing_is_down_and_done_when_it_is_up_again(desk: Desk) -> None:
    await cancel(desk)
    await later(desk, days=2)
    desk.break_billing("read", times=20)
    await undo(desk)
    assert told(desk)[1:] == [("uncancel", "requested")]
    desk.faults.clear()
    await later(desk, hours=1)
    assert desk.billed() == ["cancel", "uncancel"]
    assert told(desk)[1:] == [("uncancel", "requested"), ("uncancel", "confirmed")]


async def test_after_the_end_there_is_nothing_to_undo(desk: Desk) -> None:
    await cancel(desk)
    until = parse_moment(only(desk)["undoUntil"])
    desk.clock.advance(seconds=(until - desk.clock.now()).total_seconds())
    with pytest.raises(NothingToUndo):
        await undo(desk)
    assert desk.billed() == ["cancel"]


async def test_what_was_taken_back_elsewhere_stays_as_it_is(desk: Desk) -> None:
    await cancel(desk)
    elsewhere(desk, "uncancel", {})
    session_id = await undo(desk)
    undone = next(s for s in desk.sessions() if s.id == session_id)
    assert undone.outcome == "kept"
    assert desk.effects()[0].type == "cancel"
    assert len(desk.effects()) == 1


async def test_only_a_confirmed_cancellation_can_be_undone(desk: Desk) -> None:
    await press(desk.visitor, await desk.at_offer("price"), "accept")
    for receipt_id in (receipts(desk)[0].id, "rcp_unknown"):
        with pytest.raises(NothingToUndo):
            await undo(desk, receipt_id)


async def test_an_undo_does_not_count_as_a_visit_to_cancel(desk: Desk) -> None:
    await cancel(desk)
    await undo(desk)
    await desk.visitor.open(desk.merchant.mint("cus_ben"), headers=FROM_A_PAGE)
    latest = [s for s in desk.sessions() if s.entry == "link"]
    assert len(latest) == 2
    histories = [s.snapshot["history"]["sub_ben_pro"]["sessions"] for s in latest]
    assert sorted(histories) == [0, 1]


async def test_a_provider_that_hangs_is_told_of_as_asked_for(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.faults.plan(Fault("before_commit", "hang"))
    await press(desk.visitor, page, "confirm")
    assert told(desk) == [("cancellation", "requested")]
