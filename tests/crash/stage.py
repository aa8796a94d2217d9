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
from typing import Any, Literal

import httpx
from sqlmodel import Session, col, select

from app.adapters.vault import Vault
from app.connections import service as connections
from app.db.database import Database
from app.db.tables.effects import Effect
from app.db.tables.events import EventRow
from app.db.tables.outbox import OutboxJob
from app.db.tables.sessions import CancelSession, SessionOffer
from app.flows import files
from app.sessions.records import EFFECT_JOB
from demo.shop.app import create_shop
from demo.shop.config import Keys, ShopConfig
from tests.crash.billing import Billing
from tests.support import server
from tests.support.clock import FakeClock
from tests.support.merchant import BILLING_KEY, Merchant, open_merchant
from tests.support.pages import FROM_A_PAGE, Page, Visitor
from tests.support.press import press

Provider = Literal["demo", "direct"]

LEASE_S = 2
DONE_WITHIN_S = 30.0
SECRET = "qK3vTz81nXw0pLr7YbHc5DfGm2JsAe9UoWiRtV64"
ACTION_SECRET = "whsec_bGVhdmV3ZWxsLWFjdGlvbnMtb2YtdGVzdHM="
# What is shown while a change is being made; a cancellation that takes long is told to have been received.
WAITING = ("One moment, please", "We have your cancellation")
FLOW = """
version: 1
name: Two offers
steps:
  - kind: survey
    id: why
    reasons:
      - id: price
        label: It costs too much
        offers: [{ kind: discount, id: half-price, percent: 50, duration: repeating, months: 3 }]
      - id: unused
        label: I do not use it
        offers: [{ kind: pause, id: take-a-break, unit: month, max: 3 }]
  - { kind: confirm, id: confirm, timing: period_end }
"""


@dataclass(frozen=True)
class Action:
    """Something a customer asks for: the way there, what billing then calls it, and how the session ends."""

    name: str
    outcome: str
    reason: str | None = None

    async def reach(self, visitor: Visitor, page: Page) -> Page:
        """The screen with the button that asks for it."""
        if self.reason is None:
            return await press(visitor, page, "cancel_now")
        return await press(visitor, page, "continue", {"reason": self.reason})

    async def ask(self, visitor: Visitor, page: Page) -> Page:
        return await press(visitor, page, "confirm" if self.reason is None else "accept")


DISCOUNT = Action("discount", "discount_accepted", reason="price")
PAUSE = Action("pause", "pause_accepted", reason="unused")
CANCEL = Action("cancel", "canceled")


@dataclass
class Stage:
    """Servers share one database and come and go; the first one's address is where customers go unless told."""

    database: Database
    merchant: Merchant
    billing: Billing
    shop_url: str
    folder: Path
    port: int
    _count: int = 0
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
        stack, _ = self._servers.pop(port or self.port)
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

    def connect(self, provider: Provider) -> None:
        config = {"base_url": self.billing.url, "api_key": BILLING_KEY}
        if provider == "direct":
            url = f"{self.shop_url}/demo/leavewell/actions"
            config = {"action_url": url, "action_secret": ACTION_SECRET}
        self.database.write_sync(_connect, self.merchant, provider, config)

    def new_customer(self) -> tuple[str, str]:
        """Somebody nobody has seen before: customer and subscription. The address is `<customer>@example.com`."""
        self._count += 1
        customer_id = f"cus_{self.folder.name}_{self._count}"
        return customer_id, self.billing.new_customer(customer_id)

    def new_link(self, provider: Provider) -> tuple[str, str]:
        """A link for a customer nobody has seen before; its path, and the subscription it is about."""
        customer_id, subscription_id = self.new_customer()
        self.merchant.clock.set(datetime.now(UTC))
        more: dict[str, Any] = {}
        if provider == "direct":
            more["direct_customer"] = self.billing.customer(customer_id)
            more["direct_subscriptions"] = self.billing.subscriptions(customer_id)
        return self.merchant.mint(customer_id, **more), subscription_id

    @asynccontextmanager
    async def customer(self, provider: Provider) -> AsyncIterator["Customer"]:
        """A customer on the first screen."""
        self.connect(provider)
        link, subscription_id = self.new_link(provider)
        async with self.visitor() as visitor:
            page = await visitor.open(link, headers=FROM_A_PAGE)
            yield Customer(self, visitor, page, page.path.split("/")[3], subscription_id)

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[Visitor]:
        """A browser that was never here."""
        async with httpx.AsyncClient(base_url=self.url, follow_redirects=True, timeout=60) as client:
            yield Visitor(client)

    def found(self, session_id: str) -> "Found":
        return self.database.read_sync(_find, session_id)


@dataclass
class Customer:
    stage: Stage
    visitor: Visitor
    page: Page
    session_id: str
    subscription_id: str
    port: int | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port or self.stage.port}/cancel/s/{self.session_id}"

    @property
    def email(self) -> str:
        """What billing says their address is."""
        return f"{self.subscription_id.removeprefix('sub_')}@example.com"

    def go_to(self, port: int) -> None:
        """From now on another server answers; the cookie goes along, for it knows hosts and no ports."""
        self.port = port

    async def reload(self) -> Page:
        return await self.visitor.open(self.address)

    async def wait_for_result(self) -> Page:
        """Look again until it is no longer being worked on, as the page does by itself."""
        async with asyncio.timeout(DONE_WITHIN_S):
            while (page := await self.reload()).h1 in WAITING:  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.1)
        return page

    async def wait_until_owed_nothing(self) -> "Found":
        """What the database says once the worker has put its job away too."""
        async with asyncio.timeout(DONE_WITHIN_S):
            while (found := self.stage.found(self.session_id)).jobs:  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.1)
        return found


@dataclass(frozen=True)
class Found:
    """Everything that is on record about one session."""

    session: CancelSession
    effects: Sequence[Effect]
    offers: Sequence[SessionOffer]
    events: Sequence[str]
    jobs: Sequence[OutboxJob]


@contextmanager
def set_up(database: Database, billing: Billing, folder: Path) -> Iterator[Stage]:
    clock = FakeClock(datetime.now(UTC))
    merchant = open_merchant(
        database,
        clock,
        billing_url=billing.url,
        flow=files.load_yaml(FLOW, "flow.yaml"),
        secrets=(SECRET,),
    )
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
        stage = Stage(database, merchant, billing, shop_url, folder, server.free_port())
        try:
            yield stage
        finally:
            stage.close()


def _connect(db: Session, merchant: Merchant, provider: str, config: Mapping[str, str]) -> None:
    vault = Vault(merchant.settings.secrets)
    now = merchant.clock.now()
    connections.save(db, vault, app_id=merchant.app_id, provider=provider, config=config, now=now)


def _find(db: Session, session_id: str) -> Found:
    effects = db.exec(select(Effect).where(Effect.session_id == session_id)).all()
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
        jobs=db.exec(
            select(OutboxJob).where(
                OutboxJob.kind == EFFECT_JOB,
                col(OutboxJob.subject_id).in_([effect.id for effect in effects]),
            )
        ).all(),
    )
