"""What customers notice while a billing system is left alone: they wait for nothing, and get what they asked for."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlmodel import select

from app.connections import health
from app.connections.guard import FAIR_S, RESTS
from app.core.world import read_world
from app.db.database import Database
from app.db.tables.connections import Connection
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.sessions.records import EFFECT_JOB
from app.setup import connecting
from tests.support import desk as desks
from tests.support.clock import FakeClock
from tests.support.desk import BillingServer, Desk
from tests.support.merchant import BILLING_KEY
from tests.support.press import press


@pytest.fixture(scope="module")
def billing_server() -> Iterator[BillingServer]:
    with desks.billing_server() as serving:
        yield serving


@pytest.fixture
async def desk(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> AsyncIterator[Desk]:
    async with desks.desk_of(database, clock, tmp_path, billing_server) as opened:
        yield opened


def rest(desk: Desk, seconds: float = 120) -> None:
    """Another process has been told to come back later."""
    desk.database.write_sync(
        health.note_failure,
        desk.ports.vault,
        app_id=desk.merchant.app_id,
        failure=health.Failure("The billing service answered 429.", retry_after=seconds),
        claim=None,
        now=desk.clock.now(),
    )


async def test_a_session_opens_without_billing(desk: Desk) -> None:
    rest(desk)
    desk.break_billing(kind="hang")  # whoever asks it all the same would wait for good
    page = await desk.enter()
    assert page.status == 200
    assert not read_world(desk.session().snapshot).is_verified
    await desk.faults.release()


async def test_a_cancellation_is_put_off_until_billing_wants_to_be_asked(desk: Desk) -> None:
    page = await desk.at_confirm()
    rest(desk)
    page = await press(desk.visitor, page, "confirm")
    assert page.path.endswith("/working")
    [effect] = desk.effects()
    assert (effect.status, effect.attempts, effect.last_error) == ("pending", 0, RESTS)
    [job] = desk.database.read_sync(
        lambda db: list(db.exec(select(OutboxJob).where(OutboxJob.kind == EFFECT_JOB)))
    )
    assert job.due_at == desk.clock.now() + timedelta(seconds=120)
    assert desk.billed() == []
    desk.clock.advance(seconds=120)
    await desk.worker().drain()
    assert desk.billed() == ["cancel"]
    assert desk.effects()[0].status == "applied"


async def test_what_was_put_off_is_done_as_soon_as_billing_is_found_mended(desk: Desk) -> None:
    page = await desk.at_confirm()
    rest(desk, seconds=900)
    await press(desk.visitor, page, "confirm")
    desk.clock.advance(seconds=60)
    await desk.worker().drain()
    assert desk.effects()[0].status == "pending"
    allowed = desk.ports.settings.allowed_networks
    ports = connecting.Ports(desk.database, desk.ports.vault, desk.ports.http, desk.clock, allowed)
    assert await connecting.check_connection(ports, app_id=desk.merchant.app_id)
    await desk.worker().drain()
    assert desk.billed() == ["cancel"]
    assert desk.effects()[0].status == "applied"


async def test_what_billing_lets_nobody_make_for_three_days_goes_on_to_a_person(desk: Desk) -> None:
    page = await desk.at_confirm()
    rest(desk, seconds=900)
    await press(desk.visitor, page, "confirm")
    for _ in range(80):
        desk.clock.advance(minutes=55)
        rest(desk, seconds=900)
        await desk.worker().drain()
    assert [effect.status for effect in desk.effects()] == ["failed"]
    assert desk.billed() == []
    [request] = desk.all(CancellationRequest)
    assert (request.customer_id, request.closed_at, request.reasons) == (
        "cus_ben",
        None,
        ["provider_unavailable"],
    )


# --- Billing that says nothing at all ---------------------------------------------------------------------------

HANGS = 1000


def fail_all_but_once(desk: Desk) -> None:
    """One failure more, and it is left alone."""
    for _ in range(health.FAILURES - 1):
        desk.database.write_sync(
            health.note_failure,
            desk.ports.vault,
            app_id=desk.merchant.app_id,
            failure=health.Failure("The billing service answered 500."),
            claim=None,
            now=desk.clock.now(),
        )


def failures(desk: Desk) -> int:
    return desk.all(Connection)[0].failures


async def test_billing_that_hangs_as_sessions_open_is_left_alone(desk: Desk) -> None:
    fail_all_but_once(desk)
    desk.merchant.change(customer_data_timeout_ms=int(FAIR_S * 1000) + 1000)
    desk.break_billing(kind="hang", times=HANGS)
    [hanging] = desk.faults.planned
    page = await desk.enter()
    assert page.status == 200
    asked = HANGS - hanging.times
    assert (failures(desk), asked > 0) == (health.FAILURES, True)
    desk.merchant.change(customer_data_timeout_ms=60_000)  # who asks it now waits until the test is given up
    page = await desk.enter()
    assert page.status == 200
    assert HANGS - hanging.times == asked, "nobody has asked it again"
    assert not any(read_world(row.snapshot).is_verified for row in desk.sessions())


async def test_a_customer_who_goes_away_while_billing_is_asked_is_no_failure(
    desk: Desk, billing_server: BillingServer
) -> None:
    fail_all_but_once(desk)
    desk.break_billing(kind="hang", times=HANGS)
    going = asyncio.create_task(desk.enter())
    async with httpx.AsyncClient(base_url=billing_server.url) as control:
        key = {"Authorization": f"Bearer {BILLING_KEY}"}
        await control.get("/faults/held", params={"point": "read"}, headers=key)
    going.cancel()
    await asyncio.wait([going])
    desk.faults.clear()
    assert failures(desk) == health.FAILURES - 1
    page = await desk.enter()
    assert read_world(desk.sessions()[-1].snapshot).is_verified, page.h1
