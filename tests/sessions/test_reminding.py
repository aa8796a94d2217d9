"""A pause that is about to end is announced, once, if it still stands."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.core.billing import Pause, parse_change
from app.db.tables.mail import Mail
from tests.support.desk import Desk
from tests.support.press import press

pytestmark = pytest.mark.anyio


def reminders(desk: Desk) -> list[Mail]:
    return [mail for mail in desk.all(Mail) if mail.kind == "pause_reminder"]


async def pause(desk: Desk) -> datetime:
    """Take the first of the offered pauses; when it ends."""
    await press(desk.visitor, await desk.at_offer("unused"), "accept")
    (effect,) = desk.effects()
    change = parse_change(effect.change)
    assert isinstance(change, Pause)
    assert effect.status == "applied"
    return change.resumes_at


async def work_until(desk: Desk, moment: datetime) -> None:
    desk.clock.advance(seconds=(moment - desk.clock.now()).total_seconds())
    await desk.worker().drain()


def elsewhere(desk: Desk, action: str, body: dict[str, Any]) -> None:
    desk.store.act("test", "sub_ben_pro", action, body, "elsewhere", desk.clock.now())


async def test_three_days_before_it_ends(desk: Desk) -> None:
    ends = await pause(desk)
    await work_until(desk, ends - timedelta(days=3, seconds=1))
    assert reminders(desk) == []
    await work_until(desk, ends - timedelta(days=3))
    (mail,) = reminders(desk)
    assert mail.recipient == "ben@example.com"
    await work_until(desk, ends + timedelta(days=1))
    assert len(reminders(desk)) == 1


@pytest.mark.parametrize("days", [1, 14])
async def test_the_merchant_says_how_long_before(desk: Desk, days: int) -> None:
    desk.merchant.change(pause_reminder_days=days)
    ends = await pause(desk)
    await work_until(desk, ends - timedelta(days=days, seconds=1))
    assert reminders(desk) == []
    await work_until(desk, ends - timedelta(days=days))
    assert len(reminders(desk)) == 1


@pytest.mark.parametrize("off_at", ["the pause", "the reminder"])
async def test_a_merchant_who_wants_none_has_none(desk: Desk, off_at: str) -> None:
    if off_at == "the pause":
        desk.merchant.change(pause_reminder_days=0)
    ends = await pause(desk)
    desk.merchant.change(pause_reminder_days=0)
    await work_until(desk, ends - timedelta(days=2))
    assert reminders(desk) == []


async def test_who_has_resumed_here_is_not_reminded(desk: Desk) -> None:
    ends = await pause(desk)
    await press(desk.visitor, await desk.enter(), "resume")
    assert desk.billed() == ["pause", "resume"]
    await work_until(desk, ends - timedelta(days=3))
    assert reminders(desk) == []


async def test_who_has_resumed_elsewhere_is_not_reminded(desk: Desk) -> None:
    ends = await pause(desk)
    elsewhere(desk, "resume", {})
    await work_until(desk, ends - timedelta(days=3))
    assert reminders(desk) == []


async def test_while_billing_does_not_answer_the_reminder_waits(desk: Desk) -> None:
    ends = await pause(desk)
    desk.break_billing("read")
    await work_until(desk, ends - timedelta(days=3))
    assert reminders(desk) == []
    desk.faults.clear()
    await work_until(desk, ends - timedelta(days=2))
    assert len(reminders(desk)) == 1


async def test_after_the_end_it_is_too_late_to_remind(desk: Desk) -> None:
    ends = await pause(desk)
    await work_until(desk, ends + timedelta(seconds=1))
    assert reminders(desk) == []
