"""Codes without their mails: the worker's look-up is done here and now, and the code it made is told."""

import re
import threading
from email.message import EmailMessage
from typing import cast

from sqlmodel import Session

from app.db.outbox import Job
from app.db.tables.outbox import OutboxJob
from app.db.tables.verifications import Verification
from app.mail.delivery import MailPorts
from app.verify import looking
from app.verify.looking import VerifyPorts
from app.verify.service import JOB
from tests.support.desk import Desk
from tests.support.pages import Page

STRANGER = "nobody@example.com"


class Mailbox:
    """A mailer that keeps what it is given."""

    sender = "leave@northwind.example"

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self._changed = threading.Condition()

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def code(self, number: int = 1) -> str:
        """The code in the mail of that number, as a person reads it; waits for the worker to send it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.messages) >= number, timeout=10), "no mail came"
        body = self.messages[number - 1].get_body(("plain",))
        assert isinstance(body, EmailMessage)
        found = re.search(r"\b\d{3} ?\d{3}\b", body.get_content())
        assert found, body.get_content()
        return found[0].replace(" ", "")


async def ask(desk: Desk, email: str = "ben@example.com", path: str | None = None) -> Page:
    """Type an address into the merchant's entry; the page on which the code is asked for."""
    page = await desk.visitor.open(path or f"/cancel/{desk.merchant.app_id}")
    return await desk.visitor.submit(page, "Send me a code", {"email": email})


async def code_for(desk: Desk, email: str = "ben@example.com") -> str:
    """Let the worker look up who asked; the code of that address. One for a stranger is made, too, and mailed to
    nobody."""
    for job in desk.all(OutboxJob):
        if job.kind == JOB:
            taken = Job(job.id, job.kind, job.subject_id, job.payload, 1)
            await looking.look_up(_ports(desk), taken)
            desk.database.write_sync(_drop, job.id)
    row = newest(desk, email)
    assert row.code_encrypted is not None, "there is no code any more"
    return desk.ports.vault.open(row.code_encrypted)


def newest(desk: Desk, email: str = "ben@example.com") -> Verification:
    rows = [row for row in desk.all(Verification) if row.address == email]
    return max(rows, key=lambda row: row.created_at)


def not_the(code: str) -> str:
    """A code that is wrong."""
    return f"{(int(code) + 1) % 1_000_000:06}"


def _ports(desk: Desk) -> VerifyPorts:
    ports = desk.ports
    return VerifyPorts(
        database=ports.database,
        clock=ports.clock,
        http=ports.http,
        vault=ports.vault,
        signer=ports.signer,
        base_url=ports.settings.base_url,
        mail=cast("MailPorts", None),  # a look-up sends nothing itself
    )


def _drop(db: Session, job_id: str) -> None:
    db.delete(db.get_one(OutboxJob, job_id))
