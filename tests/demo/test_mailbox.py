"""The demo's mail server: what is handed over is kept once, in order, and not for ever."""

import stat
from pathlib import Path

import pytest

from app.adapters.mail import Mailer
from demo.mailbox import MOST, Mailbox
from tests.demo.shops import letter, put
from tests.support.clock import START, FakeClock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
def mailbox(folder: Path, clock: FakeClock) -> Mailbox:
    return Mailbox(folder, now=clock.now)


async def test_leavewell_takes_it_for_a_mailer(mailbox: Mailbox) -> None:
    assert isinstance(mailbox, Mailer)
    await mailbox.send(letter("Hello"), sender=mailbox.sender, recipient="ben@example.com")
    assert [(one.subject, one.recipient) for one in mailbox.list()] == [("Hello", "ben@example.com")]


def test_nothing_has_arrived_before_the_first_mail(mailbox: Mailbox) -> None:
    assert mailbox.list() == []
    assert mailbox.find("0" * 20) is None


def test_a_mail_is_kept_with_all_its_parts(mailbox: Mailbox) -> None:
    message = letter("Ihre Kündigung ✓", html="<p>Grüße", file=("receipt-LW-1.json", b'{"a": 1}'))
    found = mailbox.find(put(mailbox, message, recipient="emil@example.com"))
    assert found is not None
    assert found.summary.subject == "Ihre Kündigung ✓"
    assert found.summary.sender == "Northwind Notes <leave@northwind.example>"
    assert found.summary.recipient == "emil@example.com"  # whom it was sent to, whatever its own To says
    assert found.summary.at == START
    assert found.text.strip() == "Your code: 123 456"
    assert found.html is not None
    assert found.html.strip() == "<p>Grüße"
    assert [(file.name, file.content) for file in found.attachments] == [("receipt-LW-1.json", b'{"a": 1}')]
    assert found.source.startswith(
        b"Return-Path: <leave@northwind.example>\r\nDelivered-To: emil@example.com\r\nSubject: Ihre =?utf-8?"
    )


def test_a_mail_without_html_is_a_mail(mailbox: Mailbox) -> None:
    found = mailbox.find(put(mailbox, letter(html=None)))
    assert found is not None
    assert found.html is None
    assert found.attachments == ()


def test_the_same_message_id_is_the_same_mail(mailbox: Mailbox, clock: FakeClock) -> None:
    first = put(mailbox, letter(id="mail_1"))
    clock.advance(seconds=30)
    assert put(mailbox, letter(id="mail_1")) == first
    assert [one.at for one in mailbox.list()] == [START]


def test_the_newest_is_first_even_where_the_clock_stands_or_goes_back(
    mailbox: Mailbox, clock: FakeClock
) -> None:
    put(mailbox, letter("first", id="mail_1"))
    put(mailbox, letter("second", id="mail_2"))
    clock.advance(hours=-1)
    put(mailbox, letter("third", id="mail_3"))
    assert [one.subject for one in mailbox.list()] == ["third", "second", "first"]


def test_only_the_newest_are_kept(mailbox: Mailbox, folder: Path, clock: FakeClock) -> None:
    for number in range(MOST + 3):
        clock.advance(seconds=1)
        put(mailbox, letter(f"number {number}", id=f"mail_{number}"))
    subjects = [one.subject for one in mailbox.list()]
    assert len(subjects) == MOST
    assert subjects[0] == f"number {MOST + 2}"
    assert subjects[-1] == "number 3"
    assert len(list(folder.iterdir())) == MOST


def test_mails_are_for_their_owners_eyes_and_leave_no_drafts(mailbox: Mailbox, folder: Path) -> None:
    put(mailbox, letter())
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_other_files_in_the_folder_are_no_mails(mailbox: Mailbox, folder: Path) -> None:
    id = put(mailbox, letter())
    (folder / "notes.eml").write_text("Subject: mine\n\n")
    (folder / f".{next(folder.glob('*-*.eml')).name}.1").write_text("Subject: a half\n")
    assert [one.id for one in mailbox.list()] == [id]


@pytest.mark.parametrize("id", ["", "..", "../secret", "*", "notes", "0" * 20])
def test_only_ids_find_mails(mailbox: Mailbox, folder: Path, id: str) -> None:
    put(mailbox, letter())
    (folder.parent / "secret").write_text("secret")
    assert mailbox.find(id) is None


def test_addresses_of_every_script_arrive(mailbox: Mailbox) -> None:
    message = letter()
    del message["To"]
    message["To"] = "jörg@example.com"
    put(mailbox, message, recipient="jörg@example.com")
    assert [one.recipient for one in mailbox.list()] == ["jörg@example.com"]


def test_an_address_cannot_bring_headers_of_its_own(mailbox: Mailbox) -> None:
    put(mailbox, letter("Ours"), recipient="a@b.example\r\nSubject: theirs\r\n\r\n<script>")
    assert [one.subject for one in mailbox.list()] == ["Ours"]
