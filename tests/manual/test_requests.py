"""Requests of people whose address nobody has proven: kept, told, bounded, never a way to write to others."""

import asyncio
from collections import Counter

import pytest
from sqlmodel import Session, select

from app.core import limits
from app.core.errors import InvalidInput
from app.core.limits import Limit
from app.core.request_reasons import EMAIL_NOT_VERIFIED
from app.core.summary import reference_of
from app.db.database import Database
from app.db.limits import hold
from app.db.outbox import Job
from app.db.tables.events import EventRow
from app.db.tables.flows import FlowVersion
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.db.tables.receipts import Receipt
from app.db.tables.sessions import CancelSession
from app.mail.service import MailKind
from app.manual import notifying, service
from app.manual.service import MAX_NOTE, RequestNotFound, TooManyCancellationRequests
from app.web.limits import claim
from tests.manual.desk import ADA, RequestDesk

pytestmark = pytest.mark.anyio


async def test_a_request_is_kept_and_the_merchant_told(desk: RequestDesk) -> None:
    row = desk.leave(" Ada@Example.com ", " I moved.\nPlease stop. ")
    [kept] = desk.all(CancellationRequest)
    assert kept.id == row.id
    assert (kept.address, kept.note) == ("Ada@Example.com", "I moved.\nPlease stop.")
    assert (kept.customer_id, kept.subscription_id, kept.session_id) == (None, None, None)
    assert (kept.reasons, kept.created_at, kept.closed_at) == ([EMAIL_NOT_VERIFIED], desk.clock.now(), None)
    [event] = desk.all(EventRow)
    assert (event.type, event.session_id) == ("cancellation.manual_required", None)
    assert event.data | {"reference": None} == {
        "outcome": "manual_cancellation_requested",
        "subscriptionId": None,
        "reason": None,
        "followUp": None,
        "feedback": None,
        "usedExit": False,
        "blockers": ["email_not_verified"],
        "customerId": None,
        "requestId": row.id,
        "reference": None,
        "email": "Ada@Example.com",
        "note": "I moved.\nPlease stop.",
    }
    assert event.data["reference"] == reference_of(row.id)


async def test_the_merchant_is_mailed_and_so_is_who_left_it_but_never_the_note(desk: RequestDesk) -> None:
    row = desk.leave(note="Buy cheap watches at https://spam.example")
    await desk.notify()
    mails = desk.mails()
    notice, received = mails[MailKind.MANUAL_NOTICE], mails[MailKind.REQUEST_RECEIVED]
    assert (notice.recipient, notice.locale, notice.subject_id) == ("help@northwind.example", "en", row.id)
    assert desk.data_of(notice) == {
        "reference": reference_of(row.id),
        "requested_at": "2026-11-21T09:00:00Z",
        "address": ADA,
        "note": "Buy cheap watches at https://spam.example",
        "reasons": ["email_not_verified"],
        "customer_id": None,
        "subscription_id": None,
        "mode": "test",
    }
    assert (received.recipient, received.locale) == (ADA, "en-GB")
    told = desk.data_of(received)
    assert told.pop("page_url").startswith(f"{desk.merchant.settings.base_url}/cancel/receipts/")
    assert told == {"reference": reference_of(row.id), "requested_at": "2026-11-21T09:00:00Z"}
    assert "watches" not in repr([receipt.content for receipt in desk.all(Receipt)]), (
        "nor does the page say it"
    )


async def test_a_notice_that_is_run_again_mails_nobody_twice(desk: RequestDesk) -> None:
    desk.leave()
    await asyncio.gather(*(desk.notify() for _ in range(4)))
    await desk.notify()
    assert set(desk.mails()) == {MailKind.MANUAL_NOTICE, MailKind.REQUEST_RECEIVED}


async def test_a_merchant_without_an_address_finds_it_in_the_list(desk: RequestDesk) -> None:
    desk.merchant.change(contact_email=None)
    row = desk.leave()
    await desk.notify()
    assert set(desk.mails()) == {MailKind.REQUEST_RECEIVED}
    [listed] = desk.database.read_sync(service.list_requests, app_id=desk.app_id, limit=10)
    assert listed.id == row.id


async def test_a_notice_about_nothing_is_done(desk: RequestDesk) -> None:
    await notifying.notify(desk.ports, Job("job_1", service.JOB, "req_none", {"answers_in": "en"}, 1))
    assert desk.mails() == {}


@pytest.mark.parametrize(
    ("address", "note", "problems"),
    [
        ("", "", {"email": "errors.email.missing"}),
        ("ada", "x", {"email": "errors.email.invalid"}),
        ("ada@example.com\nBcc: bob@example.com", "", {"email": "errors.email.invalid"}),
        ("a\x00da@example.com", "", {"email": "errors.email.invalid"}),
        (ADA, "x" * (MAX_NOTE + 1), {"note": "errors.note.long"}),
        (ADA, "one\x00two", {"note": "errors.text.control"}),
        (ADA, "half \ud83d", {"note": "errors.text.control"}),
        ("", "\x1b", {"email": "errors.email.missing", "note": "errors.text.control"}),
    ],
)
async def test_what_cannot_be_kept_is_said_at_its_field(
    desk: RequestDesk, address: str, note: str, problems: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        desk.leave(address, note)
    assert {error.field: error.message for error in refused.value.fields} == problems
    assert desk.all(CancellationRequest) == []


@pytest.mark.parametrize(
    "note", ["", " \n ", "ü" * MAX_NOTE, "🙂 ok\ttab\nline", "<script>alert(1)</script>"]
)
async def test_any_other_note_is_kept_as_it_is(desk: RequestDesk, note: str) -> None:
    assert desk.leave(note=note).note == (note.strip() or None)


async def test_the_same_words_again_are_the_same_request(desk: RequestDesk) -> None:
    first = desk.leave()
    desk.clock.advance(minutes=9)
    assert desk.leave().id == first.id
    assert desk.leave(note="Other words.").id != first.id
    desk.clock.advance(minutes=2)
    assert desk.leave().id != first.id
    without = desk.leave("bob@example.com", "")
    assert desk.leave("bob@example.com", " ").id == without.id


async def test_a_form_sent_twice_at_once_is_one_request(desk: RequestDesk) -> None:
    with Database(desk.database.url.render_as_string(hide_password=False)) as other:
        rows = await asyncio.gather(
            *(
                (desk.database, other)[n % 2].write(
                    service.request,
                    desk.signer,
                    app_id=desk.app_id,
                    address=ADA,
                    note="Once.",
                    ip="192.0.2.1",
                    now=desk.clock.now(),
                    locale="en",
                )
                for n in range(10)
            )
        )
    assert len({row.id for row in rows}) == 1
    assert len([job for job in desk.all(OutboxJob) if job.kind == service.JOB]) == 1


# --- Limits -------------------------------------------------------------------------------------------------


async def test_an_address_leaves_three_requests_a_day(desk: RequestDesk) -> None:
    for n in range(3):
        desk.leave(f"ADA+{n}@example.com", f"Note {n}", ip=f"192.0.2.{n}")
    with pytest.raises(TooManyCancellationRequests) as refused:
        desk.leave(note="One more.", ip="198.51.100.1")
    assert (refused.value.limit, refused.value.retry_after) == ("requests_per_address", 86_400)
    desk.clock.advance(days=1)
    desk.leave(note="One more.")


async def test_a_network_leaves_ten_an_hour_and_an_environment_takes_two_hundred(desk: RequestDesk) -> None:
    def leave(db: Session, n: int, ip: str) -> str | None:
        try:
            with db.begin_nested():
                service.request(
                    db,
                    desk.signer,
                    app_id=desk.app_id,
                    address=f"v{n}@example.com",
                    note="",
                    ip=ip,
                    now=desk.clock.now(),
                    locale="en",
                )
        except TooManyCancellationRequests as refused:
            return refused.limit
        return None

    def leave_all(db: Session) -> Counter[str | None]:
        return Counter(leave(db, n, f"2001:db8:0:{n // 12}::{n}") for n in range(264))

    assert desk.database.write_sync(leave_all) == {
        None: 200,
        "requests_per_ip": 2 * 19,
        "requests_per_environment": 2 + 24,
    }


async def test_requests_count_among_the_mails_that_an_address_gets(desk: RequestDesk) -> None:
    for n in range(3):
        desk.leave(note=f"{n}", ip=f"192.0.2.{n}")

    def room(db: Session) -> float:
        more = claim(desk.signer, limits.SENDS_PER_HOUR, "ada@example.com")
        return hold(db, [more], now=desk.clock.now()).wait_s(more, cost=3)

    assert desk.database.write_sync(room) == 3600, "two of five are left"


@pytest.mark.parametrize(
    "limit",
    [
        limits.SENDS_PER_HOUR,
        limits.SENDS_PER_DAY,
        limits.SENDS_PER_IP,
        limits.SENDS_PER_ENVIRONMENT,
    ],
    ids=lambda limit: limit.name,
)
async def test_where_no_more_mails_may_go_the_request_is_kept_all_the_same(
    desk: RequestDesk, limit: Limit
) -> None:
    party = {"sends_per_ip": "192.0.2.1", "sends_per_environment": desk.app_id}.get(limit.name, ADA)

    def use_up(db: Session) -> None:
        used_up = claim(desk.signer, limit, party)
        hold(db, [used_up], now=desk.clock.now()).count([used_up], cost=limit.most)

    desk.database.write_sync(use_up)
    desk.leave()
    await desk.notify()
    assert set(desk.mails()) == {MailKind.MANUAL_NOTICE}
    assert len(desk.all(CancellationRequest)) == 1


# --- Out of sessions ----------------------------------------------------------------------------------------


async def test_a_sessions_request_is_kept_once_for_each_subscription(desk: RequestDesk) -> None:
    def record(db: Session, session_id: str, subscription_id: str) -> CancellationRequest:
        if db.get(CancelSession, session_id) is None:
            [version] = db.exec(select(FlowVersion)).all()
            db.add(
                CancelSession(
                    id=session_id,
                    app_id=desk.app_id,
                    flow_version_id=version.id,
                    customer_id="cus_ada",
                    mode="test",
                    phase="finished",
                    locale="en",
                    created_at=desk.clock.now(),
                    last_seen_at=desk.clock.now(),
                    expires_at=desk.clock.now(),
                )
            )
            db.flush()
        return service.record(
            db,
            app_id=desk.app_id,
            session_id=session_id,
            customer_id="cus_ada",
            subscription_id=subscription_id,
            reasons=["multiple_items"],
            now=desk.clock.now(),
        )

    row = desk.database.write_sync(record, "cs_1", "sub_1")
    assert desk.database.write_sync(record, "cs_1", "sub_1").id == row.id
    await desk.notify()
    notice = desk.data_of(desk.mails()[MailKind.MANUAL_NOTICE])
    assert (notice["customer_id"], notice["subscription_id"]) == ("cus_ada", "sub_1")
    assert (notice["reasons"], notice["address"]) == (["multiple_items"], None)
    assert desk.all(EventRow) == [], "a session tells its own events"
    others = {desk.database.write_sync(record, *of).id for of in (("cs_1", "sub_2"), ("cs_2", "sub_1"))}
    assert len(others | {row.id}) == 3


# --- The merchant's list ------------------------------------------------------------------------------------


async def test_requests_are_listed_newest_first_page_by_page(desk: RequestDesk) -> None:
    ids = []
    for n in range(5):
        ids.append(desk.leave(f"v{n}@example.com").id)
        desk.clock.advance(minutes=n % 2)
    seen: list[CancellationRequest] = []
    while True:
        before = (seen[-1].created_at, seen[-1].id) if seen else None
        page = desk.database.read_sync(service.list_requests, app_id=desk.app_id, limit=2, before=before)
        if not page:
            break
        seen += page
    assert sorted(row.id for row in seen) == sorted(ids)
    assert [row.created_at for row in seen] == sorted((row.created_at for row in seen), reverse=True)


async def test_a_request_is_closed_once_and_leaves_the_open_ones(desk: RequestDesk) -> None:
    first, second = desk.leave("a@example.com"), desk.leave("b@example.com")

    def close(app_id: str = desk.app_id, request_id: str = first.id) -> CancellationRequest:
        return desk.database.write_sync(
            service.close, app_id=app_id, request_id=request_id, now=desk.clock.now()
        )

    def listed(*, is_open: bool) -> list[str]:
        rows = desk.database.read_sync(service.list_requests, app_id=desk.app_id, limit=9, is_open=is_open)
        return [row.id for row in rows]

    closed_at = desk.clock.now()
    close()
    desk.clock.advance(hours=1)
    assert close().closed_at == closed_at
    assert listed(is_open=True) == [second.id]
    assert listed(is_open=False) == [first.id]
    for app_id, request_id in (("app_other", first.id), (desk.app_id, "req_none"), (desk.app_id, "req_\x00")):
        with pytest.raises(RequestNotFound):
            close(app_id, request_id)


async def test_another_merchants_requests_are_not_listed(desk: RequestDesk) -> None:
    desk.leave()
    assert desk.database.read_sync(service.list_requests, app_id="app_other", limit=9) == []
