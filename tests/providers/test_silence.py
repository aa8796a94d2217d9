"""A vendor that takes calls and never answers: customers wait for it a few times, and then no more."""

import asyncio

import httpx
import pytest

from app.adapters.vault import Vault
from app.connections import health
from app.connections.guard import FAIR_S
from app.core.world import read_world
from app.db.tables.connections import Connection
from tests.providers.shop import Shop

pytestmark = pytest.mark.anyio


async def test_a_vendor_that_hangs_is_left_alone(shop: Shop) -> None:
    """Whatever his adapter is made of: threads, a library of his own, several calls at once."""
    shop.merchant.change(customer_data_timeout_ms=int(FAIR_S * 1000) + 1000)
    fail(shop, times=health.FAILURES - 2)
    shop.break_vendor("read", "hang", times=1000)
    try:
        for number in (health.FAILURES - 1, health.FAILURES):
            await shop.enter()
            assert failures(shop) == number
        asked = len(shop.simulator.log)
        page = await shop.enter()
        assert page.status == 200
        assert not read_world(shop.session().snapshot).is_verified
        assert len(shop.simulator.log) == asked, "nobody has asked it again"
    finally:
        await asyncio.to_thread(httpx.post, f"{shop.api_base}/_sim/faults/release")


def fail(shop: Shop, *, times: int) -> None:
    """As it has before, to others."""
    for _ in range(times):
        shop.merchant.database.write_sync(
            health.note_failure,
            Vault(shop.merchant.settings.secrets),
            app_id=shop.merchant.app_id,
            failure=health.Failure("The vendor answered 503."),
            claim=None,
            now=shop.clock.now(),
        )


def failures(shop: Shop) -> int:
    (row,) = shop.rows(Connection)
    return row.failures
