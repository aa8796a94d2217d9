"""A unit of work with a time limit: what it asks is cut off, and its thread and connection serve the next one."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db.database import Database, Session, TookTooLong, keep_time
from app.db.engines import STATEMENT_TIMEOUT_S
from tests.db.support import add_organization, list_slugs
from tests.support.clock import START

pytestmark = pytest.mark.anyio

PATIENCE_S = 60  # of a test; without the limit its statements would run for hours
ENDLESS = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) SELECT count(*) FROM n"
)


def count_endlessly(db: Session) -> Any:
    return db.connection().execute(ENDLESS).scalar()


def answer(db: Session) -> Any:
    return db.connection().execute(text("SELECT 42")).scalar()


@pytest.fixture
def one_thread(database_url: str) -> Iterator[Database]:
    """A database with one reading thread and one connection for it: what holds it holds all readers."""
    with Database(database_url, pool_size=1) as database:
        yield database


async def test_a_statement_is_cut_off_and_its_thread_is_free_again(one_thread: Database) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(2):
            with pytest.raises(TookTooLong) as refused:
                await one_thread.read_within(0.2, count_endlessly)
            assert await one_thread.read(answer) == 42
    assert refused.value.status == 503
    assert refused.value.retry_after is None, "asked again it would take as long"
    assert refused.value.__cause__ is None
    assert "shorter span" in str(refused.value)


async def test_a_caller_that_is_gone_leaves_no_thread_busy(one_thread: Database) -> None:
    has_begun = threading.Event()

    def begin(db: Session) -> None:
        has_begun.set()
        count_endlessly(db)

    async with asyncio.timeout(PATIENCE_S):
        asking = asyncio.create_task(one_thread.read_within(0.2, begin))
        await asyncio.to_thread(has_begun.wait)
        asking.cancel()
        assert await one_thread.read(answer) == 42


async def test_many_short_statements_are_bounded_together(one_thread: Database) -> None:
    async def ask_on() -> None:
        def ask(db: Session) -> None:
            while True:
                answer(db)

        await one_thread.read_within(0.2, ask)

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TookTooLong):
            await ask_on()
        assert await one_thread.read(answer) == 42


async def test_rows_that_come_piece_by_piece_are_bounded_too(one_thread: Database) -> None:
    rows = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) SELECT i FROM n"
    )

    def stream(db: Session) -> None:
        with db.connection().execute(rows, execution_options={"yield_per": 10}) as found:
            for _ in found:
                keep_time(db)

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TookTooLong):
            await one_thread.read_within(0.2, stream)
        assert await one_thread.read(answer) == 42


async def test_what_is_done_in_time_is_answered_and_limits_nothing_afterwards(one_thread: Database) -> None:
    await one_thread.write(add_organization, "northwind", START)
    assert await one_thread.read_within(30, list_slugs) == ["northwind"]

    def be_late(db: Session) -> Any:
        """Longer than the unit before was given, in short statements."""
        began, asked = time.monotonic(), 0
        while time.monotonic() < began + 0.3:
            asked += answer(db) == 42
        return asked

    assert await one_thread.read_within(0.2, answer) == 42
    assert await one_thread.read(be_late) > 0
    if not one_thread.is_sqlite:
        limit = await one_thread.read(
            lambda db: db.connection().execute(text("SHOW statement_timeout")).scalar()
        )
        assert limit == f"{STATEMENT_TIMEOUT_S}s"


async def test_postgresql_itself_is_told_what_is_left(one_thread: Database) -> None:
    """A statement may wait for a lock, where nothing of ours looks at the clock."""

    def left(db: Session) -> str | None:
        if one_thread.is_sqlite:
            return None
        told = db.connection().execute(text("SHOW statement_timeout")).scalar()
        return str(told)

    told = await one_thread.read_within(3600, left)
    assert told in (None, "1h") or 3_590_000 < int(told.removesuffix("ms")) <= 3_600_000


async def test_what_else_goes_wrong_comes_out_unchanged(one_thread: Database) -> None:
    with pytest.raises(DBAPIError):
        await one_thread.read_within(
            30, lambda db: db.connection().execute(text("SELECT nothing FROM nowhere"))
        )
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        await one_thread.read_within(30, lambda db: (add_organization(db, "x", START), db.flush()))
    assert await one_thread.read(answer) == 42
