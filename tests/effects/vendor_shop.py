"""A merchant whose billing is a simulated vendor, and his customers: all in this process, on the tests' clock."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import select
from sqlmodel import Session

from app.adapters.billing import registry
from app.adapters.http import OutboundHttp
from app.core.billing import Capability
from app.db.database import Database
from app.db.tables.effects import Effect
from app.db.tables.receipts import Receipt
from app.db.tables.sessions import CancelSession, SessionOffer
from app.main import worker_of
from app.web.deps import ports_of
from app.worker import Worker
from demo.billing.faults import Fault
from tests.crash.actions import Action, flow_of
from tests.support.clock import FakeClock
from tests.support.desk import TEMPLATES
from tests.support.merchant import Merchant, open_merchant
from tests.support.pages import FROM_A_PAGE, Page, Visitor, visiting
from tests.support.server import served
from tests.support.simulator.books import Books, Document
from tests.support.simulator.service import Simulator
from tests.support.simulator.vendors import make

T = TypeVar("T")
MANY = 1000
# Two customers with the same subscription.
BEN, FARAH = ("cus_ben", "sub_ben_pro"), ("cus_farah", "sub_farah_pro")


@dataclass
class VendorShop:
    simulator: Simulator
    merchant: Merchant
    clock: FakeClock
    visitor: Visitor
    worker: Worker
    able: frozenset[Capability]

    @property
    def books(self) -> Books:
        return self.simulator.books["test"]

    def id_of(self, name: str) -> str:
        return self.simulator.vendor.id_of(name)

    async def enter(self, customer: str = "cus_ben") -> Page:
        link = self.merchant.mint(self.id_of(customer))
        return await self.visitor.open(link, headers=FROM_A_PAGE)

    async def reach(self, action: Action, customer: str = "cus_ben") -> Page:
        return await action.reach(self.visitor, await self.enter(customer))

    async def count_writes(self, action: Action) -> int:
        """How many calls that change something it takes; tried out with another customer."""
        screen = await self.reach(action, FARAH[0])
        with self.counting() as count:
            await action.ask(self.visitor, screen)
            writes = count()
        assert self.done(FARAH[1]) == action.done
        return writes

    def show_nothing_new(self) -> None:
        """From now on each read sees what is so now, whatever is changed."""
        known = self.books
        self.simulator.books["test"] = _Standing(known.mode, None, known.state, known.changes, known.state)
        self.simulator.stale_reads = MANY

    @contextmanager
    def counting(self) -> Iterator[Callable[[], int]]:
        fault = Fault("before_commit", "slow", times=MANY, seconds=0)
        self.simulator.faults.plan(fault)
        yield lambda: MANY - fault.times
        self.simulator.faults.clear()

    def fail_write(self, number: int, point: str, kind: str) -> None:
        """Let that call of those that change something go wrong."""
        faults = self.simulator.faults
        if number > 1:
            faults.plan(Fault(point, "slow", times=number - 1, seconds=0))
        faults.plan(Fault(point, kind))

    async def work(self, *, after: timedelta = timedelta(minutes=1)) -> None:
        """The worker does what is due by then."""
        self.clock.advance(seconds=after.total_seconds())
        await self.worker.drain()

    def done(self, subscription: str = "sub_ben_pro") -> list[str]:
        """What the vendor has really changed, in order."""
        return [change["type"] for change in self.books.changes_of(self.id_of(subscription))]

    def subscription(self, subscription: str = "sub_ben_pro") -> dict[str, Any]:
        """The truth."""
        now = self.clock.now()
        self.simulator.vendor.settle(self.books, now)
        found = self.simulator.vendor.find_subscription(self.books, self.id_of(subscription), now)
        assert found is not None
        return found

    def everything(self) -> str:
        """All that the vendor keeps."""
        return json.dumps(self.books.state)

    def effects(self) -> list[Effect]:
        return sorted(self._all(Effect), key=lambda effect: effect.requested_at)

    def sessions(self) -> list[CancelSession]:
        return sorted(self._all(CancelSession), key=lambda session: session.created_at)

    def offers(self) -> list[SessionOffer]:
        return self._all(SessionOffer)

    def receipts(self) -> list[Receipt]:
        return sorted(self._all(Receipt), key=lambda receipt: receipt.created_at)

    def _all(self, table: type[T]) -> list[T]:
        return self.merchant.database.read_sync(_all, table)


class _Standing(Books):
    """Of which is seen what was so at the beginning."""

    @contextmanager
    def commit(self) -> Iterator[Document]:
        seen = self.before
        with super().commit() as draft:
            yield draft
        self.before = seen


@asynccontextmanager
async def vendor_shop(database: Database, clock: FakeClock, vendor: str) -> AsyncIterator[VendorShop]:
    simulator = Simulator(make(vendor), clock=clock.now)
    simulator.seed()
    with served(simulator) as url:
        config = {"api_base": url, **simulator.vendor.credentials("test")}
        http = OutboundHttp()
        able = registry.connect(vendor, config, http=http, clock=clock, mode="test").capabilities
        flow = flow_of(simulator.vendor.id_of, vendor, able, "period_end")
        merchant = open_merchant(database, clock, provider=vendor, config=config, flow=flow)
        app = merchant.app(templates=TEMPLATES)
        async with visiting(app) as visitor:
            yield VendorShop(simulator, merchant, clock, visitor, worker_of(ports_of(app.state)), able)


def _all(db: Session, table: type[T]) -> list[T]:
    return list(db.exec(select(table)).scalars())
