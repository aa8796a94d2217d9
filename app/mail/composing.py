"""Composes a mail: templates to text and HTML, and both with their headers to one message. Sends nothing.

Whatever a name, a subject or an address contains, it stays in its own header.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Final

import idna

from app.core.email_address import is_address
from app.db.tables.accounts import Environment
from app.mail import letters, palette
from app.mail.kinds import MailKind
from app.mail.letters import Letter, Pen
from app.mail.subjects import LONGEST_SUBJECT, fill_subject
from app.mail.typeset import one_line, paragraph, quotation, table, underlined
from app.web.copy import copy_for
from app.web.formats import formats_for
from app.web.render import Renderer, words
from app.web.theme import FONTS, stored_theme

LONGEST_NAME: Final = 100  # of a sender: what is longer, no list of mails shows


class Undeliverable(Exception):
    """The mail cannot be addressed, today or ever."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Composed:
    """A finished message, and the address that stands behind it: what bounces goes there."""

    message: EmailMessage
    sender: str


def compose(
    renderer: Renderer,
    *,
    environment: Environment,
    brand_name: str,
    mail_id: str,
    kind: MailKind,
    recipient: str,
    locale: str,
    data: Mapping[str, Any],
    sender_default: str,
    now: datetime,
) -> Composed:
    """Return the mail as it leaves now. Its `Message-ID` depends on nothing but `mail_id` and the sender's host, so
    that a mailbox knows a copy when it gets one.

    `sender_default` is for environments without an address of their own. Raises Undeliverable.
    """
    if not is_address(recipient):
        raise Undeliverable("The recipient is not an email address.")
    pen = Pen(copy_for(locale), formats_for(locale), one_line(brand_name, letters.LONGEST_NAME))
    letter = letters.write(kind, data, pen)
    said = {
        **words(locale),
        "m": letter.said,
        "facts": letter.facts,
        "title": letter.title,
        "recipient": one_line(recipient, 254),
        **_frame(environment, pen),
    }
    folder = f"email/{kind}"
    subject = _subject(
        environment, kind, letter, pen, renderer.template(f"{folder}/subject.txt").render(said)
    )
    sender = environment.sender_address or sender_default
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject
    message["From"] = _address(sender, one_line(environment.sender_name or pen.brand, LONGEST_NAME))
    message["To"] = _address(recipient)
    reply_to = letter.reply_to or environment.contact_email
    if reply_to is not None and is_address(reply_to) and reply_to != recipient:
        message["Reply-To"] = _address(reply_to)
    message["Date"] = now
    message["Message-ID"] = f"<{mail_id}@{_ascii_host(sender)}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office note comes back
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    text = renderer.template(f"{folder}/body.txt").render({**said, "subject": subject})
    html = renderer.template(f"{folder}/body.html").render({**said, "subject": subject})
    message.set_content(_tight(text), cte="quoted-printable")
    message.add_alternative(f"{html.strip()}\n", subtype="html", cte="quoted-printable")
    for file in letter.files:
        message.add_attachment(
            file.text.encode(),
            maintype="application",
            subtype="json",
            filename=one_line(file.name, 100).replace("/", "_"),
        )
    message["Content-Language"] = (
        pen.copy.language
    )  # last: what makes parts takes such headers into the first one
    return Composed(message, sender)


def _tight(text: str) -> str:
    """One empty line at most: what a template leaves out leaves its empty lines behind."""
    return re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n"


def _frame(environment: Environment, pen: Pen) -> dict[str, Any]:
    """What stands around every letter, and what sets it."""
    theme = stored_theme(environment.theme)
    return {
        "brand": pen.brand,
        "dir": pen.copy.locale.text_direction,
        "is_test": environment.mode == "test",
        "contact_email": environment.contact_email,
        "contact_url": environment.contact_url,
        "light": palette.light(theme.light()),
        "dark": palette.dark(theme.dark()),
        "font": FONTS[theme.font],
        "radius": theme.radius,
        "paragraph": paragraph,
        "quotation": quotation,
        "table": table,
        "underlined": underlined,
    }


def _subject(environment: Environment, kind: MailKind, letter: Letter, pen: Pen, ours: str) -> str:
    """The merchant's own subject, where there is one and this mail has all that it names; else ours."""
    theirs = (environment.mail_subjects or {}).get(kind)
    filled = fill_subject(theirs, {"brand": pen.brand, **letter.subject}) if theirs else None
    return one_line(filled or ours, LONGEST_SUBJECT)


def _address(address: str, name: str = "") -> Address:
    return Address(name, address.rpartition("@")[0], _ascii_host(address))


def _ascii_host(address: str) -> str:
    """An international host by the name that every mail server knows."""
    return idna.encode(address.rpartition("@")[2], uts46=True).decode()
