"""What is personal is forgotten when its time is over, and no sooner; counts and reasons stay."""

import pytest

from app.core.erasure import NOBODY
from app.core.state import SessionState
from app.db.tables.links import CancelLink
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.receipts import Receipt
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.manual import service as manual
from app.privacy import overdue, retention
from tests.privacy.conftest import BEN, Bureau, dump
from tests.support.pages import Visitor

pytestmark = pytest.mark.anyio

WORDS = "zanzibar-quagga"
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
