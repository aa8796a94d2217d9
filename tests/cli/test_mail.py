"""What became of mails, and trying the mail server out, from a terminal."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from app.adapters.vault import Vault
from app.db.database import Database
from app.mail import queries
from app.mail.kinds import MailKind, MailStatus
from app.mail.service import enqueue
from tests.cli.conftest import Run
from tests.support.apps import SECRET
from tests.support.clock import START
from tests.support.smtp import SENDER, Moment, SmtpServer, smtp_server

BEN = "ben@example.com"


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    with smtp_server() as running:
        yield running


def owe(database: Database, app_id: str, recipient: str = BEN, *, now: datetime = START) -> str:
    return database.write_sync(
        enqueue,
        Vault([SECRET]),
        app_id=app_id,
        kind=MailKind.TEST,
        recipient=recipient,
        locale="en",
        data={},
        now=now,
    )


def refuse(database: Database, mail_id: str) -> None:
    database.write_sync(
        queries.settle, mail_id, status=MailStatus.REFUSED, sent_at=None, error="550 No such \x1b[2Juser"
    )


def test_what_was_refused_is_listed_with_what_the_server_said(
    run: Run, app_id: str, database: Database
) -> None:
    refused = owe(database, app_id, "nobody@example.com")
    owe(database, app_id)
    refuse(database, refused)
    everything = run("mail", "list", app_id).out
    assert "pending" in everything
    assert "nobody@example.com" in everything
    only = run("mail", "list", app_id, "--status", "refused").out
    assert BEN not in only
    assert "550 No such" in only
    assert "\x1b" not in only
    assert run("mail", "list", app_id, "--status", "sent").err == "There are no mails.\n"
    assert run("mail", "list", app_id, "--status", "lost").code == 2


def test_a_long_list_of_mails_goes_on_where_it_ended(run: Run, app_id: str, database: Database) -> None:
    made = [owe(database, app_id, now=START + timedelta(minutes=number)) for number in range(3)]
    first = run("mail", "list", app_id, "--limit", "2")
    assert made[0] not in first.out
    assert first.err.split()[-1] == made[1]
    rest = run("mail", "list", app_id, "--before", made[1])
    assert [line.split()[0] for line in rest.out.splitlines()[1:]] == [made[0]]
    assert rest.err == ""


def test_the_mails_of_another_environment_are_not_shown(run: Run, app_id: str, database: Database) -> None:
    mail_id = owe(database, app_id)
    other = next(word for word in run("orgs", "create", "Bob").out.split() if word.startswith("app_test_"))
    assert mail_id not in run("mail", "list", other).out
    for name in (mail_id, "mail_none", "\x00"):
        assert run("mail", "list", other, "--before", name).errors[0].startswith("There is no mail")
    assert run("mail", "list", "app_none").errors[0].startswith("There is no environment")


def test_a_test_mail_is_sent_at_once(run: Run, app_id: str, smtp: SmtpServer) -> None:
    run("setup", "sender", app_id, "--name", "Acme, Inc.")
    sent = run("mail", "test", app_id, BEN, SMTP_URL=smtp.url)
    assert sent.code == 0, sent.err
    assert "The mail server took it." in sent.err
    (received,) = smtp.inbox
    assert (received.sender, received.recipient) == (SENDER, BEN)
    assert received.message["From"] == f'"Acme, Inc." <{SENDER}>'
    assert str(received.message["Message-ID"]) in sent.out


def test_what_the_server_has_against_a_test_mail_is_said(run: Run, app_id: str, smtp: SmtpServer) -> None:
    smtp.refuse(BEN)
    refused = run("mail", "test", app_id, BEN, SMTP_URL=smtp.url)
    assert refused.code == 1
    assert refused.errors == ["The mail server refused the recipient: 550 5.1.1 No such user here"]
    smtp.behave()
    smtp.answer(Moment.MAIL, "550 5.7.1 You may not send as that")
    refused = run("mail", "test", app_id, BEN, SMTP_URL=smtp.url)
    assert refused.errors[0].startswith("The mail server refused the sender: 550")
    assert "SMTP_URL, the sender or the server" in refused.errors[1]
    smtp.behave()
    smtp.greylist()
    put_off = run("mail", "test", app_id, BEN, SMTP_URL=smtp.url)
    assert (put_off.code, len(put_off.errors)) == (1, 1)
    assert "451" in put_off.errors[0]


def test_a_test_mail_needs_a_server_an_address_and_an_environment(
    run: Run, app_id: str, smtp: SmtpServer
) -> None:
    assert run("mail", "test", app_id, BEN).errors[0].startswith("SMTP_URL is not set")
    for address in ("ben", "ben@example.com\nBcc: ada@example.com", ""):
        refused = run("mail", "test", app_id, address, SMTP_URL=smtp.url)
        assert refused.errors[0].startswith("TO: Must be an email address"), refused.err
    assert run("mail", "test", "app_none", BEN, SMTP_URL=smtp.url).code == 1
    assert not smtp.inbox
