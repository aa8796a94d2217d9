"""Whoever sends mail is killed, at every moment of a mail's way: it is not lost, it comes twice at the most, and then
it is the same one. On SQLite that is the server itself; on PostgreSQL a worker beside it.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from enum import StrEnum

import pytest
from sqlmodel import Session, col, select

from app.db.tables.mail import Mail
from app.db.tables.outbox import OutboxJob
from tests.crash.actions import CANCEL
from tests.crash.stage import DONE_WITHIN_S, Doer, Stage, written_by_nobody
from tests.support.databases import KINDS
from tests.support.pages import Page, Visitor
from tests.support.server import free_port
from tests.support.smtp import ANSWER_WITHIN_S, Moment, Received, SmtpServer, smtp_server

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


class Death(StrEnum):
    """How far the mail had come."""

    CONNECTED = "connected, no word said"
    DATA = "about to send the message"
    MESSAGE = "message sent, not taken"
    TAKEN = "taken, not told"
    TOLD = "told, not written down"


WAITED_AT = {
    Death.CONNECTED: Moment.CONNECT,
    Death.DATA: Moment.DATA,
    Death.MESSAGE: Moment.MESSAGE,
}
COPIES = {Death.TAKEN: 2, Death.TOLD: 2}
# The same code runs on PostgreSQL; these show that a worker of its own leaves nothing else behind.
ON_POSTGRESQL = (Death.DATA, Death.TAKEN, Death.TOLD)

CASES = [
    pytest.param(kind, death, id=f"{kind}-{death.name.lower()}")
    for kind in KINDS
    for death in Death
    if kind == "sqlite" or death in ON_POSTGRESQL
]


@dataclass
class Post:
    """The process that sends mail, and the mail server that it sends it to."""

    stage: Stage
    smtp: SmtpServer
    doer: Doer

    async def kill_at(self, death: Death, asking: Coroutine[None, None, Page]) -> Page:
        """Have the customer ask for what brings a mail about, and kill the process when that has come so far. Returns
        the customer's page; from then on the mail server does as it should."""
        if death in WAITED_AT:
            self.smtp.hang(WAITED_AT[death])
            page = await asking
            await asyncio.to_thread(self.smtp.wait_until_at, WAITED_AT[death])
            self.doer.kill()
        else:
            page = await self._kill_after_taking(death, asking)
        self.smtp.behave()
        return page

    async def _kill_after_taking(self, death: Death, asking: Coroutine[None, None, Page]) -> Page:
        taken, may_tell = threading.Event(), threading.Event()

        def hold(_: Received) -> None:
            taken.set()
            may_tell.wait(ANSWER_WITHIN_S)

        self.smtp.after_accept(hold)
        try:
            page = await asking
            assert await asyncio.to_thread(taken.wait, ANSWER_WITHIN_S), "no mail came"
            if death is Death.TOLD:
                with written_by_nobody(self.stage.database, "mails"):
                    may_tell.set()
                    await asyncio.to_thread(self.smtp.wait_until_at, Moment.QUIT)  # it has understood
                    self.doer.kill()
            else:
                self.doer.kill()
        finally:
            may_tell.set()
        return page


@contextmanager
def post_of(stage: Stage) -> Iterator[Post]:
    """The stage with a mail server, and everything that sends mail started."""
    with (
        smtp_server(tls="starttls", auth=("leave", "a password")) as smtp,
        stage.doer(SMTP_URL=smtp.url) as doer,
    ):
        if not stage.database.is_sqlite:
            stage.start(LEAVEWELL_WORKER="none", SMTP_URL=smtp.url)
        doer.start()
        yield Post(stage, smtp, doer)


async def nothing_owed(stage: Stage, recipient: str) -> Mail:
    """The only mail to that address, once nothing is left to be done about it."""
    async with asyncio.timeout(DONE_WITHIN_S):
        while (mail := stage.database.read_sync(_settled, recipient)) is None:  # noqa: ASYNC110 - another process works
            await asyncio.sleep(0.1)
    return mail


def _settled(db: Session, recipient: str) -> Mail | None:
    mails = db.exec(select(Mail).where(Mail.recipient == recipient)).all()
    owed = db.exec(select(OutboxJob).where(col(OutboxJob.subject_id).in_([mail.id for mail in mails]))).all()
    assert len(mails) <= 1
    return mails[0] if mails and not owed and mails[0].status != "pending" else None


def _tries(db: Session, recipient: str) -> int:
    """How often it was tried to send them something."""
    return sum(mail.attempts for mail in db.exec(select(Mail).where(Mail.recipient == recipient)))


async def arrived(post: Post, death: Death, recipient: str) -> EmailMessage:
    """The mail, after the process was started again: each copy of it is the same."""
    post.doer.start()
    mail = await nothing_owed(post.stage, recipient)
    assert (mail.status, mail.last_error, mail.data_encrypted) == ("sent", None, None)
    copies = [received for received in post.smtp.inbox if received.recipient == recipient]
    assert len(copies) == len(post.smtp.inbox) == COPIES.get(death, 1)
    first = copies[0].message
    for copy in copies[1:]:
        assert copy.message["Message-ID"] == first["Message-ID"]
        assert copy.message["Subject"] == first["Subject"]
        assert parts(copy.message) == parts(first)
    assert str(first["Message-ID"]).startswith(f"<{mail.id}@")
    return first


def parts(message: EmailMessage) -> Sequence[object]:
    """What a person reads, and the file that comes along."""
    return [part.get_content() for part in message.walk() if not part.is_multipart()]


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


async def ask_for_code(visitor: Visitor, stage: Stage, address: str) -> Page:
    page = await visitor.open(f"/cancel/{stage.merchant.app_id}")
    return await visitor.submit(page, "Send me a code", {"email": address})


@pytest.mark.parametrize(("kind", "death"), CASES)
async def test_a_code_comes_again_as_it_was_and_works(
    stage_on: Callable[..., Stage], kind: str, death: Death
) -> None:
    stage = stage_on(kind, is_dark=True)
    name = stage.new_name()
    stage.connect("demo").new_customer(name)
    address = f"{name}@example.com"
    with post_of(stage) as post:
        async with stage.visitor() as visitor:
            page = await post.kill_at(death, ask_for_code(visitor, stage, address))
            message = await arrived(post, death, address)
            code = re.search(r"\b\d{3} \d{3}\b", text_of(message))
            assert code, text_of(message)
            page = await visitor.submit(page, "Continue", {"code": code[0]})
    assert page.path.startswith("/cancel/s/cs_")


@pytest.mark.parametrize(("kind", "death"), CASES)
async def test_a_receipt_comes_again_as_it_was(
    stage_on: Callable[..., Stage], kind: str, death: Death
) -> None:
    stage = stage_on(kind, is_dark=True)
    with post_of(stage) as post:
        async with stage.customer("demo") as customer:
            screen = await CANCEL.reach(customer.visitor, customer.page)
            page = await post.kill_at(death, CANCEL.ask(customer.visitor, screen))
            assert page.h1 == "Your subscription is canceled"
            message = await arrived(post, death, customer.email)
    assert "Your subscription is canceled" in str(message["Subject"])
    [file] = message.iter_attachments()
    assert str(file.get_filename()).startswith("receipt-LW-")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_receipt_comes_late_when_the_mail_server_was_down(
    stage_on: Callable[..., Stage], kind: str
) -> None:
    stage, port = stage_on(kind, is_dark=True), free_port()
    stage.start(SMTP_URL=f"smtp://127.0.0.1:{port}?tls=none&from=leave@northwind.example")
    try:
        async with stage.customer("demo") as customer:
            screen = await CANCEL.reach(customer.visitor, customer.page)
            page = await CANCEL.ask(customer.visitor, screen)
            assert page.h1 == "Your subscription is canceled", "nobody waits for a mail"
            async with asyncio.timeout(DONE_WITHIN_S):
                while not stage.database.read_sync(_tries, customer.email):  # noqa: ASYNC110 - another process works
                    await asyncio.sleep(0.1)
            with smtp_server(port=port) as smtp:
                mail = await nothing_owed(stage, customer.email)
                [received] = smtp.inbox
        assert mail.status == "sent"
        assert mail.attempts > 1
        assert received.recipient == customer.email
    finally:
        stage.close()
