"""Reports take turns: a question that costs too much is ended and told so, and who comes after it is served."""

import asyncio
import gc
import threading
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.db.database import Database, Overloaded, TookTooLong
from app.insights import turns
from app.insights.turns import AT_ONCE, Turns
from tests.insights.conftest import Reports

pytestmark = pytest.mark.anyio

PATIENCE_S = 60  # of a test
ENDLESS = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) SELECT count(*) FROM n"
)


def count_endlessly(db: Session) -> None:
    db.connection().execute(ENDLESS)


def answer(db: Session) -> int:
    return int(db.connection().execute(text("SELECT 42")).scalar_one())


async def test_costly_questions_end_and_leave_their_turns_to_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "DEADLINE_S", 0.3)
    desk = Turns()
    async with asyncio.timeout(PATIENCE_S):
        costly = [desk.read(database, count_endlessly) for _ in range(AT_ONCE)]
        *ended, found = await asyncio.gather(*costly, desk.read(database, answer), return_exceptions=True)
    assert [type(one) for one in ended] == [TookTooLong] * AT_ONCE
    assert found == 42


async def test_who_goes_away_keeps_the_turn_until_his_question_has_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else asking and going away, again and again, would take every thread there is."""
    monkeypatch.setattr(turns, "WAIT_S", 0.05)
    desk, may_end = Turns(), threading.Event()
    has_begun = threading.Semaphore(0)

    def hold(db: Session) -> None:
        has_begun.release()
        assert may_end.wait(PATIENCE_S)

    async with asyncio.timeout(PATIENCE_S):
        asking = [asyncio.create_task(desk.read(database, hold)) for _ in range(AT_ONCE)]
        for _ in asking:
            await asyncio.to_thread(has_begun.acquire)
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        with pytest.raises(Overloaded):
            await desk.read(database, answer)
        may_end.set()
        monkeypatch.setattr(turns, "WAIT_S", PATIENCE_S)
        assert await desk.read(database, answer) == 42


async def test_what_ends_after_its_asker_has_gone_away_is_nobodys_trouble(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "DEADLINE_S", 0.2)
    monkeypatch.setattr(turns, "AT_ONCE", 1)
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))
    desk, has_begun = Turns(), threading.Event()

    def begin(db: Session) -> None:
        has_begun.set()
        count_endlessly(db)

    async with asyncio.timeout(PATIENCE_S):
        asking = asyncio.create_task(desk.read(database, begin))
        await asyncio.to_thread(has_begun.wait)
        asking.cancel()
        await asyncio.wait([asking])
        monkeypatch.setattr(turns, "DEADLINE_S", PATIENCE_S)
        assert await desk.read(database, answer) == 42  # after the other has ended
    del asking
    gc.collect()
    assert troubles == []


@pytest.mark.parametrize("path", ["sessions", "session-aggregation", "api-usage"])
async def test_the_merchant_is_told_to_ask_for_less(
    stocked: Reports, path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "DEADLINE_S", 0.0)
    refused = await stocked.ask(path, status=503)
    problem = refused.json()
    assert problem["code"] == "took_too_long"
    assert "shorter span" in problem["message"]
    assert "retry-after" not in refused.headers
    logged = capsys.readouterr().err
    assert "took_too_long" in logged
    assert "Traceback" not in logged
    monkeypatch.undo()
    await stocked.ask(path)
