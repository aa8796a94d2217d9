"""The demo's mail server and everybody's mailbox: a folder with a file a mail. Nothing leaves this machine.

Leavewell is given it for a mailer, the shop reads it; so that it may, nothing of Leavewell is imported here.
"""

import asyncio
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.policy import default as reading
from pathlib import Path
from typing import Final, cast

from demo.run import replace_file

SENDER: Final = "leave@northwind.example"
MOST: Final = 200
_HEAD: Final = 16 * 1024  # more than the headers of any mail of ours
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FILE: Final = re.compile(
    r"(?P<micros>[0-9]{18})-(?P<id>[0-9a-f]{20})\.eml"
)  # by name, so by time of arrival


@dataclass(frozen=True, slots=True)
class Summary:
    """A mail as a list shows it."""

    id: str
    at: datetime
    sender: str
    recipient: str
    subject: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a mail."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail with all that is in it. `html` is None where it has no such part; `source` is the file as it is."""

    summary: Summary
    text: str
    html: str | None
    attachments: tuple[Attachment, ...]
    source: bytes


class Mailbox:
    """Keeps the newest mails in `folder`. Any number may read, one process writes."""

    sender: Final = SENDER

    def __init__(self, folder: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._now = now
        self._writing = threading.Lock()

    # --- As a mail server

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """Take a mail for good, as `keep` does, and hold nobody up."""
        await asyncio.to_thread(self.keep, message, sender=sender, recipient=recipient)

    def keep(self, message: EmailMessage, *, sender: str, recipient: str) -> str:
        """Put a mail there and return its id. One that was taken already, by its `Message-ID`, is the same mail."""
        is_ascii = recipient.isascii() and sender.isascii()
        content = message.as_bytes(policy=(SMTP if is_ascii else SMTPUTF8).clone(cte_type="7bit"))
        id = hashlib.sha256((message["Message-ID"] or "").encode() or content).hexdigest()[:20]
        # What the last server on the way writes on top (RFC 5321 §4.4).
        envelope = f"Return-Path: <{_one_line(sender)}>\r\nDelivered-To: {_one_line(recipient)}\r\n".encode()
        with self._writing:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._find(id) is not None:
                return id
            replace_file(self._folder / f"{self._next_place():018}-{id}.eml", envelope + content)
            for old in list(self._files())[MOST:]:
                old.unlink(missing_ok=True)
        return id

    def _next_place(self) -> int:
        """Now in microseconds, and behind the newest even where the clock was set back, or has not moved."""
        newest = next(self._files(), None)
        return max((self._now() - _EPOCH) // timedelta(microseconds=1), _micros(newest) + 1 if newest else 0)

    # --- As its reader

    def list(self) -> list[Summary]:
        """Every mail, newest first."""
        found = []
        for file in self._files():
            with (
                suppress(FileNotFoundError),
                file.open("rb") as stream,
            ):  # gone since: a newer one took its place
                found.append(_summary(file, _parse(stream.read(_HEAD))))
        return found

    def find(self, id: str) -> Letter | None:
        """One mail by its id here."""
        file = self._find(id)
        if file is None:
            return None
        try:
            source = file.read_bytes()
        except FileNotFoundError:
            return None
        message = _parse(source)
        text, html = message.get_body(("plain",)), message.get_body(("html",))
        return Letter(
            summary=_summary(file, message),
            text=str(text.get_content()) if text is not None else "",
            html=str(html.get_content()) if html is not None else None,
            attachments=tuple(
                Attachment(
                    part.get_filename() or f"attachment-{number}", cast(bytes, part.get_payload(decode=True))
                )
                for number, part in enumerate(message.iter_attachments(), start=1)
            ),
            source=source,
        )

    def _files(self) -> Iterator[Path]:
        names = (file for file in self._folder.glob("*.eml") if _FILE.fullmatch(file.name))
        return iter(sorted(names, key=lambda file: file.name, reverse=True))

    def _find(self, id: str) -> Path | None:
        return next((file for file in self._files() if file.name[19:].removesuffix(".eml") == id), None)


def _parse(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=reading)


def _summary(file: Path, message: EmailMessage) -> Summary:
    return Summary(
        id=file.name[19:].removesuffix(".eml"),
        at=_EPOCH + timedelta(microseconds=_micros(file)),
        sender=str(message["From"] or ""),
        recipient=str(message["Delivered-To"] or ""),
        subject=str(message["Subject"] or "").strip() or "(no subject)",
    )


def _micros(file: Path) -> int:
    return int(file.name[:18])


def _one_line(address: str) -> str:
    return "".join(letter for letter in address if letter.isprintable())
