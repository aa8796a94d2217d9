"""What a billing system tells of is read back, and taken in by everything that rests on it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from app.adapters.standard_webhooks import new_secret
from app.core.drift import Drift
from app.db import outbox
from app.db.outbox import Job
from app.sessions import queries, reconciling
from app.sessions.reconciling import CannotBeAsked, Known
from tests.support.desk import Desk
from tests.support.press import press

pytestmark = pytest.mark.anyio

BEN = Known("cus_ben", "sub_ben_pro")


def elsewhere(desk: Desk, action: str, **body: Any) -> None:
    """Somebody changes Ben's subscription at the billing system itself."""
    done = desk.store.act("test", "sub_ben_pro", action, body, f"by-hand-{action}", desk.clock.now())
    assert done.status == 200, done.body


async def told(
    desk: Desk, *subscription_ids: str, customer_ids: tuple[str, ...] = (), attempts: int = 1
) -> None:
    """The billing system's webhook has come in, and the worker takes it up."""
    named = {"subscription_ids": list(subscription_ids), "customer_ids": list(customer_ids)}
    job = Job("job_1", "reconcile", desk.merchant.app_id, named, attempts)
    await reconciling.work_on(desk.session_ports(), job)


async def compared(desk: Desk, days: int = 30) -> list[tuple[str, list[Drift], str | None]]:
    findings, _, _ = await reconciling.compare(
        desk.session_ports(),
        app_id=desk.merchant.app_id,
        since=desk.clock.now() - timedelta(days=days),
    )
    return [
        (one.known.subscription_id, [found.drift for found in one.differences], one.trouble)
        for one in findings
    ]


# --- Told of a change -------------------------------------------------------------------------------------------------


async def test_a_cancellation_made_elsewhere_shows_in_an_open_session(desk: Desk) -> None:
    page = await desk.enter()
    elsewhere(desk, "cancel", timing="period_end")
    await told(desk, "sub_ben_pro")
    assert desk.session().phase == "scheduled"
    assert "already ends on" in (await desk.visitor.open(page.url)).h1


async def test_answers_survive_what_is_changed_elsewhere(desk: Desk) -> None:
    await desk.at_offer("price")
    elsewhere(desk, "cancel", timing="period_end")
    await told(desk, "sub_ben_pro")
    elsewhere(desk, "uncancel")
    await told(desk, "sub_ben_pro")
    assert desk.session().phase == "walking"
    assert desk.session().state["answers"]["why"]["reason"] == "price"


async def test_it_is_found_by_its_customer_too(desk: Desk) -> None:
    await desk.enter()
    elsewhere(desk, "cancel", timing="period_end")
    await told(desk, customer_ids=("cus_ben",))
    assert desk.session().phase == "scheduled"


async def test_a_webhook_is_not_believed_and_what_it_names_is_read_back(desk: Desk) -> None:
    await desk.enter()
    before = desk.everything()
    await told(desk, "sub_ben_pro", "sub_nothing", "sub_dana_pro", customer_ids=("cus_dana", "cus_nobody"))
    assert desk.everything() == before


async def test_a_pause_that_was_ended_elsewhere_is_no_longer_ours_and_cools_down_from_then(
    desk: Desk,
) -> None:
    await press(desk.visitor, await desk.at_offer("unused"), "accept", {"option": "2-months"})
    (effect,) = desk.effects()
    assert effect.status == "applied"
    desk.clock.advance(days=10)
    elsewhere(desk, "resume")
    await told(desk, "sub_ben_pro")
    assert desk.effects()[0].ended_at == desk.clock.now()
    history = desk.database.read_sync(
        queries.history_of,
        app_id=desk.merchant.app_id,
        customer_id="cus_ben",
        subscription_ids=["sub_ben_pro"],
        now=desk.clock.now(),
    )["sub_ben_pro"]
    assert not history.paused_by_us
    assert history.last_pause_ended_at == desk.clock.now()


async def test_what_still_holds_is_left_as_it_is(desk: Desk) -> None:
    await press(desk.visitor, await desk.at_offer("unused"), "accept", {"option": "2-months"})
    await told(desk, "sub_ben_pro")
    assert desk.effects()[0].ended_at is None


async def test_a_change_that_waits_is_tried_at_once(desk: Desk) -> None:
    page = await desk.at_confirm()
    desk.break_billing("before_commit", times=1)
    await press(desk.visitor, page, "confirm")
    (effect,) = desk.effects()
    assert effect.status == "pending"
    desk.break_billing("read", times=1)
    desk.clock.advance(seconds=3)
    await desk.worker().drain()  # fails once more, and would wait
    await told(desk, "sub_ben_pro")
    await desk.worker().drain()
    assert desk.effects()[0].status == "applied"
    assert desk.billed() == ["cancel"]


async def test_while_billing_is_down_the_webhook_is_taken_up_later(desk: Desk) -> None:
    await desk.enter()
    desk.break_billing()
    with pytest.raises(outbox.RetryLater):
        await told(desk, "sub_ben_pro")


async def test_a_webhook_that_cannot_be_taken_up_for_a_day_is_let_go(desk: Desk) -> None:
    await desk.enter()
    before = desk.everything()
    desk.break_billing()
    await told(desk, "sub_ben_pro", attempts=reconciling.MOST_TRIES)
    after = dict(desk.everything())
    assert {name for name in after if after[name] != before[name]} <= {"connections"}


async def test_what_differs_from_what_was_done_just_now_is_read_again_before_it_is_believed(
    desk: Desk,
) -> None:
    await press(desk.visitor, await desk.at_offer("unused"), "accept", {"option": "2-months"})
    elsewhere(desk, "resume")  # or so it looks: the read may be from before the pause
    with pytest.raises(outbox.RetryLater):
        await told(desk, "sub_ben_pro")
    assert desk.effects()[0].ended_at is None
    desk.clock.advance(seconds=61)
    await told(desk, "sub_ben_pro")
    assert desk.effects()[0].ended_at == desk.clock.now()


# --- A merchant asks --------------------------------------------------------------------------------------------------


async def test_what_is_as_promised_is_not_listed(desk: Desk) -> None:
    await press(desk.visitor, await desk.at_offer("price"), "accept")
    assert await compared(desk) == []


async def test_what_was_undone_elsewhere_is_listed(desk: Desk) -> None:
    await press(desk.visitor, await desk.at_confirm(), "confirm")
    elsewhere(desk, "uncancel")
    assert await compared(desk) == [("sub_ben_pro", [Drift.STILL_RUNNING], None)]


async def test_only_what_was_promised_since_then_is_looked_at(desk: Desk) -> None:
    await press(desk.visitor, await desk.at_confirm(), "confirm")
    elsewhere(desk, "uncancel")
    desk.clock.advance(days=10)
    assert await compared(desk, days=5) == []


async def test_what_could_not_be_looked_at_is_said(desk: Desk) -> None:
    await press(desk.visitor, await desk.at_confirm(), "confirm")
    desk.break_billing()
    ((subscription_id, drifts, trouble),) = await compared(desk)
    assert (subscription_id, drifts) == ("sub_ben_pro", [])
    assert trouble


async def test_billing_of_ones_own_cannot_be_asked_and_nothing_is_said_to_be_gone(desk: Desk) -> None:
    await press(desk.visitor, await desk.at_offer("unused"), "accept", {"option": "2-months"})
    own = {"action_url": "https://billing.example/action", "action_secret": new_secret()}
    sealed = desk.session_ports().vault.seal(json.dumps(own))
    desk.merchant.change(provider="direct", provider_config=sealed)
    desk.clock.advance(days=1)
    await told(desk, "sub_ben_pro")  # on its way when the merchant changed over
    assert desk.effects()[0].ended_at is None
    with pytest.raises(CannotBeAsked):
        await compared(desk)


async def test_an_offer_given_up_after_three_days_that_was_made_all_the_same_is_listed(desk: Desk) -> None:
    page = await desk.at_offer("price")
    desk.break_billing("after_commit", times=1, kind="drop")
    await press(desk.visitor, page, "accept")
    desk.break_billing("read")
    desk.clock.advance(days=4)
    await desk.worker().drain()
    (effect,) = desk.effects()
    assert effect.status == "failed"
    desk.faults.clear()
    desk.clock.advance(hours=1)
    assert await compared(desk) == [("sub_ben_pro", [Drift.MADE_AFTER_ALL], None)]
