"""An environment that owes mails, a worker that sends them, and a mailer that does as it is told."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from typing import Any

import pytest
from sqlmodel import Session, select

from app.adapters.mail import MailRefused, MailUnavailable
from app.adapters.vault import Vault
from app.db.database import Database
from app.db.tables.accounts import Environment, Organization
from app.db.tables.mail import Mail
from app.db.tables.outbox import OutboxJob
from app.mail import delivery, service
from app.mail.delivery import MailPorts
from app.mail.kinds import MailKind
from app.worker import Worker
from tests.support.clock import FakeClock
from tests.support.gallery import renderer

CODE = {"code": "048213", "minutes": 10, "asked_at": "2026-11-21T08:59:30Z"}


@dataclass
class FakeMailer:
    """Takes mail, unless `trouble` has something else for it."""

    sender: str = "leave@leavewell.example"
    taken: list[EmailMessage] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    after_accept: Callable[[], None] | None = None

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.taken.append(message)
        self.senders.append(sender)
        self.recipients.append(recipient)
        if self.after_accept:
            self.after_accept()
            await asyncio.sleep(0)  # where a stop would reach it

    def refuse(self, reason: str = "The mail server refused the recipient: 550 No such user") -> None:
        self.trouble.append(MailRefused(reason, 550))

    def put_off(self, times: int = 1, reason: str = "The mail server put the mail off: 451 Later") -> None:
        self.trouble += [MailUnavailable(reason) for _ in range(times)]

    def message_ids(self) -> set[str]:
        return {str(message["Message-ID"]) for message in self.taken}


@dataclass
class Office:
    """One merchant's mails."""

    database: Database
    clock: FakeClock
    mailer: FakeMailer
    ports: MailPorts
    app_id: str = "app_1"

    def owe(
        self,
        kind: MailKind = MailKind.CODE,
        data: Mapping[str, Any] = CODE,
        *,
        recipient: str = "ben@example.com",
        app_id: str | None = None,
        **more: Any,
    ) -> str:
        return self.database.write_sync(
            service.enqueue,
            self.ports.vault,
            app_id=app_id or self.app_id,
            kind=kind,
            recipient=recipient,
            locale="en",
            data=data,
            now=self.clock.now(),
            **more,
        )

    def worker(self, ports: MailPorts | None = None) -> Worker:
        chosen = ports or self.ports
        return Worker(
            self.database,
            self.clock,
            name="worker",
            handlers={service.MAIL_JOB: lambda job: delivery.deliver(chosen, job)},
        )

    async def work(self, ports: MailPorts | None = None) -> None:
        await self.worker(ports).drain()

    def mail(self, mail_id: str) -> Mail:
        return self.database.read_sync(lambda db: db.get_one(Mail, mail_id))

    def jobs(self) -> list[OutboxJob]:
        return self.database.read_sync(lambda db: list(db.exec(select(OutboxJob)).all()))

    def due_at(self) -> datetime:
        (job,) = self.jobs()
        return job.due_at


@pytest.fixture
def office(database: Database, clock: FakeClock) -> Office:
    def settle_in(db: Session) -> None:
        db.add(Organization(id="org_1", name="Northwind Notes", slug="northwind", created_at=clock.now()))
        db.flush()
        for app_id, mode in (("app_1", "live"), ("app_test_1", "test")):
            db.add(
                Environment(
                    app_id=app_id,
                    organization_id="org_1",
                    mode=mode,
                    contact_email="help@northwind.example",
                    created_at=clock.now(),
                )
            )

    database.write_sync(settle_in)
    mailer = FakeMailer()
    ports = MailPorts(database, clock, Vault(["a-secret-of-tests-that-is-long-enough"]), mailer, renderer())
    return Office(database, clock, mailer, ports)
