"""A merchant who is connected to an office, and processes that ask it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlmodel import select

from app.adapters.http import OutboundHttp
from app.adapters.places import Places
from app.adapters.vault import Vault
from app.connections import service
from app.core.billing import BillingProvider
from app.db.database import Database
from app.db.tables.accounts import Environment
from app.db.tables.connections import Connection
from app.db.tables.mail import Mail
from tests.support import office as offices
from tests.support.clock import FakeClock
from tests.support.merchant import Merchant, open_merchant
from tests.support.office import Office


@dataclass
class Process:
    """One of those that share the database: it has connections and a memory of its own."""

    merchant: Merchant
    database: Database
    http: OutboundHttp = field(default_factory=OutboundHttp)
    places: Places = field(default_factory=Places)

    @property
    def vault(self) -> Vault:
        return Vault(self.merchant.settings.secrets)

    async def billing(self, *, ends_at: float | None = None) -> BillingProvider:
        """The way of one more caller."""
        environment = self.database.read_sync(lambda db: db.get_one(Environment, self.merchant.app_id))
        return await service.connect(
            environment,
            database=self.database,
            vault=self.vault,
            http=self.http,
            clock=self.merchant.clock,
            places=self.places,
            ends_at=ends_at,
        )

    async def ask(self) -> None:
        """Ask as a caller does who has one question."""
        await (await self.billing()).find_customer("cus_1")

    def row(self) -> Connection:
        return self.database.read_sync(lambda db: db.get_one(Connection, self.merchant.app_id))

    def mails(self) -> list[Mail]:
        return self.database.read_sync(lambda db: list(db.exec(select(Mail))))


@pytest.fixture
def office() -> Iterator[Office]:
    with offices.opened() as opened:
        yield opened


@pytest.fixture
def merchant(database: Database, clock: FakeClock, office: Office) -> Merchant:
    return open_merchant(database, clock, provider="office", config=offices.config())


@pytest.fixture
def process(merchant: Merchant) -> Process:
    return Process(merchant, merchant.database)


@pytest.fixture
def other(merchant: Merchant, database_url: str) -> Iterator[Process]:
    """A second process on the same database."""
    with Database(database_url) as another:
        yield Process(merchant, another)
