"""What the worker does with a receipt: once a signature, once a mail."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from app.adapters import ed25519
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.core.receipt_file import read_file
from app.db.database import Database
from app.db.outbox import Job
from app.db.tables.mail import Mail
from app.db.tables.outbox import OutboxJob
from app.db.tables.receipts import Receipt
from app.receipts import address, issuing, keys
from app.receipts.issuing import IssuingPorts
from app.receipts.keys import Notary
from tests.receipts.written import all_keys, kept, open_environment, write
from tests.support.apps import OLD_SECRET, SECRET
from tests.support.clock import FakeClock

SIGNER = Signer([SECRET])
Owed = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def app_id(database: Database, clock: FakeClock) -> str:
    return database.write_sync(open_environment, clock.now())


@pytest.fixture
def ports(database: Database, clock: FakeClock) -> IssuingPorts:
    vault = Vault([SECRET])
    return IssuingPorts(database, clock, vault, SIGNER, Notary(vault), "https://leave.example.com")


@pytest.fixture
def owed(database: Database) -> Owed:
    """What the mails say that are owed now."""

    def read() -> list[dict[str, Any]]:
        mails = database.read_sync(lambda db: list(db.exec(select(Mail))))
        return [json.loads(Vault([SECRET]).open(mail.data_encrypted or "")) for mail in mails]

    return read


def job_of(receipt: Receipt) -> Job:
    return Job(id="job_1", kind="receipt", subject_id=receipt.id, payload={}, attempts=1)


async def test_a_receipt_is_signed_and_mailed(
    ports: IssuingPorts, app_id: str, database: Database, clock: FakeClock, owed: Owed
) -> None:
    receipt = write(database, app_id, clock.now())
    await issuing.sign_and_mail(ports, job_of(receipt))
    now = kept(database, receipt.id)
    (mail,) = owed()
    signed = read_file(mail["file"]["json"])
    assert mail["content"] == signed.content == receipt.content == now.content
    assert mail["file"]["name"] == "receipt-LW-7F3C-92AD.json"
    assert signed.key_id == now.key_id
    public = database.read_sync(keys.public_keys)[signed.key_id]
    assert ed25519.is_signed(public, signed.signed_bytes(), signed.signature)
    base, _, token = mail["page_url"].rpartition("/")
    assert base == "https://leave.example.com/cancel/receipts"
    assert address.read(SIGNER, token) == receipt.id
    assert mail["undo_url"] == mail["page_url"] + "#undo"


async def test_the_mail_goes_to_who_is_meant_and_is_owed_in_the_same_breath(
    ports: IssuingPorts, app_id: str, database: Database, clock: FakeClock
) -> None:
    receipt = write(database, app_id, clock.now(), locale="en-GB")
    await issuing.sign_and_mail(ports, job_of(receipt))
    (mail,) = database.read_sync(lambda db: list(db.exec(select(Mail))))
    assert (mail.kind, mail.recipient, mail.locale) == ("receipt", "ben@example.com", "en-GB")
    assert (mail.app_id, mail.subject_id, mail.status) == (app_id, receipt.id, "pending")
    jobs = database.read_sync(lambda db: list(db.exec(select(OutboxJob))))
    assert (mail.id, "mail") in [(job.subject_id, job.kind) for job in jobs]


async def test_doing_it_again_changes_and_sends_nothing(
    ports: IssuingPorts, app_id: str, database: Database, clock: FakeClock, owed: Owed
) -> None:
    receipt = write(database, app_id, clock.now())
    await issuing.sign_and_mail(ports, job_of(receipt))
    before = kept(database, receipt.id)
    clock.advance(days=1)
    database.write_sync(keys.rotate, ports.vault, clock.now())
    await issuing.sign_and_mail(ports, job_of(receipt))
    assert kept(database, receipt.id) == before
    assert len(owed()) == 1


async def test_without_an_address_it_is_signed_and_nothing_is_sent(
    ports: IssuingPorts, app_id: str, database: Database, clock: FakeClock, owed: Owed
) -> None:
    receipt = write(database, app_id, clock.now(), recipient=None)
    await issuing.sign_and_mail(ports, job_of(receipt))
    assert kept(database, receipt.id).signature
    assert owed() == []


@pytest.mark.parametrize("until", [None, timedelta(0), timedelta(days=-1)])
async def test_no_way_back_is_named_where_there_is_none(
    ports: IssuingPorts,
    app_id: str,
    database: Database,
    clock: FakeClock,
    owed: Owed,
    until: timedelta | None,
) -> None:
    at = (clock.now() + until).isoformat() if until is not None else None
    receipt = write(database, app_id, clock.now(), undoUntil=at)
    await issuing.sign_and_mail(ports, job_of(receipt))
    assert [mail["undo_url"] for mail in owed()] == [None]


async def test_a_receipt_that_is_gone_is_no_work(ports: IssuingPorts, app_id: str, owed: Owed) -> None:
    await issuing.sign_and_mail(ports, Job("job_1", "receipt", "rcp_gone", {}, 1))
    assert owed() == []


async def test_after_the_secret_was_lost_receipts_still_go_out(
    ports: IssuingPorts,
    app_id: str,
    database: Database,
    clock: FakeClock,
    owed: Owed,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = database.write_sync(keys.rotate, Vault([OLD_SECRET]), clock.now())
    receipt = write(database, app_id, clock.now())
    await issuing.sign_and_mail(ports, job_of(receipt))
    signed = read_file(owed()[0]["file"]["json"])
    public = database.read_sync(keys.public_keys)
    assert set(public) == {lost.id, signed.key_id}
    assert signed.key_id != lost.id
    assert ed25519.is_signed(public[signed.key_id], signed.signed_bytes(), signed.signature)
    again = write(database, app_id, clock.advance(seconds=1))
    await issuing.sign_and_mail(replace(ports, notary=Notary(ports.vault)), job_of(again))
    assert kept(database, again.id).key_id == signed.key_id
    assert len(all_keys(database)) == 2
