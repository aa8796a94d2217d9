"""A whole installation out of real processes: billing, Leavewell, perhaps a worker, and a customer before them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import httpx
from sqlalchemy import NullPool, create_engine
from sqlmodel import Session, col, select

from app.adapters.billing import registry
from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.adapters.vault import Vault
from app.connections import service as connections
from app.core.billing import Capability
from app.core.flow import FlowDefinition
from app.db.database import Database
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.db.tables.events import EventRow
from app.db.tables.outbox import OutboxJob
from app.db.tables.receipts import Receipt
from app.db.tables.sessions import CancelSession, SessionOffer
from app.flows import service as flows
from app.receipts.service import RECEIPT_JOB
from app.sessions.records import EFFECT_JOB
from demo.shop.app import create_shop
from demo.shop.config import Keys, ShopConfig
from tests.crash.actions import CANCEL, Action, flow_of
from tests.crash.billing import Billing, Billings
from tests.support import server
from tests.support.clock import FakeClock
from tests.support.merchant import BILLING_KEY, Merchant, open_merchant
from tests.support.pages import FROM_A_PAGE, Page, Visitor

LEASE_S = 2
DONE_WITHIN_S = 30.0
OPENS_WITHIN_S = 8  # on a busy machine too: without billing's answer nothing is offered
SECRET = "qK3vTz81nXw0pLr7YbHc5DfGm2JsAe9UoWiRtV64"
ACTION_SECRET = "whsec_bGVhdmV3ZWxsLWFjdGlvbnMtb2YtdGVzdHM="
# What is shown while a change is being made; a cancellation that takes long is told to have been received.
WAITING = ("One moment, please", "We have your cancellation")


@dataclass
class Stage:
    """Servers share one database and come and go; the first one's address is where customers go unless told."""

    database: Database
    merchant: Merchant
    billings: Billings
    shop_url: str
    folder: Path
    port: int
    _count: int = 0
    _connected: tuple[str, str] | None = None
    _servers: dict[int, tuple[ExitStack, server.ServerProcess]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> server.ServerProcess:
        return self._servers[self.port][1]

    def start(self, *, port: int | None = None, **env: str) -> server.ServerProcess:
        """Start a server, or start it again where it was killed."""
        port = port or self.port
        stack = ExitStack()
        log = self.folder / f"server-{port}.log"
        command = [sys.executable, "-m", "tests.support.process", "serve"]
        process = stack.enter_context(server.started(command, env=self.env(port, **env), log=log, port=port))
        self._servers[port] = (stack, process)
        return process

    def stop(self, port: int | None = None) -> None:
        """Stop a server, if it has not been killed."""
        stack, _ = self._servers.pop(port or self.port, (ExitStack(), None))
        stack.close()

    def kill(self) -> None:
        """SIGKILL, and the port is free again."""
        self.running.kill()
        self.stop()

    def ensure_running(self) -> None:
        if self.port not in self._servers or self.running.process.poll() is not None:
            self.start()

    def close(self) -> None:
        for port in list(self._servers):
            self.stop(port)

    @contextmanager
    def worker(self, **env: str) -> Iterator[Popen[bytes]]:
        """A worker of its own beside the servers, killed at the end unless it was before."""
        command = [sys.executable, "-m", "tests.support.process", "worker"]
        with (self.folder / "worker.log").open("ab") as log:
            process = Popen(
                command,
                env={**os.environ, **self.env(self.port, **env)},
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait(server.STOP_WITHIN_S)

    @contextmanager
    def doer(self, **env: str) -> Iterator["Doer"]:
        """Not started yet; whatever runs in the end is stopped, servers too."""
        with ExitStack() as workers:
            workers.callback(self.close)
            yield Doer(self, env, workers)

    def env(self, port: int, **more: str) -> Mapping[str, str]:
        return {
            "LEAVEWELL_SECRET": SECRET,
            "LEAVEWELL_BASE_URL": f"http://127.0.0.1:{port}",
            "DATABASE_URL": self.database.url.render_as_string(hide_password=False),
            "LEAVEWELL_ALLOWED_NETWORKS": "127.0.0.0/8",
            "LEAVEWELL_LEASE_SECONDS": str(LEASE_S),
            "LEAVEWELL_LOG_LEVEL": "warning",
            **more,
        }

    # --- The merchant ---

    def capabilities(self, provider: str) -> frozenset[Capability]:
        return registry.connect(
            provider, self._config(provider), http=OutboundHttp(), clock=SystemClock(), mode="test"
        ).capabilities

    def connect(self, provider: str, *, timing: str = "period_end") -> Billing:
        """Let the merchant's billing be the provider's from now on, and the flow offer all that it can do."""
        billing = self.billings.of(provider)
        if self._connected != (provider, timing):
            able = self.capabilities(provider)
            flow = flow_of(billing.id_of, provider, able, timing)
            self.database.write_sync(_connect, self.merchant, provider, self._config(provider), flow, able)
            self._connected = (provider, timing)
        return billing

    def _config(self, provider: str) -> Mapping[str, str]:
        if provider != "direct":
            return self.billings.of(provider).config
        return {"action_url": f"{self.shop_url}/demo/leavewell/actions", "action_secret": ACTION_SECRET}

    # --- Customers ---

    def new_name(self) -> str:
        """Of somebody nobody has seen before. The address is `<name>@example.com`."""
        self._count += 1
        return f"cus_{self.folder.name.replace('-', '_')}_{self._count}"

    def new_link(self, provider: str, customer_id: str) -> str:
        """A link's path."""
        self.merchant.clock.set(datetime.now(UTC))
        more: dict[str, Any] = {}
        if provider == "direct":
            billing = self.billings.of(provider)
            more["direct_customer"] = billing.customer(customer_id)
            more["direct_subscriptions"] = billing.subscriptions(customer_id)
        return self.merchant.mint(customer_id, **more)

    @asynccontextmanager
    async def customer(self, provider: str, action: Action = CANCEL) -> AsyncIterator["Customer"]:
        """A customer on the first screen, with a subscription that the action can be done to."""
        billing = self.connect(provider, timing=action.timing)
        name = self.new_name()
        customer_id, subscription_id = billing.new_customer(name, like=action.like)
        for earlier in action.before if action.anew else ():
            async with self._visit(provider, billing, name, customer_id, subscription_id) as before:
                screen = await earlier.reach(before.visitor, before.page)
                await earlier.ask(before.visitor, screen)
                await before.wait_for_result()
        async with self._visit(provider, billing, name, customer_id, subscription_id) as customer:
            yield customer

    @asynccontextmanager
    async def _visit(
        self, provider: str, billing: Billing, name: str, customer_id: str, subscription_id: str
    ) -> AsyncIterator["Customer"]:
        link = self.new_link(provider, customer_id)
        async with self.visitor() as visitor:
            page = await visitor.open(link, headers=FROM_A_PAGE)
            session_id = page.path.split("/")[3]
            yield Customer(self, billing, visitor, page, name, session_id, customer_id, subscription_id)

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[Visitor]:
        """A browser that was never here."""
        async with httpx.AsyncClient(base_url=self.url, follow_redirects=True, timeout=60) as client:
            yield Visitor(client)

    def found(self, session_id: str) -> "Found":
        return self.database.read_sync(_find, session_id)


@dataclass
class Doer:
    """Whoever does what is owed: on SQLite the server itself, on PostgreSQL a worker beside it."""

    stage: Stage
    env: Mapping[str, str]
    _workers: ExitStack
    _worker: Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again where it was killed."""
        if self.stage.database.is_sqlite:
            self.stage.start(port=None, **self.env)
        else:
            self._worker = self._workers.enter_context(self.stage.worker(**self.env))

    def kill(self) -> None:
        """SIGKILL."""
        if self._worker is None:
            self.stage.kill()
        else:
            self._worker.kill()
            self._worker.wait(server.STOP_WITHIN_S)

    def stop(self) -> None:
        """Tell it to stop, and wait until it has."""
        if self._worker is None:
            self.stage.close()
        else:
            self._worker.terminate()
            self._worker.wait(server.STOP_WITHIN_S)


@contextmanager
def written_by_nobody(database: Database, table: str) -> Iterator[None]:
    """Nothing can be written down in that table until the block ends; on SQLite in none."""
    engine = create_engine(database.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as db:
        if database.is_sqlite:
            db.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            db.exec_driver_sql("BEGIN")
            db.exec_driver_sql(f"LOCK TABLE {table} IN SHARE MODE")
        yield
        db.exec_driver_sql("ROLLBACK")


@dataclass
class Customer:
    """`customer_id` and `subscription_id` are billing's."""

    stage: Stage
    billing: Billing
    visitor: Visitor
    page: Page
    name: str
    session_id: str
    customer_id: str
    subscription_id: str
    port: int | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port or self.stage.port}/cancel/s/{self.session_id}"

    @property
    def email(self) -> str:
        """What billing says their address is."""
        return f"{self.name}@example.com"

    def go_to(self, port: int) -> None:
        """From now on another server answers; the cookie goes along, for it knows hosts and no ports."""
        self.port = port

    async def reload(self) -> Page:
        return await self.visitor.open(self.address)

    async def come_again(self, provider: str) -> None:
        """With a link of its own: another session, the same subscription."""
        link = self.stage.new_link(provider, self.customer_id)
        self.page = await self.visitor.open(link, headers=FROM_A_PAGE)
        self.session_id = self.page.path.split("/")[3]

    async def wait_for_result(self) -> Page:
        """Look again until it is no longer being worked on, as the page does by itself."""
        async with asyncio.timeout(DONE_WITHIN_S):
            while (page := await self.reload()).h1 in WAITING:  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.1)
        return page

    async def wait_until_owed_nothing(self) -> "Found":
        """What the database says once the worker has put its jobs away too."""
        async with asyncio.timeout(DONE_WITHIN_S):
            while (found := self.stage.found(self.session_id)).jobs:  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.1)
        return found


@dataclass(frozen=True)
class Found:
    """Everything that is on record about one session; `jobs` are the changes and receipts that are still owed."""

    session: CancelSession
    effects: Sequence[Effect]
    offers: Sequence[SessionOffer]
    events: Sequence[str]
    receipts: Sequence[Receipt]
    jobs: Sequence[OutboxJob]


@contextmanager
def set_up(database: Database, billings: Billings, folder: Path) -> Iterator[Stage]:
    clock = FakeClock(datetime.now(UTC))
    billing = billings.of("demo")
    merchant = open_merchant(database, clock, billing_url=billing.url, secrets=(SECRET,))
    merchant.change(customer_data_timeout_ms=OPENS_WITHIN_S * 1000)
    keys = Keys(merchant.app_id, merchant.api_key)
    listener = server.listen()
    shop = create_shop(
        ShopConfig(
            origins=(server.address(listener),),
            leavewell_url="http://127.0.0.1:9",
            billing_url=billing.url,
            billing_key=BILLING_KEY,
            cookie_secret=SECRET,
            keys={"test": keys, "live": keys},
            action_secrets={"test": ACTION_SECRET, "live": f"{ACTION_SECRET[:-4]}aW0="},
            sends_billing_data=True,
        )
    )
    with server.served(shop, listener) as shop_url:
        stage = Stage(database, merchant, billings, shop_url, folder, server.free_port())
        try:
            yield stage
        finally:
            stage.close()


def _connect(
    db: Session,
    merchant: Merchant,
    provider: str,
    config: Mapping[str, str],
    flow: FlowDefinition,
    able: frozenset[Capability],
) -> None:
    now = datetime.now(UTC)
    connections.save(
        db,
        Vault(merchant.settings.secrets),
        app_id=merchant.app_id,
        provider=provider,
        config=config,
        now=now,
    )
    organization_id = db.get_one(Environment, merchant.app_id).organization_id
    flows.publish(db, organization_id=organization_id, definition=flow, capabilities=able, now=now)


def _find(db: Session, session_id: str) -> Found:
    effects = db.exec(
        select(Effect).where(Effect.session_id == session_id).order_by(col(Effect.requested_at))
    ).all()
    receipts = db.exec(
        select(Receipt).where(Receipt.session_id == session_id).order_by(col(Receipt.created_at))
    ).all()
    owed = [row.id for row in (*effects, *receipts)]
    return Found(
        session=db.get_one(CancelSession, session_id),
        effects=effects,
        offers=db.exec(select(SessionOffer).where(SessionOffer.session_id == session_id)).all(),
        events=[
            event.type
            for event in db.exec(
                select(EventRow).where(EventRow.session_id == session_id).order_by(col(EventRow.sequence))
            )
        ],
        receipts=receipts,
        jobs=db.exec(
            select(OutboxJob).where(
                col(OutboxJob.kind).in_((EFFECT_JOB, RECEIPT_JOB)), col(OutboxJob.subject_id).in_(owed)
            )
        ).all(),
    )
