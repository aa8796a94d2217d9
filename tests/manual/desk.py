"""Requests as people leave them, and what became of them."""

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlmodel import select

from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.db import outbox
from app.db.base import load_json
from app.db.database import Database
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.manual import notifying, service
from app.manual.notifying import ManualPorts
from tests.support.clock import FakeClock
from tests.support.merchant import Merchant, open_merchant

ADA = "ada@example.com"
T = TypeVar("T")


@dataclass
class RequestDesk:
    merchant: Merchant
    clock: FakeClock
    signer: Signer
    vault: Vault
    ports: ManualPorts

    @property
    def database(self) -> Database:
        return self.merchant.database

    @property
    def app_id(self) -> str:
        return self.merchant.app_id

    def leave(
        self, address: str = ADA, note: str = "Please cancel it.", *, ip: str = "192.0.2.1"
    ) -> CancellationRequest:
        return self.database.write_sync(
            service.request,
            self.signer,
            app_id=self.app_id,
            address=address,
            note=note,
            ip=ip,
            now=self.clock.now(),
            locale="en-GB",
        )

    async def notify(self) -> None:
        """What the worker does with every notice that is due; it is killed right after each."""
        for row in self.all(OutboxJob):
            if row.kind == service.JOB:
                job = outbox.Job(row.id, row.kind, row.subject_id, row.payload, 1)
                await notifying.notify(self.ports, job)

    def all(self, table: type[T]) -> list[T]:
        return self.database.read_sync(lambda db: list(db.exec(select(table)).all()))

    def mails(self) -> dict[str, Mail]:
        """By kind; there may be only one of each."""
        mails = self.all(Mail)
        by_kind = {mail.kind: mail for mail in mails}
        assert len(by_kind) == len(mails)
        return by_kind

    def data_of(self, mail: Mail) -> dict[str, Any]:
        assert mail.data_encrypted is not None
        data: dict[str, Any] = load_json(self.vault.open(mail.data_encrypted))
        return data


def open_desk(database: Database, clock: FakeClock) -> RequestDesk:
    merchant = open_merchant(database, clock)
    secrets = merchant.settings.secrets
    vault, signer = Vault(secrets), Signer(secrets)
    ports = ManualPorts(database, clock, vault, signer, merchant.settings.base_url)
    return RequestDesk(merchant, clock, signer, vault, ports)
