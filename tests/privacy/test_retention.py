"""What is personal is forgotten when its time is over, and no sooner; counts and reasons stay."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Executable, delete, update
from sqlmodel import Session

from app.connections import health
from app.connections.health import Failure
from app.core.erasure import NOBODY
from app.core.facts import History
from app.core.request_reasons import NOT_MADE
from app.core.state import SessionState
from app.core.webhook_ladder import LADDER_S, next_try
from app.db import outbox
from app.db.tables.connections import Connection
from app.db.tables.effects import Effect
from app.db.tables.links import CancelLink
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.db.tables.receipts import Receipt
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.db.tables.webhooks import WebhookEndpoint
from app.manual import service as manual
from app.privacy import overdue, retention
from app.sessions import queries
from app.sessions.reminding import REMINDER_JOB
from app.webhooks import endpoints
from tests.privacy.conftest import BEN, Bureau, dump
from tests.support.clock import START
from tests.support.pages import FROM_A_PAGE, Visitor
from tests.support.press import press
from tests.support.receiver import Answer

pytestmark = pytest.mark.anyio

WORDS = "zanzibar-quagga"
PRIVACY = Path(__file__).parents[2] / "docs" / "privacy.md"
TRACES = (BEN, "cus_ben", "sub_ben_pro", WORDS)


async def leave(bureau: Bureau, customer: str = "cus_ben", words: str = WORDS) -> None:
    async with bureau.desk.browser() as client:
        await bureau.walk_and_cancel(Visitor(client), customer, words)
    await bureau.work()


async def sweep(bureau: Bureau) -> None:
    await retention.sweep(bureau.database, bureau.desk.clock)


def traces(bureau: Bureau) -> list[str]:
    rows = dump(bureau.database)
    return [trace for trace in TRACES if trace in rows]


async def test_it_is_kept_until_its_time_is_over_and_not_a_day_longer(bureau: Bureau) -> None:
    bureau.desk.merchant.change(retention_days=30)
    await leave(bureau)
    bureau.desk.clock.advance(days=60)  # the paid period, and with it the right to take it back, is over
    bureau.desk.merchant.change(retention_days=61)
    await sweep(bureau)
    assert traces(bureau) == list(TRACES)
    bureau.desk.clock.advance(days=2)
    await sweep(bureau)
    assert traces(bureau) == []


async def test_counts_and_the_reason_that_was_picked_stay(bureau: Bureau) -> None:
    await leave(bureau)
    (before,) = bureau.desk.all(SessionRecord)
    bureau.desk.clock.advance(days=401)
    await sweep(bureau)
    (after,) = bureau.desk.all(SessionRecord)
    for name in ("outcome", "save_type", "response", "reason_id", "plan_id", "created_at", "is_canceled"):
        assert getattr(after, name) == getattr(before, name)
    assert (after.customer_id, after.customer_email) == (None, None)
    assert after.record["surveyChoiceId"] == "missing"
    assert (after.record["feedback"], after.record["followupResponse"]) == (None, None)
    assert after.record.keys() >= before.record.keys()
    row = bureau.desk.session()
    assert row.outcome == "canceled"
    answers = SessionState.model_validate(row.state).answers
    assert [(answer.reason, answer.follow_up) for answer in answers.values()] == [("missing", None)]


async def test_what_is_younger_stays_and_goes_in_its_turn(bureau: Bureau) -> None:
    await leave(bureau)
    bureau.desk.clock.advance(days=300)
    await leave(bureau, "cus_chen", "ptarmigan-oboe")
    bureau.desk.clock.advance(days=101)
    await sweep(bureau)
    assert traces(bureau) == []
    assert "ptarmigan-oboe" in dump(bureau.database)
    bureau.desk.clock.advance(days=400)
    await sweep(bureau)
    assert "ptarmigan-oboe" not in dump(bureau.database)


async def test_zero_days_forget_nothing(bureau: Bureau) -> None:
    bureau.desk.merchant.change(retention_days=0)
    await leave(bureau)
    bureau.desk.clock.advance(days=3_650)
    await sweep(bureau)
    assert traces(bureau) == list(TRACES)


async def test_a_cancellation_that_can_be_taken_back_is_not_forgotten_yet(bureau: Bureau) -> None:
    bureau.desk.merchant.change(retention_days=1)
    await leave(bureau, "cus_chen", "ptarmigan-oboe")  # her year has months to go
    bureau.desk.clock.advance(days=20)
    await sweep(bureau)
    assert bureau.desk.session().customer_id == "cus_chen"
    assert len(bureau.desk.all(Receipt)) == 1
    bureau.desk.clock.advance(days=366)
    await sweep(bureau)
    assert bureau.desk.session().customer_id == NOBODY
    assert bureau.desk.all(Receipt) == []


async def test_what_nobody_has_dealt_with_waits(bureau: Bureau) -> None:
    bureau.desk.merchant.change(retention_days=1)
    await bureau.request(bureau.desk.visitor, BEN, WORDS)
    await bureau.work()
    bureau.desk.clock.advance(days=20)
    await sweep(bureau)
    (row,) = bureau.desk.all(CancellationRequest)
    assert (row.address, row.note) == (BEN, WORDS)
    bureau.database.write_sync(
        manual.close, app_id=row.app_id, request_id=row.id, now=bureau.desk.clock.now()
    )
    await sweep(bureau)
    (row,) = bureau.desk.all(CancellationRequest)
    assert (row.address, row.note) == (None, None)
    assert traces(bureau) == []


async def test_a_refusal_in_the_words_of_billing_goes_and_that_a_person_was_needed_stays(
    bureau: Bureau,
) -> None:
    bureau.desk.merchant.change(retention_days=7)
    refusal = f"Customer {BEN} ({WORDS}) still owes invoice 7."
    await bureau.cancel_in_vain(bureau.desk.visitor, "cus_ben", WORDS, refusal)
    await bureau.work()
    (row,) = bureau.desk.all(CancellationRequest)
    bureau.database.write_sync(
        manual.close, app_id=row.app_id, request_id=row.id, now=bureau.desk.clock.now()
    )
    bureau.desk.clock.advance(days=8)
    await sweep(bureau)
    (row,) = bureau.desk.all(CancellationRequest)
    session = bureau.desk.session()
    assert (row.reasons, session.state["manual_reasons"]) == ([NOT_MADE], [NOT_MADE])
    assert session.outcome == "manual_cancellation_requested"
    assert traces(bureau) == []


@pytest.mark.parametrize(("said", "left"), [(f"{BEN} is unknown.", None), (health.SILENCE, health.SILENCE)])
async def test_what_billing_said_when_it_failed_goes_in_its_time(
    bureau: Bureau, said: str, left: str | None
) -> None:
    bureau.desk.merchant.change(retention_days=7)
    bureau.database.write_sync(
        health.note_failure,
        bureau.desk.ports.vault,
        app_id=bureau.desk.merchant.app_id,
        failure=Failure(said),
        claim=None,
        now=bureau.desk.clock.now(),
    )
    bureau.desk.clock.advance(days=6)
    await sweep(bureau)
    assert [row.last_error for row in bureau.desk.all(Connection)] == [said]
    bureau.desk.clock.advance(days=1)
    await sweep(bureau)
    (row,) = bureau.desk.all(Connection)
    assert (row.last_error, row.failures, row.last_failed_at) == (left, 1, START)


@pytest.mark.parametrize("what", ["request", "change", "reminder"])
async def test_a_session_waits_for_what_is_still_to_come_of_it(bureau: Bureau, what: str) -> None:
    bureau.desk.merchant.change(retention_days=7)
    async with bureau.desk.browser() as client:
        await bureau.begin(Visitor(client), "cus_ben", WORDS)
    bureau.desk.clock.advance(hours=3)
    await bureau.work()
    row = bureau.desk.session()
    over = bureau.database.write_sync(still_to_come, row, what)
    bureau.desk.clock.advance(days=8)
    await sweep(bureau)
    assert bureau.desk.session().customer_id == "cus_ben"
    bureau.database.write_sync(lambda db: db.connection().execute(over))
    await sweep(bureau)
    assert bureau.desk.session().customer_id == NOBODY
    assert traces(bureau) == []


def still_to_come(db: Session, row: CancelSession, what: str) -> Executable:
    """Let something of the session be owed. Returns the statement that makes it be over."""
    if what == "request":
        request = CancellationRequest(id="req_1", app_id=row.app_id, session_id=row.id, created_at=START)
        db.add(request)
        return update(CancellationRequest).values(closed_at=START)
    effect = Effect(
        id="eff_1",
        app_id=row.app_id,
        session_id=row.id,
        customer_id=row.customer_id,
        type="pause",
        status="applied" if what == "reminder" else "pending",
        requested_at=START,
        change={"type": "pause"},
    )
    db.add(effect)
    if what == "change":
        return update(Effect).values(status="failed")
    outbox.enqueue(db, kind=REMINDER_JOB, subject_id=effect.id, due_at=START + timedelta(days=90))
    return delete(OutboxJob)


async def test_a_link_that_still_opens_waits_for_its_end(bureau: Bureau) -> None:
    bureau.desk.merchant.change(retention_days=1)
    now = bureau.desk.clock.now()
    bureau.desk.merchant.mint("cus_ben", expires_at=now.replace(month=12))
    bureau.desk.clock.advance(days=20)
    await sweep(bureau)
    assert bureau.desk.links()[0].customer_id == "cus_ben"
    bureau.desk.clock.advance(days=20)
    await sweep(bureau)
    assert bureau.desk.links()[0].customer_id == NOBODY


async def test_a_link_that_was_used_up_or_revoked_waits_for_nothing(bureau: Bureau) -> None:
    bureau.desk.merchant.change(retention_days=7)
    now = bureau.desk.clock.now()
    bureau.desk.merchant.mint("cus_ben", expires_at=now + timedelta(days=30), consumed_at=now)
    bureau.desk.merchant.mint("cus_ben", expires_at=now + timedelta(days=30), revoked_at=now)
    bureau.desk.clock.advance(days=8)
    await sweep(bureau)
    assert [link.customer_id for link in bureau.desk.links()] == [NOBODY] * 2


async def test_a_link_outlives_the_session_that_it_opened_and_opens_another(bureau: Bureau) -> None:
    bureau.desk.merchant.change(retention_days=7)
    link = bureau.desk.merchant.mint(
        "cus_ben", single_use=False, expires_at=bureau.desk.clock.now() + timedelta(days=30)
    )
    visitor = bureau.desk.visitor
    first = await visitor.open(link, headers=FROM_A_PAGE)
    await visitor.submit(first, "Continue", {"reason": "broken", "follow_up--broken": WORDS})
    bureau.desk.clock.advance(hours=3)
    await bureau.work()
    bureau.desk.clock.advance(days=8)
    await sweep(bureau)
    assert (bureau.desk.session().customer_id, bureau.desk.links()[0].customer_id) == (NOBODY, "cus_ben")
    assert WORDS not in dump(bureau.database)
    again = await visitor.open(link, headers=FROM_A_PAGE)
    assert (again.h1, again.path == first.path) == (first.h1, False)
    assert WORDS not in again.text
    assert sorted(row.customer_id for row in bureau.desk.sessions()) == [NOBODY, "cus_ben"]
    bureau.desk.clock.advance(days=30)
    await bureau.work()
    bureau.desk.clock.advance(days=8)
    await sweep(bureau)
    assert traces(bureau) == []


# --- Events that are owed ---------------------------------------------------------------------------------------------


async def leave_and_be_told_of(bureau: Bureau) -> str:
    """A session that nobody finished, its link, and a request: told to an endpoint that takes nothing. Its id."""
    bureau.desk.merchant.change(retention_days=7)
    bureau.listen()
    bureau.receiver.on_message = None
    bureau.receiver.usual = Answer(500)
    async with bureau.desk.browser() as client:
        await bureau.begin(Visitor(client), "cus_ben", WORDS)
    async with bureau.desk.browser() as client:
        await bureau.request(Visitor(client), BEN, WORDS)
    (request,) = bureau.desk.all(CancellationRequest)
    bureau.database.write_sync(
        manual.close, app_id=request.app_id, request_id=request.id, now=bureau.desk.clock.now()
    )
    bureau.desk.clock.advance(hours=3)
    await bureau.work()
    (endpoint,) = bureau.desk.all(WebhookEndpoint)
    bureau.desk.clock.advance(days=8)
    return endpoint.id


def whose(bureau: Bureau) -> tuple[str, str, str | None]:
    (request,) = bureau.desk.all(CancellationRequest)
    return bureau.desk.session().customer_id, bureau.desk.links()[0].customer_id, request.address


async def test_what_an_endpoint_has_yet_to_be_told_waits_until_it_is(bureau: Bureau) -> None:
    await leave_and_be_told_of(bureau)
    owed = {event.id for event in bureau.desk.events()}
    await sweep(bureau)
    assert whose(bureau) == ("cus_ben", "cus_ben", BEN)
    assert {event.id for event in bureau.desk.events()} == owed
    bureau.receiver.usual = Answer(200)
    await bureau.work()
    assert {got.id for got in bureau.receiver.inbox} >= owed
    await sweep(bureau)
    assert whose(bureau) == (NOBODY, NOBODY, None)
    assert bureau.desk.events() == []
    assert traces(bureau) == []


async def test_an_endpoint_that_is_told_nothing_any_more_holds_nothing_up(bureau: Bureau) -> None:
    endpoint_id = await leave_and_be_told_of(bureau)
    bureau.database.write_sync(
        endpoints.disable,
        app_id=bureau.desk.merchant.app_id,
        endpoint_id=endpoint_id,
        now=bureau.desk.clock.now(),
    )
    await sweep(bureau)
    assert whose(bureau) == (NOBODY, NOBODY, None)
    assert bureau.desk.events() == []


async def test_what_was_given_up_holds_nothing_up(bureau: Bureau) -> None:
    await leave_and_be_told_of(bureau)
    for _ in LADDER_S:
        bureau.desk.clock.advance(hours=29)  # a day and what is added to it
        await bureau.work()
    assert whose(bureau) == (NOBODY, NOBODY, None)
    assert traces(bureau) == []


def test_the_longest_that_a_webhook_is_tried_is_as_the_documentation_says() -> None:
    begun = at = START
    tries = 0
    while (again := next_try(tries=tries + 1, failed_at=at, chance=1.0, retry_after_s=1e9)) is not None:
        tries, at = tries + 1, again
    longest = at - begun
    assert (longest.days, longest.seconds // 3600) == (9, 4)
    assert "at most nine days and five hours" in " ".join(PRIVACY.read_text("utf-8").split())


# --- Nobody -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("customer_id", ["erased", "cus_ben"])
async def test_nobody_inherits_what_was_erased(bureau: Bureau, customer_id: str) -> None:
    page = await bureau.desk.at_offer("price")
    await press(bureau.desk.visitor, page, "accept")
    await bureau.work()
    bureau.desk.clock.advance(days=401)
    await sweep(bureau)
    assert bureau.desk.session().erased_at is not None
    [offer] = bureau.desk.offers()
    assert (offer.status, offer.accepted_at is not None) == ("applied", True)
    history = bureau.database.read_sync(
        queries.history_of,
        app_id=bureau.desk.merchant.app_id,
        customer_id=customer_id,
        subscription_ids=["sub_ben_pro"],
        now=bureau.desk.clock.now(),
    )
    assert history == {"sub_ben_pro": History()}


async def test_many_go_in_bites(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overdue, "LOOKED_AT", 2)
    for _ in range(5):
        bureau.desk.merchant.mint("cus_ben")
    async with bureau.desk.browser() as client:
        await bureau.begin(Visitor(client), "cus_ben", WORDS)
    await bureau.work()
    bureau.desk.clock.advance(hours=3)
    await bureau.work()
    bureau.desk.clock.advance(days=401)
    await sweep(bureau)
    assert traces(bureau) == []
    assert bureau.desk.all(Mail) == []
    assert {row.customer_id for row in bureau.desk.all(CancelLink)} == {NOBODY}
    assert {row.customer_id for row in bureau.desk.all(CancelSession)} == {NOBODY}


async def test_a_sweep_with_nothing_to_forget_writes_nothing(bureau: Bureau) -> None:
    await leave(bureau)
    bureau.desk.clock.advance(days=401)
    await sweep(bureau)
    before = bureau.desk.everything()
    await sweep(bureau)
    assert bureau.desk.everything() == before
