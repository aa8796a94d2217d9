"""Whoever asks to be forgotten is: no row names the address or repeats the answers. Nobody else is touched."""

import asyncio
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, select

from app.adapters.vault import Vault
from app.connections import health
from app.connections.health import Failure
from app.core.errors import InvalidInput
from app.core.request_reasons import NOT_MADE
from app.db.outbox import Job
from app.db.tables.connections import Connection
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.db.tables.privacy import Erasure
from app.db.tables.receipts import Receipt
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.db.tables.webhooks import WebhookAttempt, WebhookDelivery
from app.manual import service as manual
from app.manual.notifying import ManualPorts, notify
from app.privacy import service
from app.receipts.address import path_of
from app.webhooks import queries, settling
from app.webhooks.sending import Tried
from tests.privacy.conftest import BEN, CHEN, Bureau, dump
from tests.support.apps import OLD_SECRET, SECRET
from tests.support.pages import Visitor

pytestmark = pytest.mark.anyio

BENS_WORDS, CHENS_WORDS = "zanzibar-quagga", "ptarmigan-oboe"
BENS = (BEN, "cus_ben", "sub_ben_pro", BENS_WORDS)
CHENS = (CHEN, "cus_chen", "sub_chen_pro", CHENS_WORDS)


def owing(email: str, words: str) -> str:
    """What a billing system says when it refuses."""
    return f"Customer {email} ({words}) still owes invoice 7."


async def two_customers_leave(bureau: Bureau) -> None:
    """Both cancel by a link, at first in vain, by mail, and leave a request; everything is mailed and told, and
    answered with an echo."""
    bureau.listen()
    for customer, email, words in (("cus_ben", BEN, BENS_WORDS), ("cus_chen", CHEN, CHENS_WORDS)):
        async with bureau.desk.browser() as client:
            visitor = Visitor(client)
            await bureau.cancel_in_vain(visitor, customer, words, owing(email, words))
            await bureau.work()
            await bureau.walk_and_cancel(visitor, customer, words)
            await bureau.work()
            await bureau.request(visitor, email, words)
            await bureau.work()
            await bureau.prove(visitor, email, words)
            await bureau.work()


async def test_no_row_of_any_table_names_the_address_or_the_answers(bureau: Bureau) -> None:
    await two_customers_leave(bureau)
    before = dump(bureau.database)
    for trace in (*BENS, *CHENS):
        assert trace in before, "the walk left too few traces to be worth a test"
    proof = await bureau.erase(BEN)
    assert proof.finished_at is not None
    after = dump(bureau.database)
    for trace in BENS:
        assert trace not in after
    assert _about(after, CHENS) == _about(before, CHENS)
    await bureau.work()
    assert _about(dump(bureau.database), CHENS) == _about(before, CHENS)
    for trace in BENS:
        assert trace not in dump(bureau.database)


async def test_how_many_there_were_and_how_they_ended_stays(bureau: Bureau) -> None:
    await two_customers_leave(bureau)
    before = {row.id: row for row in bureau.desk.sessions()}
    counted = {row.session_id: row for row in bureau.desk.all(SessionRecord)}
    proof = await bureau.erase(BEN)
    after = {row.id: row for row in bureau.desk.sessions()}
    assert after.keys() == before.keys()
    for known in before.values():
        now = after[known.id]
        if now.erased_at is None:
            continue
        assert (now.outcome, now.created_at) == (known.outcome or "dismissed", known.created_at)
    records = {row.session_id: row for row in bureau.desk.all(SessionRecord)}
    for name in ("outcome", "save_type", "plan_id", "is_canceled", "created_at"):
        for session_id, record in counted.items():
            assert getattr(records[session_id], name) == getattr(record, name)
    assert proof.counts["sessions"] == 3
    assert proof.counts["changes"] == 2
    assert proof.counts["requests"] == 2
    assert proof.counts["verifications"] == 1
    assert {"events", "deliveries", "mails", "receipts", "links"} <= set(proof.counts)


async def test_that_a_person_was_needed_stays_and_not_in_the_words_of_billing(bureau: Bureau) -> None:
    await bureau.cancel_in_vain(bureau.desk.visitor, "cus_ben", BENS_WORDS, owing(BEN, BENS_WORDS))
    (request,) = bureau.desk.all(CancellationRequest)
    assert request.reasons == [owing(BEN, BENS_WORDS)]
    proof = await bureau.erase(BEN)
    assert proof.finished_at is not None
    (request,) = bureau.desk.all(CancellationRequest)
    row = bureau.desk.session()
    assert (row.outcome, row.state["manual_reasons"]) == ("manual_cancellation_requested", [NOT_MADE])
    assert (request.reasons, request.closed_at is not None) == ([NOT_MADE], True)
    assert not any(trace in dump(bureau.database) for trace in BENS)


async def test_what_billing_said_when_it_failed_goes_too_and_that_it_did_stays(bureau: Bureau) -> None:
    app_id, vault = bureau.desk.merchant.app_id, bureau.desk.ports.vault
    for said, left in ((owing(BEN, BENS_WORDS), None), (health.SILENCE, health.SILENCE)):
        bureau.database.write_sync(
            health.note_failure,
            vault,
            app_id=app_id,
            failure=Failure(said),
            claim=None,
            now=bureau.desk.clock.now(),
        )
        assert said in dump(bureau.database)
        await bureau.erase(BEN)
        (connection,) = bureau.desk.all(Connection)
        assert (connection.last_error, connection.last_failed_at) == (left, bureau.desk.clock.now())
    assert connection.failures == 2


async def test_the_file_holds_no_trace_either_once_it_was_vacuumed(bureau: Bureau) -> None:
    await two_customers_leave(bureau)
    await bureau.erase(BEN)
    raw = bureau.vacuum()
    assert CHENS_WORDS.encode() in raw
    for trace in BENS:
        assert trace.encode() not in raw


async def test_the_receipts_page_is_gone_and_says_so(bureau: Bureau) -> None:
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS)
    await bureau.work()
    receipt = bureau.desk.all(Receipt)[0]
    address = path_of(bureau.desk.ports.signer, receipt.id)
    assert (await bureau.desk.visitor.open(address)).status == 200
    await bureau.erase(BEN)
    page = await bureau.desk.visitor.open(address, status=410)
    assert page.h1 == "This receipt has been erased"
    assert (await bureau.desk.visitor.open(f"{address}/receipt.json", status=410)).status == 410


async def test_case_and_space_make_no_difference_and_another_address_does(bureau: Bureau) -> None:
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS)
    await bureau.work()
    for other in ("ben+x@example.com", "en@example.com", "ben@example.co"):
        assert (await bureau.erase(other)).counts == {}
    assert BEN in dump(bureau.database)
    await bureau.erase("  BEN@Example.COM ")
    assert BEN not in dump(bureau.database)


async def test_a_session_in_progress_is_ended_first(bureau: Bureau) -> None:
    bureau.listen()
    page = await bureau.begin(bureau.desk.visitor, "cus_ben", BENS_WORDS)
    proof = await bureau.erase(BEN)
    row = bureau.desk.session()
    assert (row.outcome, row.phase) == ("dismissed", "finished")
    assert proof.finished_at is not None
    (record,) = bureau.desk.all(SessionRecord)  # it counts, as one that was dismissed
    assert (record.outcome, record.customer_id, record.customer_email) == ("dismissed", None, None)
    assert (await bureau.desk.visitor.open(page.url, status=403)).status == 403
    await bureau.work()
    (told,) = bureau.receiver.inbox
    assert told.json()["type"] == "session.completed"
    assert told.json()["data"]["outcome"] == "dismissed"
    assert not any(trace.encode() in told.body for trace in BENS)


async def test_a_cancellation_under_way_is_carried_out_before_it_is_forgotten(bureau: Bureau) -> None:
    bureau.desk.break_billing("before_commit")
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS, is_done=False)
    proof = await bureau.erase(BEN)
    assert (proof.finished_at, proof.waiting) == (None, 1)
    assert bureau.desk.session().customer_id == "cus_ben"
    again = await bureau.erase(BEN)
    assert again.id == proof.id  # it is the same wish
    bureau.desk.faults.clear()
    bureau.desk.clock.advance(hours=1)
    await bureau.work()
    assert bureau.desk.billed() == ["cancel"]
    bureau.desk.clock.advance(hours=1)
    await bureau.work()
    (done,) = bureau.desk.all(Erasure)
    assert (done.finished_at is not None, done.waiting, done.address_encrypted) == (True, 0, None)
    assert not any(trace in dump(bureau.database) for trace in BENS)


async def test_what_the_worker_still_owes_is_owed_no_more(bureau: Bureau) -> None:
    bureau.listen()
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS)
    await bureau.request(bureau.desk.visitor, BEN, BENS_WORDS)
    assert bureau.desk.all(OutboxJob)
    await bureau.erase(BEN)
    assert bureau.desk.all(OutboxJob) == []
    await bureau.work()
    assert (bureau.mailbox.messages, bureau.receiver.inbox) == ([], [])


async def test_a_link_that_was_not_used_yet_leads_nowhere(bureau: Bureau) -> None:
    link = await bureau.mint_direct("cus_new", "new@example.com")
    assert "new@example.com" in dump(bureau.database)
    assert (await bureau.erase("New@Example.com")).counts["links"] == 1
    rows = dump(bureau.database)
    assert "new@example.com" not in rows
    assert "cus_new" not in rows
    await bureau.desk.visitor.open(urlsplit(link).path, status=410)


async def test_sessions_without_an_address_go_with_their_customer(bureau: Bureau) -> None:
    bureau.desk.break_billing("read")  # billing does not say who it is
    await bureau.begin(bureau.desk.visitor, "cus_ben", "said while billing was down")
    bureau.desk.faults.clear()
    async with bureau.desk.browser() as client:
        await bureau.walk_and_cancel(Visitor(client), "cus_ben", BENS_WORDS)
    assert (await bureau.erase(BEN)).counts["sessions"] == 2
    assert "said while billing was down" not in dump(bureau.database)
    assert "cus_ben" not in dump(bureau.database)


async def test_a_wish_without_anything_to_forget_is_proven_too(bureau: Bureau) -> None:
    proof = await bureau.erase("nobody@example.com")
    assert (proof.counts, proof.finished_at, proof.address_encrypted) == ({}, bureau.desk.clock.now(), None)
    again = await bureau.erase("nobody@example.com")
    assert again.id != proof.id


async def test_who_knows_the_address_finds_the_proof_and_nobody_else_does(bureau: Bureau) -> None:
    proof = await bureau.erase(BEN)
    await bureau.erase(CHEN)
    signer = bureau.desk.ports.signer
    found = bureau.database.read_sync(
        service.prove, signer, organization_id=bureau.organization_id, email="Ben@example.com"
    )
    assert [one.id for one in found] == [proof.id]
    assert BEN not in dump(bureau.database)


async def test_another_organizations_customer_of_the_same_address_stays(bureau: Bureau) -> None:
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS)
    other = bureau.another_organization()
    proof = await service.delete(bureau.ports(), organization_id=other, email=BEN, requested_by="cli")
    assert proof.counts == {}
    assert BEN in dump(bureau.database)


async def test_text_that_is_no_address_is_refused(bureau: Bureau) -> None:
    for wrong in ("", "ben", "ben@", "a b@example.com\x00"):
        with pytest.raises(InvalidInput) as refused:
            await bureau.erase(wrong)
        assert [field.field for field in refused.value.fields] == ["email"]


async def test_cut_short_it_goes_on_where_it_stands(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        async with bureau.desk.browser() as client:
            await bureau.begin(Visitor(client), "cus_ben", f"{BENS_WORDS} {number}")
    monkeypatch.setattr(service, "BITE", 2)
    monkeypatch.setattr(service, "PATIENCE_S", 0.0)
    proof = await bureau.erase(BEN)
    assert proof.finished_at is None
    assert bureau.desk.all(OutboxJob)
    await bureau.work()
    (done,) = bureau.desk.all(Erasure)
    assert done.finished_at is not None
    assert done.counts["sessions"] == 5
    assert not any(trace in dump(bureau.database) for trace in BENS)


def _about(dumped: str, traces: tuple[str, ...]) -> list[str]:
    return sorted(line for line in dumped.splitlines() if any(trace in line for trace in traces))


async def test_a_session_whose_request_names_the_address_goes_too(bureau: Bureau) -> None:
    bureau.desk.break_billing("read")  # billing does not say who it is
    await bureau.begin(bureau.desk.visitor, "cus_ben", BENS_WORDS)
    row = bureau.desk.session()
    bureau.database.write_sync(
        manual.record,
        app_id=row.app_id,
        session_id=row.id,
        customer_id=row.customer_id,
        subscription_id=None,
        reasons=["no_billing"],
        address=BEN,
        now=bureau.desk.clock.now(),
    )
    proof = await bureau.erase(BEN)
    assert (proof.counts["sessions"], proof.counts["requests"], proof.counts["openRequests"]) == (1, 1, 1)
    assert not any(trace in dump(bureau.database) for trace in BENS)


async def test_whoever_dies_over_it_leaves_it_to_the_worker(bureau: Bureau) -> None:
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS)
    begun, job = bureau.database.write_sync(
        service._begin,
        bureau.ports(),
        organization_id=bureau.organization_id,
        email=BEN,
        requested_by="cli",
        now=bureau.desk.clock.now(),
    )
    assert job is not None
    assert BEN not in begun.model_dump_json()
    await bureau.work()
    assert BENS_WORDS in dump(bureau.database), "the lease is still somebody's"
    bureau.desk.clock.advance(seconds=31)
    await bureau.work()
    assert not any(trace in dump(bureau.database) for trace in BENS)
    assert bureau.database.read_sync(
        service.get, organization_id=bureau.organization_id, erasure_id=begun.id
    ).finished_at


async def test_a_change_of_secret_does_not_lose_whom_it_is_about(bureau: Bureau) -> None:
    bureau.desk.break_billing("before_commit")
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS, is_done=False)
    await bureau.erase(BEN)
    assert bureau.database.write_sync(service.reseal, Vault([OLD_SECRET, SECRET])) == 1
    (going_on,) = bureau.desk.all(Erasure)
    assert Vault([OLD_SECRET]).open(going_on.address_encrypted or "") == BEN


async def test_a_delivery_on_its_way_finds_its_rows_gone_and_says_nothing(bureau: Bureau) -> None:
    bureau.listen()
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS)
    bureau.receiver.on_message = None
    bureau.receiver.hold()
    working = asyncio.create_task(bureau.work())
    await asyncio.to_thread(bureau.receiver.arrived.acquire)
    await bureau.erase(BEN)
    bureau.receiver.release()
    await working
    assert bureau.desk.all(WebhookAttempt) == []
    assert not any(trace in dump(bureau.database) for trace in BENS)


async def test_a_try_that_ends_in_the_middle_of_it_does_not_spoil_it(bureau: Bureau) -> None:
    bureau.listen()
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS)
    now, endpoint_id = bureau.desk.clock.now(), bureau.desk.all(WebhookDelivery)[0].endpoint_id
    lease = timedelta(minutes=1)
    held = bureau.database.write_sync(
        queries.claim, endpoint_id, worker="another", now=now, lease=lease, limit=50
    )
    tried = Tried(now, 5, bureau.receiver.url, {}, status=200)
    met = list[BaseException | None]()

    def settle(db: Session) -> None:
        db.connection().execute(text("SET LOCAL lock_timeout = '300ms'"))
        for owed in held:
            settling.settle(db, bureau.desk.ports.vault, owed, tried, worker="another", chance=0.0)

    def after_attempts(_c: object, _cursor: object, statement: str, *_: object) -> None:
        # SQLite has one writer: nobody can come in between.
        if statement.startswith("DELETE FROM webhook_attempts") and not met and not bureau.database.is_sqlite:
            met.append(None)
            met[0] = bureau.database._submit_write(settle).exception()

    event.listen(Engine, "after_cursor_execute", after_attempts)
    try:
        proof = await bureau.erase(BEN)
    finally:
        event.remove(Engine, "after_cursor_execute", after_attempts)
    assert proof.finished_at is not None
    assert bureau.database.is_sqlite or isinstance(met[0], OperationalError)  # it had to wait
    assert not any(trace in dump(bureau.database) for trace in BENS)


async def test_one_whose_key_the_migration_could_not_fold_is_found_by_its_record(bureau: Bureau) -> None:
    await bureau.walk_and_cancel(bureau.desk.visitor, "cus_ben", BENS_WORDS)

    def as_it_was(db: Session) -> None:
        row = db.exec(select(CancelSession)).one()
        kept = db.exec(select(SessionRecord)).one()
        row.email_key, kept.customer_email = "\u00c4@example.com", "\u00e4@example.com"

    await bureau.work()
    bureau.database.write_sync(as_it_was)
    await bureau.erase("\u00c4@example.com")
    (row,) = bureau.desk.all(CancelSession)
    assert (row.erased_at, row.snapshot) == (bureau.desk.clock.now(), {})
    assert BENS_WORDS not in dump(bureau.database)


async def test_of_a_request_that_was_forgotten_in_the_middle_of_it_nobody_is_mailed(bureau: Bureau) -> None:
    await bureau.request(bureau.desk.visitor, BEN, BENS_WORDS)
    (owed,) = (job for job in bureau.desk.all(OutboxJob) if job.kind == manual.JOB)
    await bureau.erase(BEN)
    ports = bureau.desk.ports
    notifying_ports = ManualPorts(
        ports.database, ports.clock, ports.vault, ports.signer, "https://example.com"
    )
    await notify(notifying_ports, Job(owed.id, owed.kind, owed.subject_id, owed.payload, 1))
    assert bureau.desk.all(Mail) == []
