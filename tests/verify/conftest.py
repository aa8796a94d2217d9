"""Addresses, codes, and a billing service that knows some of them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.db.database import Database
from tests.support import desk as desks
from tests.support.clock import FakeClock
from tests.support.desk import BillingServer
from tests.verify.world import World, world_of


@pytest.fixture(scope="session")
def billing_server() -> Iterator[BillingServer]:
    with desks.billing_server() as serving:
        yield serving


@pytest.fixture
async def world(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> AsyncIterator[World]:
    async with world_of(database, clock, tmp_path, billing_server) as opened:
        yield opened
