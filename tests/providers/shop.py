"""A merchant on a simulated vendor, and a customer before the pages: everything between them is real."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from litestar import Litestar
from sqlmodel import select

from app.adapters.billing.registry import PROVIDERS, connect
from app.adapters.http import OutboundHttp
from app.adapters.vault import Vault
from app.connections import service as connections
from app.core.direct import DirectSubscription, Obstacle, parse_subscriptions
from app.core.flow_check import parse_flow
from app.db.base import metadata
from app.db.database import Database
from app.db.tables.effects import Effect
from app.db.tables.receipts import Receipt
from app.db.tables.sessions import CancelSession, SessionOffer
from app.main import worker_of
from app.web.deps import ports_of
from demo.billing.faults import Fault
from demo.simulated import fitted
from tests.support import server
from tests.support.clock import START, FakeClock
from tests.support.desk import TEMPLATES
from tests.support.merchant import Merchant, open_merchant
from tests.support.pages import FROM_A_PAGE, FROM_US, Page, Visitor, visiting
from tests.support.press import press
from tests.support.simulator.books import Books
from tests.support.simulator.service import Simulator
from tests.support.simulator.vendors import make

FLOW = """
version: 1
name: By vendor
steps:
  - kind: survey
    id: why
    title: Why do you want to leave?
    reasons:
      - id: price
        label: It costs too much
        offers: [{{ kind: discount, id: half-price, percent: 50, duration: repeating, months: 3 }}]
      - id: coupon
        label: I was promised a coupon
        offers: [{{ kind: discount, id: by-coupon, coupon_id: "{coupon}" }}]
      - id: unused
        label: I do not use it
        offers: [{{ kind: pause, id: take-a-break, unit: month, max: 3 }}]
      - id: too-big
        label: It does more than I need
        offers: [{{ kind: plan_change, id: smaller, plans: [{{ price_id: "{lite}" }}] }}]
      - id: more-time
        label: I need more time
        offers: [{{ kind: trial_extension, id: two-weeks, days: 14 }}]
  - {{ kind: confirm, id: confirm, timing: period_end }}
"""


@dataclass
class Shop:
    """One merchant's test environment, the vendor behind it, and a visitor."""

    app: Litestar
    merchant: Merchant
    simulator: Simulator
    clock: FakeClock
    visitor: Visitor
    api_base: str
    pages: list[str]

    @property
    def books(self) -> Books:
        return self.simulator.books["test"]

    def id_of(self, name: str) -> str:
        return self.simulator.vendor.id_of(name)

    async def enter(self, customer: str = "cus_ben", **mint: Any) -> Page:
        """The shop's button: a link is minted, with the vendor's ids, and the browser sent to it."""
        link = self.merchant.mint(self.id_of(customer), **mint)
        return self._seen(await self.visitor.open(link, headers=FROM_A_PAGE))

    async def press(self, page: Page, action: str, fields: dict[str, str | bool] | None = None) -> Page:
        return self._seen(await press(self.visitor, page, action, fields))

    async def at_offer(self, reason: str, customer: str = "cus_ben") -> Page:
        return await self.press(await self.enter(customer), "continue", {"reason": reason})

    async def cancel(self, customer: str = "cus_ben", **mint: Any) -> Page:
        """All the way out."""
        page = await self.press(await self.enter(customer, **mint), "cancel_now")
        return await self.press(page, "confirm")

    async def said_after_a_while(self, page: Page) -> str:
        """What somebody reads who has waited longer than a change usually takes."""
        self.clock.advance(seconds=9)
        return (await self.visitor.open(page.url, headers=FROM_US)).h1

    async def work(self, hours: float = 1) -> None:
        """The worker does what is due by then."""
        self.clock.advance(hours=hours)
        await worker_of(ports_of(self.app.state)).drain()

    def break_vendor(self, point: str, kind: str, times: int = 1) -> None:
        self.simulator.faults.plan(Fault(point, kind, times=times))

    def set_credentials(self, **changes: str) -> None:
        """The operator enters others."""
        given = {"api_base": self.api_base, **self.simulator.vendor.credentials("test"), **changes}
        self.merchant.database.write_sync(
            connections.save,
            Vault(self.merchant.settings.secrets),
            app_id=self.merchant.app_id,
            provider=self.simulator.vendor.name,
            config=given,
            now=self.clock.now(),
        )

    def subscription(self, name: str) -> DirectSubscription:
        """The truth at the vendor."""
        found = self.simulator.vendor.find_subscription(self.books, self.id_of(name), self.clock.now())
        assert found is not None
        obstacles = found.pop("obstacles", None)
        parsed = parse_subscriptions([found], None)[0]
        return (
            parsed.model_copy(update={"obstacles": tuple(map(Obstacle, obstacles))}) if obstacles else parsed
        )

    def changes(self, name: str) -> list[str]:
        return [change["type"] for change in self.books.changes_of(self.id_of(name))]

    def rows(self, table: type[Any]) -> list[Any]:
        return self.merchant.database.read_sync(lambda db: list(db.exec(select(table)).all()))

    def session(self) -> CancelSession:
        return self.rows(CancelSession)[-1]

    def effects(self) -> list[Effect]:
        return self.rows(Effect)

    def offers(self) -> list[SessionOffer]:
        return self.rows(SessionOffer)

    def receipts(self) -> list[Receipt]:
        return self.rows(Receipt)

    def _seen(self, page: Page) -> Page:
        self.pages.append(page.response.text)
        return page


@asynccontextmanager
async def shop_on(vendor: str, database: Database) -> AsyncIterator[Shop]:
    clock = FakeClock(START)
    simulator = Simulator(make(vendor), clock=clock.now)
    simulator.seed()
    with server.served(simulator) as api_base:
        config = {"api_base": api_base, **simulator.vendor.credentials("test")}
        able = connect(vendor, config, http=OutboundHttp(()), clock=clock, mode="test").capabilities
        names = {
            "coupon": simulator.vendor.id_of("coupon_half_price"),
            "lite": simulator.vendor.id_of("price_lite_monthly"),
        }
        flow = parse_flow(fitted(yaml.safe_load(FLOW.format(**names)), able))
        merchant = open_merchant(database, clock, provider=vendor, config=config, flow=flow)
        app = merchant.app(templates=TEMPLATES)
        async with visiting(app) as visitor:
            yield Shop(app, merchant, simulator, clock, visitor, api_base, [])


def secrets_of(shop: Shop) -> list[str]:
    """Every value of a secret field that the vendor was given."""
    kind = PROVIDERS[shop.simulator.vendor.name]
    given = shop.simulator.vendor.credentials("test")
    values = [
        given[field.name] for field in kind.credential_fields if field.is_secret and field.name in given
    ]
    return [part for value in values for part in value.split()]


def database_dump(database: Database) -> str:
    """Every row of every table, as text."""

    def rows(db: Any) -> str:
        return "\n".join(
            repr(tuple(row))
            for table in metadata.sorted_tables
            for row in db.connection().execute(table.select())
        )

    return database.read_sync(rows)
