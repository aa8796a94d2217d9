"""A pause of time that is paid for: what is shown before, what billing then has, and what follows from it."""

from datetime import datetime, timedelta

import pytest

from app.core.calendar import iso, parse_moment
from app.db.tables.mail import Mail
from app.db.tables.receipts import Receipt
from tests.cancel.test_results import facts, options, row_of, short, written
from tests.support.desk import Desk
from tests.support.press import press

pytestmark = pytest.mark.anyio

CHEN, CHENS = "cus_chen", "sub_chen_pro"


def renewal(desk: Desk) -> datetime:
    return parse_moment(desk.subscription(CHENS)["status"]["currentPeriod"]["end"])


async def begin(desk: Desk, number: int = 0) -> None:
    offer = await desk.at_offer("unused", CHEN)
    await press(desk.visitor, offer, "accept", {"option": options(offer)[number]["value"]})


@pytest.mark.parametrize("number", [0, 2])
async def test_both_renewals_are_shown_before_and_billing_has_the_later_one_after(
    desk: Desk, number: int
) -> None:
    before = renewal(desk)
    offer = await desk.at_offer("unused", CHEN)
    assert "The break begins now." in offer.text
    assert f"moves from {short(iso(before))}" in offer.text
    assert "nothing is charged until then" in offer.text
    chosen = options(offer)[number]
    page = await desk.visitor.submit(offer, "Pause my subscription", {"option": chosen["value"]})
    after = renewal(desk)
    label = next(e.text for e in offer.root.all("label") if e["for"] == chosen["id"])
    assert f"Renews on {short(iso(after))}" in label
    assert desk.subscription(CHENS)["status"]["name"] == "active"
    assert desk.billed(CHENS) == ["pause"]
    assert (page.h1, row_of(desk)) == ("Your break has begun", ("finished", "pause_accepted"))
    assert facts(page)["Renews on"] == f"{short(iso(after))} instead of {short(iso(before))}"
    assert facts(page)["Next charge"] == f"$290.00 on {short(iso(after))}"
    ends_at = desk.clock.now() + (after - before)
    assert facts(page)["Starts again on"] == written(iso(ends_at))
    assert f"lasts until {written(iso(ends_at))}" in page.text


async def test_who_is_on_a_break_is_neither_told_to_resume_nor_offered_another(desk: Desk) -> None:
    await begin(desk)
    desk.clock.advance(days=3)
    page = await desk.enter(CHEN)
    assert page.h1 == "Why do you want to leave?"
    page = await desk.visitor.submit(page, "Continue", {"reason": "unused"})
    assert page.h1 == "What ends"
    desk.clock.advance(days=30)
    page = await desk.at_offer("unused", CHEN)
    assert page.h1 == "Would a break help?"


async def test_two_tabs_begin_one_break(desk: Desk) -> None:
    first, second = await desk.at_offer("unused", CHEN), await desk.at_offer("unused", CHEN)
    before = renewal(desk)
    await press(desk.visitor, first, "accept", {"option": options(first)[0]["value"]})
    once = renewal(desk)
    await press(desk.visitor, second, "accept", {"option": options(second)[2]["value"]})
    assert before < once == renewal(desk)
    assert desk.billed(CHENS) == ["pause"]


async def test_a_cancellation_during_the_break_ends_it_at_the_moved_renewal(desk: Desk) -> None:
    await begin(desk)
    moved = renewal(desk)
    page = await desk.visitor.submit(await desk.at_confirm(CHEN), "Cancel my subscription")
    assert facts(page)["Ends on"] == written(iso(moved))
    assert parse_moment(desk.subscription(CHENS)["end"]) == moved


async def test_a_break_that_was_shown_before_the_renewal_is_not_begun_after_it(desk: Desk) -> None:
    document = desk.subscription(CHENS)
    soon = desk.clock.now() + timedelta(hours=1)
    document["status"]["currentPeriod"]["end"] = iso(soon)
    customer = desk.store.find_customer("test", CHEN)
    assert customer is not None
    desk.store.put_customer("test", customer, [document])
    offer = await desk.at_offer("unused", CHEN)
    desk.clock.advance(minutes=59)
    page = await desk.visitor.open(offer.path)  # still at it
    desk.clock.advance(minutes=2)
    page = await press(desk.visitor, page, "accept", {"option": options(page)[0]["value"]})
    assert page.h1 == "That did not work"
    assert [effect.failed_reason for effect in desk.effects()] == ["renewal_moved"]
    assert desk.billed(CHENS) == []
    assert renewal(desk) > soon + timedelta(days=360)


async def test_the_receipt_has_both_renewals(desk: Desk) -> None:
    before = renewal(desk)
    await begin(desk, 1)
    (receipt,) = desk.all(Receipt)
    said = receipt.content["facts"]
    assert (said["renewsBefore"], said["renewsAt"]) == (iso(before), iso(renewal(desk)))
    assert said["nextCharge"]["at"] == said["renewsAt"]
    assert parse_moment(said["resumesAt"]) - desk.clock.now() == renewal(desk) - before


def reminders(desk: Desk) -> list[Mail]:
    return [mail for mail in desk.all(Mail) if mail.kind == "pause_reminder"]


async def work_until(desk: Desk, moment: datetime) -> None:
    desk.clock.advance(seconds=(moment - desk.clock.now()).total_seconds())
    await desk.worker().drain()


async def test_the_end_of_a_break_is_announced_while_the_renewal_stands_where_it_was_moved(
    desk: Desk,
) -> None:
    before = renewal(desk)
    await begin(desk)
    ends_at = desk.clock.now() + (renewal(desk) - before)
    await work_until(desk, ends_at - timedelta(days=3))
    assert len(reminders(desk)) == 1


async def test_a_break_that_was_taken_back_elsewhere_is_not_announced(desk: Desk) -> None:
    before = renewal(desk)
    document = desk.subscription(CHENS)
    await begin(desk)
    ends_at = desk.clock.now() + (renewal(desk) - before)
    customer = desk.store.find_customer("test", CHEN)
    assert customer is not None
    desk.store.put_customer("test", customer, [document])
    await work_until(desk, ends_at - timedelta(days=3))
    assert reminders(desk) == []
