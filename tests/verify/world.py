"""A merchant whose billing knows some addresses, browsers that ask for codes, a worker, and a mailbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import FileSystemLoader
from sqlmodel import select

from app.adapters.http import OutboundHttp
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.db.base import load_json
from app.db.database import Database
from app.db.tables.mail import Mail
from app.db.tables.outbox import OutboxJob
from app.db.tables.verifications import Verification
from app.mail.delivery import MailPorts
from app.main import ROOT
from app.verify import looking, service
from app.verify.looking import VerifyPorts
from app.verify.service import Asked, Tried
from app.web.assets import Assets
from app.web.render import Renderer
from app.worker import Worker
from demo.billing.faults import Faults
from demo.billing.seed import seed
from demo.billing.service import create_app as create_billing
from demo.billing.store import Store
from tests.support.clock import FakeClock
from tests.support.desk import BillingServer
from tests.support.merchant import BILLING_KEY, Merchant, open_merchant

BEN, EMIL, NOBODY = "ben@example.com", "emil@example.com", "nobody@example.com"
T = TypeVar("T")


@dataclass
class Mailbox:
    """A mailer that keeps what it was handed."""

    sender: str = "leave@leavewell.test"
    messages: list[EmailMessage] = field(default_factory=list)

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        self.messages.append(message)


@dataclass
class World:
    merchant: Merchant
    clock: FakeClock
    store: Store
    faults: Faults
    signer: Signer
    vault: Vault
    mailbox: Mailbox
    ports: VerifyPorts

    @property
    def database(self) -> Database:
        return self.merchant.database

    @property
    def app_id(self) -> str:
        return self.merchant.app_id

    # --- What browsers do ---

    def ask(
        self,
        address: str = BEN,
        *,
        browser: str = "ann",
        ip: str = "192.0.2.1",
        link_id: str | None = None,
        database: Database | None = None,
    ) -> Asked:
        return (database or self.database).write_sync(
            service.ask,
            self.signer,
            app_id=self.app_id,
            address=address,
            browser_sha256=browser,
            ip=ip,
            link_id=link_id,
            locale="en",
            now=self.clock.now(),
        )

    def resend(self, id: str, *, browser: str = "ann", ip: str = "192.0.2.1") -> Asked:
        return self.database.write_sync(
            service.resend,
            self.signer,
            verification_id=id,
            browser_sha256=browser,
            ip=ip,
            now=self.clock.now(),
        )

    def find(self, id: str, *, browser: str = "ann") -> Verification:
        return self.database.read_sync(
            service.find, verification_id=id, browser_sha256=browser, now=self.clock.now()
        )

    def try_code(
        self,
        id: str,
        typed: str,
        *,
        browser: str = "ann",
        ip: str = "192.0.2.1",
        signer: Signer | None = None,
    ) -> Tried:
        return self.database.write_sync(
            service.try_code,
            signer or self.signer,
            verification_id=id,
            browser_sha256=browser,
            typed=typed,
            ip=ip,
            now=self.clock.now(),
        )

    async def asked(self, address: str = BEN, **more: Any) -> str:
        """Ask, and let the worker do its part; the verification's id."""
        id = self.ask(address, **more).verification_id
        await self.work()
        return id

    # --- The worker ---

    def worker(self, name: str = "worker") -> Worker:
        return Worker(
            self.database,
            self.clock,
            name=name,
            handlers={
                service.JOB: lambda job: looking.look_up(self.ports, job),
                looking.CODE_MAIL_JOB: lambda job: looking.send_code(self.ports, job),
            },
        )

    async def work(self) -> int:
        return await self.worker().drain()

    # --- What a test looks into ---

    def row(self, id: str) -> Verification:
        return self.database.read_sync(lambda db: db.get_one(Verification, id))

    def all(self, table: type[T]) -> list[T]:
        return self.database.read_sync(lambda db: list(db.exec(select(table)).all()))

    def mails(self) -> list[Mail]:
        return sorted(self.all(Mail), key=lambda mail: (mail.created_at, mail.id))

    def jobs(self) -> list[OutboxJob]:
        return self.all(OutboxJob)

    def data_of(self, mail: Mail) -> dict[str, Any]:
        assert mail.data_encrypted is not None
        data: dict[str, Any] = load_json(self.vault.open(mail.data_encrypted))
        return data

    def code(self, id: str) -> str:
        """What the verification's mail says."""
        sealed = self.row(id).code_encrypted
        assert sealed is not None
        return self.vault.open(sealed)

    def wrong_code(self, id: str, n: int = 1) -> str:
        """Not the code: another one for each n."""
        return f"{(int(self.code(id)) + n) % 1_000_000:06}"

    def change(self, **values: Any) -> None:
        self.merchant.change(**values)

    def put_customer(self, id: str, address: str, *subscriptions: dict[str, Any]) -> None:
        customer = {"id": id, "email": address, "name": "Somebody", "currency": "USD"}
        self.store.put_customer("test", customer, subscriptions)

    def subscription_of(self, customer_id: str, *, like: str = "cus_ben", **changes: Any) -> dict[str, Any]:
        """A subscription as another customer has one."""
        [known] = self.store.list_subscriptions("test", like, self.clock.now())
        return {**known, "id": f"sub_of_{customer_id}", "customerId": customer_id, **changes}


@asynccontextmanager
async def world_of(
    database: Database, clock: FakeClock, folder: Path, billing: BillingServer
) -> AsyncIterator[World]:
    store, faults = Store(folder / "billing.sqlite3"), Faults()
    seed(store, clock.now())
    billing.app = create_billing(store, key=BILLING_KEY, faults=faults, now=clock.now)
    merchant = open_merchant(database, clock, billing_url=billing.url)
    settings = merchant.settings
    vault, mailbox, http = Vault(settings.secrets), Mailbox(), OutboundHttp(settings.allowed_networks)
    renderer = Renderer(FileSystemLoader(ROOT / "templates"), Assets(ROOT / "static"))
    mail = MailPorts(database, clock, vault, mailbox, renderer)
    signer = Signer(settings.secrets)
    ports = VerifyPorts(database, clock, http, vault, signer, settings.base_url, mail)
    try:
        yield World(merchant, clock, store, faults, signer, vault, mailbox, ports)
    finally:
        await http.aclose()
        billing.wait_until_idle()
        store.close()
