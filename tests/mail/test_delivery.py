"""What becomes of a mail that is owed: sent once, refused for good, put off, given up; and what is left of it."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage

import pytest
from sqlmodel import Session
from structlog.testing import capture_logs

from app.adapters.mail import SmtpMailer
from app.adapters.vault import Vault
from app.db import outbox
from app.db.outbox import Job, RetryLater
from app.mail import delivery, queries, service
from app.mail.delivery import FEWEST_TRIES, GIVE_UP_AFTER, wait_s
from app.mail.kinds import MailKind, MailStatus
from tests.mail.conftest import CODE, Office
from tests.support.mail_gallery import GALLERY
from tests.support.smtp import smtp_server

pytestmark = pytest.mark.anyio


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def at_the_next_wait(task: asyncio.Task[None]) -> None:
    """Stop the task where it waits next, which is after what it is about to return from."""
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, task.cancel)


# --- Sent ---------------------------------------------------------------------------------------------------------


async def test_a_mail_that_is_owed_is_sent_once_and_what_it_said_is_erased(office: Office) -> None:
    mail_id = office.owe()
    assert "048213" not in str(office.mail(mail_id))
    await office.work()
    await office.work()
    (message,) = office.mailer.taken
    assert message["To"] == "ben@example.com"
    assert "048 213" in text_of(message)
    assert office.mailer.recipients == ["ben@example.com"]
    assert office.mailer.senders == ["leave@leavewell.example"]
    mail = office.mail(mail_id)
    assert (mail.status, mail.attempts, mail.last_error) == ("sent", 1, None)
    assert mail.sent_at == office.clock.now()
    assert mail.data_encrypted is None
    assert office.jobs() == []


async def test_a_mail_is_owed_only_if_what_it_tells_of_happens(office: Office) -> None:
    def owe_and_fail(db: Session) -> None:
        service.enqueue(
            db,
            office.ports.vault,
            app_id=office.app_id,
            kind=MailKind.CODE,
            recipient="ben@example.com",
            locale="en",
            data=CODE,
            now=office.clock.now(),
        )
        raise LookupError

    with pytest.raises(LookupError):
        office.database.write_sync(owe_and_fail)
    await office.work()
    assert office.mailer.taken == []


async def test_a_kind_of_job_of_its_own_brings_the_mail_to_its_own_handler(office: Office) -> None:
    mail_id = office.owe(job_kind="code_mail", subject_id="ver_1")
    (job,) = office.jobs()
    assert (job.kind, job.subject_id) == ("code_mail", mail_id)
    assert office.mail(mail_id).subject_id == "ver_1"


@pytest.mark.parametrize("name", ["receipt-undo", "receipt-world", "manual-notice-unverified"])
async def test_a_real_mail_server_takes_what_we_send(office: Office, name: str) -> None:
    """From the row to the wire and back: parts, names in every script, files."""
    shown = GALLERY[name]
    with smtp_server(smtputf8=True) as smtp:
        mail_id = office.owe(shown.kind, shown.data, recipient=shown.recipient)
        await office.work(replace(office.ports, mailer=SmtpMailer(smtp.settings())))
        assert office.mail(mail_id).status == "sent", office.mail(mail_id).last_error
        (received,) = smtp.inbox
    assert received.message["Message-ID"] == f"<{mail_id}@{smtp.settings().sender.partition('@')[2]}>"
    for subtype in ("plain", "html"):
        body = received.message.get_body((subtype,))
        assert body is not None
        assert shown.data.get("reference", "LW-3F0C-B51D") in body.get_content()
    names = [file.get_filename() for file in received.message.iter_attachments()]
    assert names == (["receipt-LW-3F0C-B51D.json"] if shown.kind is MailKind.RECEIPT else [])


# --- Refused ------------------------------------------------------------------------------------------------------


async def test_a_refusal_is_kept_for_the_merchant_and_not_tried_again(office: Office) -> None:
    mail_id = office.owe()
    office.mailer.refuse()
    await office.work()
    office.clock.advance(hours=2)
    await office.work()
    mail = office.mail(mail_id)
    assert (mail.status, mail.sent_at, mail.data_encrypted) == ("refused", None, None)
    assert mail.last_error == "The mail server refused the recipient: 550 No such user"
    assert office.mailer.taken == []
    listed = office.database.read_sync(
        queries.list_mails, app_id=office.app_id, limit=10, status=MailStatus.REFUSED
    )
    assert [one.id for one in listed] == [mail_id]


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "ben",
        "ben@example",
        "a@b.example\r\nBcc: all@example.com",
        "Ben <ben@example.com>",
        "a@b.c, d@e.fg",
    ],
)
async def test_who_cannot_be_addressed_is_a_refusal(office: Office, recipient: str) -> None:
    mail_id = office.owe(recipient=recipient)
    await office.work()
    assert office.mail(mail_id).status == "refused"
    assert office.mailer.taken == []


# --- Put off ------------------------------------------------------------------------------------------------------


async def test_who_is_put_off_tries_again_after_longer_and_longer_waits(office: Office) -> None:
    mail_id = office.owe()
    office.mailer.put_off(times=12)
    waits = []
    for _ in range(12):
        await office.work()
        waits.append((office.due_at() - office.clock.now()).total_seconds())
        office.clock.set(office.due_at())
    assert waits == [5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 3600, 3600]
    mail = office.mail(mail_id)
    assert (mail.status, mail.attempts) == ("pending", 12)
    assert mail.last_error == "The mail server put the mail off: 451 Later"
    await office.work()
    assert office.mail(mail_id).status == "sent"
    assert office.mail(mail_id).last_error is None
    assert "048 213" in text_of(office.mailer.taken[0])


def test_no_wait_is_shorter_than_five_seconds_or_longer_than_an_hour() -> None:
    assert [wait_s(tries) for tries in (0, 1, 10, 11, 10_000)] == [5, 5, 3600, 3600, 3600]


async def test_a_mail_that_nobody_takes_for_three_days_is_given_up(office: Office) -> None:
    mail_id = office.owe()
    office.mailer.put_off(times=1000)
    begun = office.clock.now()
    while office.jobs():
        office.clock.set(office.due_at())
        await office.work()
    mail = office.mail(mail_id)
    assert GIVE_UP_AFTER <= office.clock.now() - begun < GIVE_UP_AFTER + timedelta(hours=1)
    assert (mail.status, mail.data_encrypted) == ("given_up", None)
    assert mail.last_error == "The mail server put the mail off: 451 Later"


async def test_without_a_mail_server_mails_wait_for_one_as_long_as_it_takes(office: Office) -> None:
    mail_id = office.owe()
    without = replace(office.ports, mailer=None)
    for _ in range(3):
        await office.work(without)
        assert office.due_at() - office.clock.now() == timedelta(minutes=10)
        office.clock.advance(days=2)
    assert (office.mail(mail_id).status, office.mail(mail_id).attempts) == ("pending", 0)
    office.mailer.put_off()  # a stranger to this server, which greylists: not the end after so long a wait
    await office.work()
    assert office.mail(mail_id).status == "pending"
    office.clock.set(office.due_at())
    await office.work()
    assert office.mail(mail_id).status == "sent"


def test_nobody_is_given_up_on_after_fewer_tries_than_greylisting_takes() -> None:
    assert sum(wait_s(tries) for tries in range(1, FEWEST_TRIES)) > 3600


# --- Killed, stopped, doubled -------------------------------------------------------------------------------------


async def test_killed_between_acceptance_and_the_record_it_is_sent_once_more_and_no_more(
    office: Office,
) -> None:
    mail_id = office.owe()

    def die() -> None:
        raise asyncio.CancelledError

    office.mailer.after_accept = die
    (job,) = await office.database.write(
        outbox.claim_due, worker="doomed", now=office.clock.now(), lease_s=30, limit=1
    )
    with pytest.raises(asyncio.CancelledError):
        await delivery.deliver(office.ports, job)
    assert office.mail(mail_id).status == "pending"
    office.mailer.after_accept = None
    for _ in range(3):
        office.clock.advance(seconds=31)
        await office.work()
    assert len(office.mailer.taken) == 2
    assert office.mailer.message_ids() == {f"<{mail_id}@leavewell.example>"}
    assert [("048 213" in text_of(message)) for message in office.mailer.taken] == [True, True]
    assert office.mail(mail_id).status == "sent"


async def test_a_worker_that_is_stopped_right_after_acceptance_writes_it_down_all_the_same(
    office: Office,
) -> None:
    mail_id = office.owe()
    stopped = asyncio.create_task(
        delivery.deliver(office.ports, Job("job_1", service.MAIL_JOB, mail_id, {}, 1))
    )
    office.mailer.after_accept = lambda: at_the_next_wait(stopped)
    with pytest.raises(asyncio.CancelledError):
        await stopped
    await office.database.write(lambda db: None)  # behind what was being written
    assert office.mail(mail_id).status == "sent"
    await office.work()
    assert len(office.mailer.taken) == 1


async def test_a_mail_that_is_settled_is_not_sent_by_a_job_that_is_left_over(office: Office) -> None:
    mail_id = office.owe()
    await office.work()
    await delivery.deliver(office.ports, Job("job_2", service.MAIL_JOB, mail_id, {}, 1))
    await delivery.deliver(office.ports, Job("job_3", service.MAIL_JOB, "mail_unknown", {}, 1))
    assert len(office.mailer.taken) == 1


async def test_what_a_first_worker_wrote_down_is_not_undone_by_a_second(office: Office) -> None:
    """A lease ran out under a worker that lives: one of the two was too late."""
    mail_id = office.owe()
    settled = [
        office.database.write_sync(queries.settle, mail_id, status=status, sent_at=None, error="late")
        for status in (MailStatus.SENT, MailStatus.PENDING, MailStatus.REFUSED)
    ]
    assert settled == [True, False, False]
    assert office.mail(mail_id).status == "sent"


# --- Secrets ------------------------------------------------------------------------------------------------------


async def test_a_mail_that_no_secret_opens_is_given_up_and_says_why(office: Office) -> None:
    mail_id = office.owe()
    await office.work(replace(office.ports, vault=Vault(["another-secret-that-is-long-enough-too"])))
    mail = office.mail(mail_id)
    assert mail.status == "given_up"
    assert "LEAVEWELL_SECRET" in (mail.last_error or "")
    assert office.jobs() == []


async def test_no_log_names_who_gets_mail_or_what_it_says(office: Office) -> None:
    office.owe()
    office.owe(recipient="emil@example.com")
    office.mailer.put_off(reason="The mail server put the mail off: 451 ben@example.com is busy")
    office.mailer.refuse("The mail server refused the recipient: 550 emil@example.com is unknown")
    with capture_logs() as logged:
        await office.work()
        office.clock.advance(minutes=1)
        await office.work()
    assert [entry["status"] for entry in logged if entry["event"] == "mail.settled"] == [
        "pending",
        "refused",
        "sent",
    ]
    for secret in ("ben@", "emil@", "048213", "048 213"):
        assert secret not in str(logged)


async def test_the_outbox_keeps_no_word_of_the_server(office: Office) -> None:
    mail_id = office.owe()
    office.mailer.put_off(reason="451 ben@example.com is busy")
    with pytest.raises(RetryLater) as later:
        await delivery.deliver(office.ports, Job("job_1", service.MAIL_JOB, mail_id, {}, 1))
    assert "ben" not in str(later.value)


# --- Lists --------------------------------------------------------------------------------------------------------


async def test_mails_are_listed_newest_first_page_by_page_and_to_their_environment_only(
    office: Office,
) -> None:
    ids = []
    for _ in range(5):
        ids.append(office.owe())
        office.clock.advance(seconds=1)
    other = office.owe(app_id="app_test_1")
    seen: list[str] = []
    before = None
    while page := office.database.read_sync(queries.list_mails, app_id=office.app_id, limit=2, before=before):
        seen += [mail.id for mail in page]
        before = (page[-1].created_at, page[-1].id)
    assert seen == ids[::-1]
    found = office.database.read_sync(queries.find_mail, app_id=office.app_id, mail_id=other)
    assert found is None
    found = office.database.read_sync(queries.find_mail, app_id="app_test_1", mail_id=other)
    assert found is not None
    assert found.id == other
