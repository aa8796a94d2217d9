"""Out of a subscription with nothing but the merchant's address and one's own, over a real mail server: the code and
the receipt come by encrypted SMTP, and the receipt's file proves itself without us."""

import json
import re
from email.message import EmailMessage
from pathlib import Path

import pytest

from app.db.database import Database
from app.db.tables.mail import Mail
from tests.cli.conftest import runner
from tests.support import desk as desks
from tests.support.clock import FakeClock
from tests.support.desk import Desk
from tests.support.pages import Page, new_client
from tests.support.smtp import SENDER, Received, SmtpServer, smtp_server

pytestmark = pytest.mark.anyio

LOGIN = ("leave", "p@ss:w/rd %20")
BEN = "ben@example.com"
KEYS = "/.well-known/leavewell-receipts.json"
WITHOUT_AN_INSTALLATION = {"DATABASE_URL": "", "LEAVEWELL_SECRET": ""}


async def test_from_the_public_address_to_a_receipt_that_proves_itself(
    database: Database, clock: FakeClock, tmp_path: Path
) -> None:
    with desks.billing_server() as billing, smtp_server(tls="starttls", auth=LOGIN) as smtp:
        async with desks.desk_of(database, clock, tmp_path, billing, smtp=smtp.settings()) as desk:
            canceled = await cancel_by_mail(desk, smtp)
            await desk.worker().drain()
            _, receipt = smtp.inbox
            went_out_properly(receipt)
            assert str(receipt.message["Subject"]).startswith("Your subscription is canceled (LW-")
            assert {mail.status for mail in desk.all(Mail)} == {"sent"}
            file, keys = await kept(desk, receipt.message, tmp_path)
            await reads_the_same(desk, receipt.message, canceled)
    verify = runner(WITHOUT_AN_INSTALLATION)
    verified = verify("receipts", "verify", str(file), "--keys", str(keys))
    assert verified.code == 0, verified.err
    assert verified.out.startswith("Genuine")
    assert json.loads(file.read_text())["receipt"]["reference"] in verified.out
    forged = tmp_path / "forged.json"
    forged.write_text(file.read_text().replace('"cancellation"', '"pause"'))
    assert verify("receipts", "verify", str(forged), "--keys", str(keys)).code != 0


async def cancel_by_mail(desk: Desk, smtp: SmtpServer) -> Page:
    """By a code that is read out of the mail; the page that says it is done."""
    visitor = desk.visitor
    page = await visitor.open(f"/cancel/{desk.merchant.app_id}")
    page = await visitor.submit(page, "Send me a code", {"email": BEN})
    assert smtp.inbox == [], "nobody waits for a mail server"
    await desk.worker().drain()
    [asked] = smtp.inbox
    went_out_properly(asked)
    assert asked.message["Subject"] == "Your code for Northwind Notes"
    code = re.search(r"^ +(\d{3} \d{3})\s*$", text_of(asked.message), re.MULTILINE)
    assert code, text_of(asked.message)
    page = await visitor.submit(page, "Continue", {"code": code[1]})
    page = await visitor.submit(page, "Cancel now")
    page = await visitor.submit(page, "Cancel my subscription")
    assert page.h1 == "Your subscription is canceled"
    assert desk.billed() == ["cancel"]
    return page


def went_out_properly(mail: Received) -> None:
    """Encrypted, logged in, as one machine writes to one person."""
    assert mail.is_encrypted
    assert (mail.user, mail.sender, mail.recipient) == (LOGIN[0], SENDER, BEN)
    message = mail.message
    assert message["From"].addresses[0].display_name == "Northwind Notes"
    assert message["From"].addresses[0].addr_spec == SENDER
    assert (message["To"], message["Reply-To"]) == (BEN, "help@northwind.example")
    assert message["Auto-Submitted"] == "auto-generated"
    assert re.fullmatch(r"<mail_\w+@northwind\.example>", message["Message-ID"])
    assert message.get_body(("html",)) is not None


async def kept(desk: Desk, message: EmailMessage, folder: Path) -> tuple[Path, Path]:
    """The file that came along, and the published keys, as anybody keeps them."""
    [attached] = message.iter_attachments()
    name = str(attached.get_filename())
    assert re.fullmatch(r"receipt-LW-\w{4}-\w{4}\.json", name)
    assert attached.get_content_type() == "application/json"
    file, keys = folder / name, folder / "keys.json"
    content = attached.get_content()
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    async with new_client(desk.app) as client:
        keys.write_text((await client.get(KEYS)).text)
    return file, keys


async def reads_the_same(desk: Desk, message: EmailMessage, canceled: Page) -> None:
    """The page that the mail leads to, in a browser of its own, and the one that followed the cancellation."""
    reference = re.search(r"LW-\w{4}-\w{4}", str(message["Subject"]))
    link = re.search(r"^http://\S+/cancel/receipts/\S+", text_of(message), re.MULTILINE)
    assert reference
    assert link
    assert reference[0] in canceled.text
    desk.visitor.client.cookies.clear()
    page = await desk.visitor.open(link[0])
    assert page.h1 == "Your subscription is canceled"
    assert reference[0] in page.text
    assert "Keep my subscription after all" in page.buttons


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())
