"""One shop for each simulated vendor, on an embedded database: what differs between databases is tested elsewhere."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.db.database import Database
from tests.providers.shop import Shop, shop_on
from tests.support import databases
from tests.support.simulator.vendors import VENDORS


@pytest.fixture
def embedded(run_folder: Path, tmp_path: Path) -> Iterator[Database]:
    with Database(databases.fresh_sqlite(run_folder, tmp_path)) as database:
        yield database


@pytest.fixture(params=sorted(VENDORS))
async def shop(request: pytest.FixtureRequest, embedded: Database) -> AsyncIterator[Shop]:
    async with shop_on(request.param, embedded) as opened:
        yield opened
