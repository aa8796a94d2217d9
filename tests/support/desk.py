"""The hosted page with everything behind it: a merchant, the demo's billing service, a flow with every kind of step,
and a visitor at the door."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

import httpx
from jinja2 import Environment, FileSystemLoader, Template
from litestar import Litestar
from litestar.types import Receive, Scope, Send
from sqlalchemy import Table, select
from sqlmodel import Session

from app.adapters.mail import Mailer
from app.core.flow import FlowDefinition
from app.db.base import metadata
from app.db.database import Database
from app.db.tables.effects import Effect
from app.db.tables.events import EventRow
from app.db.tables.links import CancelLink
from app.db.tables.sessions import CancelSession, SessionOffer
from app.flows import files
from app.main import ROOT, session_ports_of, worker_of
from app.sessions.ports import SessionPorts
from app.web.deps import Ports, ports_of
from app.worker import Worker
from demo.billing.faults import Fault, Faults
from demo.billing.seed import seed
from demo.billing.service import create_app as create_billing
from demo.billing.store import Store
from tests.support import server
from tests.support.clock import FakeClock
from tests.support.merchant import BILLING_KEY, Merchant, open_merchant
from tests.support.pages import FROM_A_PAGE, Page, Visitor, new_client, visiting

FLOW = """
version: 1
name: Every kind
steps:
  - kind: survey
    id: why
    title: Why do you want to leave?
    reasons:
      - id: price
        label: It costs too much
        follow_up:
          kind: options
          question: What would help?
          options: [{ id: lower, label: A lower price }, { id: nothing, label: Nothing right now }]
        offers:
          - { kind: discount, id: half-price, percent: 50, duration: repeating, months: 3 }
      - id: unused
        label: I do not use it
        offers: [{ kind: pause, id: take-a-break, unit: month, max: 3 }]
      - id: missing
        label: Something is missing
        follow_up: { kind: text, question: "What is missing?", required: true, min_length: 3 }
        offers:
          - { kind: redirect, id: whats-new, url: "https://northwind.example/new", label: What is new }
      - id: broken
        label: Something is broken
        follow_up: { kind: text, question: "What is broken?" }
        offers: [{ kind: contact, id: get-help, email: help@northwind.example, label: Write to support }]
      - id: too-big
        label: It does more than I need
        offers:
          - kind: plan_change
            id: smaller
            plans: [{ price_id: price_lite_monthly }, { price_id: price_lite_yearly }]
      - id: more-time
        label: I need more time
        offers: [{ kind: trial_extension, id: two-weeks, days: 14 }]
      - { id: other, label: Something else }
  - kind: message
    id: what-ends
    title: What ends
    body: "Your {{plan|plan}} stays yours until it ends."
    points: [Sync, Shared notebooks]
  - kind: feedback
    id: anything-else
    title: Anything else?
  - kind: confirm
    id: confirm
    timing: period_end
    losses: [Sync between devices]
"""

T = TypeVar("T")


def root_of(page: Page) -> str:
    """The session's own address, `/cancel/s/cs_…`, of any of its pages."""
    return "/".join(page.path.split("/")[:4])


def flow(text: str = FLOW) -> FlowDefinition:
    return files.load_yaml(text, "flow.yaml")


class _Compiled(FileSystemLoader):
    """Compiles each template once for all the applications of a run: that is half of what starting one takes."""

    def __init__(self) -> None:
        super().__init__(ROOT / "templates")
        self._code: dict[str, CodeType] = {}

    def load(
        self, environment: Environment, name: str, globals: MutableMapping[str, Any] | None = None
    ) -> Template:
        if name not in self._code:
            source, path, _ = self.get_source(environment, name)
            self._code[name] = environment.compile(source, name, path)
        return environment.template_class.from_code(environment, self._code[name], globals or {})


TEMPLATES = _Compiled()


class BillingServer:
    """One server for many tests; each puts its own billing service behind the address."""

    def __init__(self) -> None:
        self.app: Litestar | None = None
        self.url = ""
        self._calls = 0
        self._changed = threading.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # type: ignore[comparison-overlap]  # Litestar types requests only
            for answer in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{answer}.complete"})
            return
        assert self.app is not None, "no test has put its billing service here"
        self._count(1)
        try:
            await self.app(scope, receive, send)
        finally:
            self._count(-1)

    def wait_until_idle(self) -> None:
        """Return once no call uses the store any more, so that it can be closed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._calls == 0, timeout=5), "a billing call never ends"

    def _count(self, change: int) -> None:
        with self._changed:
            self._calls += change
            self._changed.notify_all()


@contextmanager
def billing_server() -> Iterator[BillingServer]:
    billing = BillingServer()
    with server.served(billing) as billing.url:
        yield billing


@dataclass
class Desk:
    """A visitor before a running application, and what a test looks into afterwards."""

    app: Litestar
    merchant: Merchant
    clock: FakeClock
    visitor: Visitor
    store: Store
    faults: Faults

    @property
    def database(self) -> Database:
        return self.merchant.database

    @property
    def ports(self) -> Ports:
        return ports_of(self.app.state)

    def session_ports(self) -> SessionPorts:
        """The ports of one more process."""
        return session_ports_of(self.ports)

    def worker(self) -> Worker:
        return worker_of(self.ports)

    def browser(self) -> httpx.AsyncClient:
        """One more browser, with cookies of its own."""
        return new_client(self.app)

    async def enter(self, customer: str = "cus_ben", *, status: int = 200, **mint: Any) -> Page:
        """Press the shop's button: a link is minted and the browser sent to it."""
        return await self.visitor.open(
            self.merchant.mint(customer, **mint), headers=FROM_A_PAGE, status=status
        )

    async def exchanging(self, customer: str = "cus_ben") -> dict[str, Any]:
        """What `opening.enter` is given when our visitor's browser comes by a new link."""
        path = self.merchant.mint(customer)
        # A page with a button: nothing is exchanged yet, and the browser is known from now on.
        await self.visitor.open(path)
        cookie = self.ports.signer.read("browser", self.visitor.client.cookies["lw_browser"].strip('"'))
        assert cookie is not None
        return {
            "token_sha256": self.ports.signer.read_link(path.removeprefix("/cancel/")),
            "browser_sha256": hashlib.sha256(cookie.partition(".")[0].encode()).hexdigest(),
            "accept_language": None,
        }

    async def at_offer(self, reason: str, customer: str = "cus_ben", **mint: Any) -> Page:
        """Enter and give a reason that leads to an offer."""
        return await self.visitor.submit(await self.enter(customer, **mint), "Continue", {"reason": reason})

    async def at_confirm(self, customer: str = "cus_ben", **mint: Any) -> Page:
        """Enter and press the exit."""
        return await self.visitor.submit(await self.enter(customer, **mint), "Cancel now")

    def break_billing(self, point: str = "read", times: int = 1000, kind: str = "500") -> None:
        self.faults.plan(Fault(point=point, kind=kind, times=times))

    def subscription(self, subscription_id: str = "sub_ben_pro") -> dict[str, Any]:
        """What the billing service holds now."""
        found = self.store.find_subscription("test", subscription_id, self.clock.now())
        assert found is not None
        return found

    def billed(self, subscription_id: str = "sub_ben_pro") -> list[str]:
        """What was really done there, in order."""
        return [event["type"] for event in self.store.list_events("test", subscription_id)]

    # --- Rows ---

    def all(self, table: type[T]) -> list[T]:
        return self.database.read_sync(_all, table)

    def sessions(self) -> list[CancelSession]:
        return self.all(CancelSession)

    def session(self) -> CancelSession:
        (only,) = self.sessions()
        return only

    def links(self) -> list[CancelLink]:
        return self.all(CancelLink)

    def offers(self) -> list[SessionOffer]:
        return self.all(SessionOffer)

    def effects(self) -> list[Effect]:
        return self.all(Effect)

    def events(self) -> list[EventRow]:
        return sorted(self.all(EventRow), key=lambda e: (e.created_at, e.session_id or "", e.sequence))

    def told(self) -> list[str]:
        """The types of the only session's events, in their order."""
        return [e.type for e in sorted(self.all(EventRow), key=lambda e: e.sequence) if e.session_id]

    def everything(self) -> Mapping[str, object]:
        """Every row of every table, to see that nothing changed."""
        return self.database.read_sync(_everything)


@asynccontextmanager
async def desk_of(
    database: Database,
    clock: FakeClock,
    folder: Path,
    billing: BillingServer,
    *,
    flow_text: str = FLOW,
    mailer: Mailer | None = None,
    **settings: Any,
) -> AsyncIterator[Desk]:
    store, faults = Store(folder / "billing.sqlite3"), Faults()
    seed(store, clock.now())
    billing.app = create_billing(store, key=BILLING_KEY, faults=faults, now=clock.now)
    merchant = open_merchant(database, clock, billing_url=billing.url, flow=flow(flow_text), **settings)
    app = merchant.app(templates=TEMPLATES, mailer=mailer)
    try:
        async with visiting(app) as visitor:
            yield Desk(app, merchant, clock, visitor, store, faults)
    finally:
        if any(faults.held.values()):  # calls that still hang would keep the server from stopping
            key = {"Authorization": f"Bearer {BILLING_KEY}"}
            await asyncio.to_thread(httpx.post, f"{billing.url}/faults/release", headers=key)
        await asyncio.to_thread(billing.wait_until_idle)
        store.close()


def _all(db: Session, table: type[T]) -> list[T]:
    return list(db.exec(select(table)).scalars())


def _everything(db: Session) -> dict[str, list[str]]:
    return {table.name: _rows(db, table) for table in metadata.sorted_tables}


def _rows(db: Session, table: Table) -> list[str]:
    return sorted(repr(tuple(row)) for row in db.connection().execute(select(table)))
