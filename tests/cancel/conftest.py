"""A merchant with a billing service behind it, and a visitor before it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.db.database import Database
from tests.support import desk as desks
from tests.support.clock import FakeClock
from tests.support.codes import Mailbox
from tests.support.desk import BillingServer, Desk


@pytest.fixture(scope="session")
def billing_server() -> Iterator[BillingServer]:
    with desks.billing_server() as serving:
        yield serving


@pytest.fixture
async def mail_desk(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> AsyncIterator[Desk]:
    """A desk that can send mail, so that addresses can be proven."""
    async with desks.desk_of(database, clock, tmp_path, billing_server, mailer=Mailbox()) as opened:
        yield opened


@pytest.fixture
async def desk(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> AsyncIterator[Desk]:
    async with desks.desk_of(database, clock, tmp_path, billing_server) as opened:
        yield opened
