"""`leavewell reconcile`: what was promised against what there is."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.db.database import Database
from tests.cli.conftest import Ran, Run
from tests.support import desk as desks
from tests.support.clock import FakeClock
from tests.support.desk import BillingServer
from tests.support.press import press


def test_where_nothing_was_changed_there_is_nothing_to_compare(run: Run, app_id: str) -> None:
    ran = run("reconcile", app_id)
    assert (ran.code, ran.out) == (0, "")
    assert "Nothing was changed in the last 30 days." in ran.err


def test_an_environment_that_is_not_there_is_named(run: Run) -> None:
    ran = run("reconcile", "app_test_nothing")
    assert ran.code == 1
    assert ran.errors


def test_how_far_to_look_back_is_bounded(run: Run, app_id: str) -> None:
    assert run("reconcile", app_id, "--days", "401").code == 2


@pytest.fixture(scope="module")
def billing_server() -> Iterator[BillingServer]:
    with desks.billing_server() as serving:
        yield serving


@pytest.mark.anyio
async def test_what_could_not_be_looked_at_is_not_counted_as_broken(
    run: Run, database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> None:
    async with desks.desk_of(database, clock, tmp_path, billing_server) as desk:
        await press(desk.visitor, await desk.at_confirm(), "confirm")
        app_id = desk.merchant.app_id

        async def reconcile() -> Ran:
            return await asyncio.to_thread(
                run, "reconcile", app_id, "--days", "400", LEAVEWELL_ALLOWED_NETWORKS="127.0.0.0/8"
            )

        asked = await reconcile()
        assert (asked.code, asked.out) == (0, "")
        assert "1 subscriptions changed in the last 400 days; 0 not as promised." in asked.err
        desk.break_billing()
        failed = await reconcile()
        assert failed.code == 1
        assert "could not be looked at" in failed.out
        assert "0 not as promised" in failed.err
        assert f"1 could not be looked at: leavewell connections show {app_id}" in failed.err
