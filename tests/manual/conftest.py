"""A merchant to whom people leave requests, and the worker that tells him."""

import pytest

from app.db.database import Database
from tests.manual.desk import RequestDesk, open_desk
from tests.support.clock import FakeClock


@pytest.fixture
def desk(database: Database, clock: FakeClock) -> RequestDesk:
    return open_desk(database, clock)
