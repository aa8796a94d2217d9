"""A change from the customer's press to the end: tried while he waits, seen through by the worker, on record."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from app.core.commands import ConfirmCancel
from app.core.state import Phase
from app.db import outbox
from app.db.tables.outbox import OutboxJob
from app.effects.service import GIVE_UP_AFTER
from app.sessions import carrying, service, settling
from app.sessions.ports import LONGEST_PATIENCE_S, SessionPorts
from app.sessions.records import EFFECT_JOB
from demo.billing.faults import Fault
from tests.support.desk import BillingServer, Desk
from tests.support.merchant import BILLING_KEY
from tests.support.pages import FROM_A_PAGE, Page, Visitor
from tests.support.press import press

pytestmark = pytest.mark.anyio

SUBSCRIPTION = "sub_ben_pro"


async def accept(desk: Desk, reason: str = "price") -> Page:
    return await press(desk.visitor, await desk.at_offer(reason), "accept")


async def cancel(desk: Desk) -> Page:
    return await press(desk.visitor, await desk.at_confirm(), "confirm")


async def work(desk: Desk, *, after: timedelta = timedelta(hours=1)) -> None:
    """The worker does what is due by then."""
    desk.clock.advance(seconds=after.total_seconds())
    await desk.worker().drain()


def owed(desk: Desk) -> list[OutboxJob]:
    """Changes that are still to be carried out."""
    return [job for job in desk.all(OutboxJob) if job.kind == EFFECT_JOB]


def status_of(desk: Desk) -> tuple[str, str | None, str]:
    (effect,) = desk.effects()
    return effect.status, effect.failed_reason, desk.session().phase


# --- Everything agrees ----------------------------------------------------------------------------------------


async def test_an_offer_that_is_applied_at_once(desk: Desk) -> None:
    page = await accept(desk)
    (effect,) = desk.effects()
    (offer,) = desk.offers()
    assert desk.billed() == ["discount"]
    assert (effect.status, effect.confirmation, effect.attempts) == ("applied", "read_back", 1)
    assert (offer.status, offer.effect_id, offer.settled_at) == ("applied", effect.id, effect.applied_at)
    assert (desk.session().phase, desk.session().outcome) == (Phase.FINISHED, "discount_accepted")
    assert desk.told()[-2:] == ["effect.applied", "session.completed"]
    assert owed(desk) == []
    assert page.path.endswith("/done")


async def test_a_try_that_ends_after_the_change_is_settled_notes_nothing(desk: Desk) -> None:
    """The session may have been erased meanwhile; billing's words are not to come back."""
    await accept(desk)
    (effect,) = desk.effects()
    await desk.database.write(
        settling.put_off,
        effect_id=effect.id,
        job=None,
        holder="a try that hung",
        error="ben@example.com owes us",
        due_at=desk.clock.now(),
        waits=False,
        now=desk.clock.now(),
    )
    (after,) = desk.effects()
    assert (after.status, after.last_error) == ("applied", None)


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ("read", "500"),
        ("read", "drop"),
        ("before_commit", "500"),
        ("before_commit", "drop"),
        ("before_commit", "429"),
        ("after_commit", "500"),
        ("after_commit", "drop"),
    ],
)
@pytest.mark.parametrize("what", ["discount", "pause", "cancel"])
async def test_a_fault_on_the_way_is_made_up_for_by_the_worker(
    desk: Desk, what: str, point: str, kind: str
) -> None:
    reasons = {"discount": "price", "pause": "unused"}
    page = await desk.at_offer(reasons[what]) if what in reasons else await desk.at_confirm()
    desk.break_billing(point, times=1, kind=kind)
    page = await press(desk.visitor, page, "accept" if what in reasons else "confirm")
    assert page.path.endswith("/working")
    assert desk.effects()[0].last_error
    await work(desk)
    assert desk.billed() == [what]
    assert status_of(desk) == ("applied", None, "finished")
    assert (await desk.visitor.open(page.url)).path.endswith("/working")  # any address shows the result
    assert desk.told().count("effect.applied") == 1
    assert desk.told().count("session.completed") == 1


async def test_what_got_through_unanswered_is_recognised_and_not_sent_again(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("after_commit", times=1, kind="drop")
    await press(desk.visitor, page, "accept")
    desk.break_billing("before_commit")  # whoever sends it again would meet this
    await work(desk)
    assert status_of(desk) == ("applied", None, "finished")
    assert desk.effects()[0].attempts == 1


# --- Patience ---------------------------------------------------------------------------------------------------


def test_a_customer_waits_eight_seconds_at_most_and_never_as_long_as_the_lease() -> None:
    def ports(lease_s: float) -> SessionPorts:
        return SessionPorts(None, None, None, None, holder="me", base_url="", lease_s=lease_s)

    assert ports(600).patience_s == LONGEST_PATIENCE_S == 8
    assert ports(2).patience_s == 1


async def test_a_provider_that_hangs_costs_the_customer_no_more_than_the_patience(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.faults.plan(Fault("before_commit", "hang"))
    submitted = await submit_cancel(desk, page)
    impatient = replace(desk.session_ports(), lease_s=0.2)
    await carrying.try_now(impatient, submitted)
    assert status_of(desk) == ("pending", None, "working")
    assert desk.effects()[0].last_error == "The billing system did not answer in time."
    working = await desk.visitor.open(page.url)
    assert "One moment" in working.h1
    await work(desk)
    assert desk.billed() == ["cancel"]
    assert status_of(desk) == ("applied", None, "finished")


async def submit_cancel(desk: Desk, page: Page) -> tuple[outbox.Job, ...]:
    """Confirm, with nobody trying the change at once; its lease is the caller's to use."""
    session = desk.session()
    submitted = await desk.database.write(
        service.submit,
        session_id=session.id,
        browser_sha256=session.browser_sha256 or "",
        command=ConfirmCancel(),
        holder=desk.session_ports().holder,
        now=desk.clock.now(),
    )
    return submitted.jobs


# --- Waiting and giving up --------------------------------------------------------------------------------------


async def test_a_provider_that_names_a_time_is_left_alone_until_then(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.faults.plan(Fault("before_commit", "429", retry_after=120))
    await press(desk.visitor, page, "confirm")
    (job,) = owed(desk)
    assert job.due_at == desk.clock.now() + timedelta(seconds=120)
    await work(desk, after=timedelta(seconds=119))
    assert desk.billed() == []
    await work(desk, after=timedelta(seconds=2))
    assert desk.billed() == ["cancel"]


async def test_a_merchant_whose_connection_is_unfinished_does_not_cost_the_customer_the_page(
    desk: Desk,
) -> None:
    page = await desk.at_confirm()
    desk.merchant.change(provider="gone")
    page = await press(desk.visitor, page, "confirm")
    assert page.path.endswith("/working")
    desk.merchant.change(provider="demo")
    await work(desk)
    assert status_of(desk) == ("applied", None, "finished")


async def test_a_cancellation_that_cannot_be_made_for_three_days_becomes_a_persons_task(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.break_billing("read")
    await press(desk.visitor, page, "confirm")
    await work(desk, after=GIVE_UP_AFTER - timedelta(minutes=1))
    assert status_of(desk) == ("pending", None, "working")
    await work(desk, after=timedelta(hours=2))
    assert status_of(desk) == ("failed", "provider_unavailable", "finished")
    assert desk.session().outcome == "manual_cancellation_requested"
    assert "cancellation.manual_required" in desk.told()
    assert "cancellation.confirmed" not in desk.told()


async def test_an_offer_that_cannot_be_made_for_three_days_is_not_made_later(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("read")
    await press(desk.visitor, page, "accept")
    desk.faults.clear()
    await work(desk, after=GIVE_UP_AFTER + timedelta(hours=1))
    assert desk.billed() == []
    assert status_of(desk) == ("failed", "provider_unavailable", "trouble")
    assert [offer.status for offer in desk.offers()] == ["failed"]


async def test_a_change_that_had_got_through_is_on_record_even_after_three_days(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("after_commit", times=1, kind="drop")
    await press(desk.visitor, page, "accept")
    await work(desk, after=GIVE_UP_AFTER + timedelta(hours=1))
    assert status_of(desk) == ("applied", None, "finished")


# --- Withdrawn --------------------------------------------------------------------------------------------------


async def go_on_to_cancel(desk: Desk, working: Page) -> Page:
    """From the working page of an offer: the exit, then the confirmation."""
    return await press(desk.visitor, await press(desk.visitor, working, "cancel_now"), "confirm")


async def test_an_offer_that_was_never_sent_is_not_sent_after_the_customer_went_on_to_cancel(
    desk: Desk,
) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("read")
    working = await press(desk.visitor, page, "accept")
    await go_on_to_cancel(desk, working)
    desk.faults.clear()
    await work(desk)
    assert desk.billed() == ["cancel"]
    assert desk.session().outcome == "canceled"
    offer_effect, cancel_effect = sorted(desk.effects(), key=lambda effect: effect.type, reverse=True)
    assert (offer_effect.status, offer_effect.failed_reason) == ("failed", "withdrawn")
    assert cancel_effect.status == "applied"
    assert [offer.status for offer in desk.offers()] == ["failed"]


async def test_an_offer_that_got_through_unseen_is_on_record_and_the_cancellation_follows_it(
    desk: Desk,
) -> None:
    page = await desk.at_offer("unused")
    desk.break_billing("after_commit", times=1, kind="drop")
    working = await press(desk.visitor, page, "accept")
    working = await go_on_to_cancel(desk, working)
    assert working.path.endswith("/working")
    await work(desk, after=timedelta(minutes=1))
    await work(desk, after=timedelta(minutes=1))
    assert desk.billed() == ["pause", "cancel"]
    assert {effect.status for effect in desk.effects()} == {"applied"}
    assert desk.session().outcome == "canceled"
    assert [offer.status for offer in desk.offers()] == ["applied"]


async def test_a_withdrawn_offer_that_may_still_be_on_its_way_holds_the_cancellation_back(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("before_commit", times=1, kind="500")
    working = await press(desk.visitor, page, "accept")
    await go_on_to_cancel(desk, working)
    await work(desk, after=timedelta(seconds=20))
    assert desk.billed() == []
    assert [effect.status for effect in desk.effects()] == ["pending", "pending"]
    await work(desk, after=settling.LANDING_TIME)
    await work(desk, after=timedelta(seconds=5))
    assert desk.billed() == ["cancel"]


async def test_two_changes_of_one_instant_do_not_wait_for_each_other(desk: Desk) -> None:
    """The clock has not moved between them."""
    page = await desk.at_offer("price")
    desk.break_billing("read", times=1)
    working = await press(desk.visitor, page, "accept")
    done = await go_on_to_cancel(desk, working)
    assert desk.session().outcome == "canceled", done.h1


# --- Sent twice -------------------------------------------------------------------------------------------------


async def test_what_was_sent_twice_has_time_to_come_through_before_it_is_undone(desk: Desk) -> None:
    """The first sending may still be on its way: behind the undoing it would cancel what was to go on."""
    page = await desk.at_confirm()
    desk.break_billing("before_commit", times=1, kind="500")
    await press(desk.visitor, page, "confirm")
    await work(desk, after=timedelta(seconds=5))
    assert desk.effects()[0].attempts == 2
    result = await desk.visitor.open(page.url)
    await press(desk.visitor, result, "uncancel")
    await work(desk, after=timedelta(seconds=20))
    assert desk.billed() == ["cancel"]
    await work(desk, after=settling.LANDING_TIME)
    assert desk.billed() == ["cancel", "uncancel"]
    assert desk.session().outcome == "uncanceled"


async def test_what_was_sent_once_is_undone_at_once(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.break_billing("after_commit", times=1, kind="drop")
    await press(desk.visitor, page, "confirm")
    await work(desk, after=timedelta(seconds=5))
    await press(desk.visitor, await desk.visitor.open(page.url), "uncancel")
    assert desk.billed() == ["cancel", "uncancel"]


# --- Races ------------------------------------------------------------------------------------------------------


async def test_two_tabs_that_accept_at_once_get_one_offer_once(desk: Desk) -> None:
    page = await desk.at_offer("price")
    pages = await asyncio.gather(*(press(desk.visitor, page, "accept") for _ in range(5)))
    assert desk.billed() == ["discount"]
    assert len(desk.effects()) == 1
    assert desk.told().count("session.offer_accepted") == 1
    assert {found.status for found in pages} == {200}


async def test_two_sessions_that_accept_get_one_offer(desk: Desk) -> None:
    """Two links, two browsers, one subscription: the second offer was worked out on what is no longer so."""
    first = await desk.at_offer("price")
    async with desk.browser() as client:
        other = Visitor(client)
        link = desk.merchant.mint("cus_ben")
        second = await other.submit(
            await other.open(link, headers=FROM_A_PAGE), "Continue", {"reason": "unused"}
        )
        await asyncio.gather(press(desk.visitor, first, "accept"), press(other, second, "accept"))
        await work(desk)
    assert len(desk.billed()) == 1
    assert sorted(effect.status for effect in desk.effects()) == ["applied", "failed"]
    assert sorted(offer.status for offer in desk.offers()) == ["applied", "failed"]


async def test_a_worker_that_was_held_up_does_not_take_its_twins_change_for_somebody_elses(
    desk: Desk, billing_server: BillingServer
) -> None:
    """It began when nothing had been sent, and what it then reads is what the other one has just brought about."""
    page = await desk.at_offer("price")
    desk.break_billing("read", times=1)
    await press(desk.visitor, page, "accept")
    (job,) = owed(desk)
    desk.faults.plan(Fault("read", "hang"))
    desk.faults.plan(Fault("after_commit", "drop"))
    key = {"Authorization": f"Bearer {BILLING_KEY}"}
    async with httpx.AsyncClient(base_url=billing_server.url, headers=key) as billing:
        held_up = asyncio.create_task(carrying.work_on(desk.session_ports(), a_twin(job)))
        await billing.get("/faults/held", params={"point": "read"})
        with pytest.raises(outbox.RetryLater):
            await carrying.work_on(desk.session_ports(), a_twin(job))
        await billing.post("/faults/release")
        with pytest.raises(outbox.RetryLater):
            await held_up
    await work(desk)
    assert desk.billed() == ["discount"]
    assert status_of(desk) == ("applied", None, "finished")


def a_twin(job: OutboxJob) -> outbox.Job:
    return outbox.Job(job.id, job.kind, job.subject_id, {}, attempts=2)


async def test_two_workers_with_the_same_change_make_it_once(desk: Desk) -> None:
    """A lease ran out under a process that lives: both carry on, and one result is written down."""
    page = await desk.at_offer("price")
    desk.break_billing("read", times=1)
    await press(desk.visitor, page, "accept")
    (job,) = owed(desk)
    results = await asyncio.gather(
        *(carrying.work_on(desk.session_ports(), a_twin(job)) for _ in range(4)), return_exceptions=True
    )
    assert all(result is None or isinstance(result, outbox.RetryLater) for result in results)
    assert desk.billed() == ["discount"]
    assert status_of(desk) == ("applied", None, "finished")
    assert desk.told().count("effect.applied") == 1
