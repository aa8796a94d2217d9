"""A merchant's backend, ready to ask."""

from collections.abc import AsyncIterator

import pytest

from app.db.database import Database
from tests.support.backend import Backend, Backends, serving
from tests.support.clock import FakeClock


@pytest.fixture
async def backends(database: Database, clock: FakeClock) -> AsyncIterator[Backends]:
    async with serving(database, clock) as found:
        yield found


@pytest.fixture
async def backend(backends: Backends) -> Backend:
    return backends.test
