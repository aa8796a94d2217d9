import asyncio
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, StatementError
from sqlmodel import select

from app.core.errors import Unavailable
from app.db.database import MAX_TRIES, Database, Overloaded, Session, after_commit
from app.db.tables import CancelSession, Organization
from tests.db.support import add_organization, list_slugs
from tests.support import postgres
from tests.support.clock import START

pytestmark = pytest.mark.anyio


class Refused(Exception):
    pass


@pytest.fixture
def small_database(database_url: str) -> Iterator[Database]:
    """One thread, and room for one more unit of work."""
    with Database(database_url, pool_size=1, max_waiting=1) as database:
        yield database


async def test_what_is_written_can_be_read(database: Database) -> None:
    written = await database.write(add_organization, "northwind", START)
    assert written.slug == "northwind", "rows stay readable after the commit"
    assert await database.read(list_slugs) == ["northwind"]


async def test_an_exception_rolls_back_and_comes_out_unchanged(database: Database) -> None:
    refusal = Refused("no")

    def add_and_refuse(db: Session) -> None:
        add_organization(db, "northwind", START)
        db.flush()
        raise refusal

    with pytest.raises(Refused) as caught:
        await database.write(add_and_refuse)
    assert caught.value is refusal
    assert await database.read(list_slugs) == []


async def test_a_read_cannot_write(database: Database) -> None:
    def add(db: Session) -> None:
        add_organization(db, "northwind", START)
        db.flush()

    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        await database.read(add)
    await database.write(add_organization, "afterwards", START)
    assert await database.read(list_slugs) == ["afterwards"]


async def test_a_read_sees_one_moment(database: Database) -> None:
    """What is committed meanwhile shows in the next read, not in the middle of this one."""
    await database.write(add_organization, "first", START)
    has_read, has_written = threading.Event(), threading.Event()

    def read_twice(db: Session) -> tuple[list[str], list[str]]:
        before = list_slugs(db)
        has_read.set()
        assert has_written.wait(10)
        return before, list_slugs(db)

    reading = asyncio.create_task(database.read(read_twice))
    await asyncio.to_thread(has_read.wait, 10)
    await database.write(add_organization, "second", START)
    has_written.set()
    assert await reading == (["first"], ["first"])
    assert await database.read(list_slugs) == ["first", "second"]


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[Database]:
    with Database(postgres_url) as database:
        yield database
    postgres.empty_tables(postgres_url)


async def test_a_cancelled_caller_leaves_a_whole_transaction(database: Database) -> None:
    is_running, may_go_on = threading.Event(), threading.Event()

    def add_slowly(db: Session) -> None:
        add_organization(db, "first", START)
        db.flush()
        is_running.set()
        assert may_go_on.wait(10)
        add_organization(db, "second", START)

    writing = asyncio.create_task(database.write(add_slowly))
    await asyncio.to_thread(is_running.wait, 10)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    may_go_on.set()
    await database.write(add_organization, "third", START)
    async with asyncio.timeout(10):
        while len(slugs := await database.read(list_slugs)) < 3:
            pass
    assert slugs == ["first", "second", "third"]


async def test_a_full_queue_refuses_at_once_and_recovers(small_database: Database) -> None:
    is_running, may_go_on = threading.Event(), threading.Event()

    def hold(db: Session) -> None:
        is_running.set()
        assert may_go_on.wait(10)

    running = asyncio.create_task(small_database.write(hold))
    await asyncio.to_thread(is_running.wait, 10)
    waiting = asyncio.create_task(small_database.write(add_organization, "waited", START))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await small_database.write(add_organization, "refused", START)
    assert refused.value.status == 503
    assert refused.value.retry_after
    may_go_on.set()
    await asyncio.gather(running, waiting)
    await small_database.write(add_organization, "later", START)
    assert await small_database.read(list_slugs) == ["later", "waited"]


async def test_a_cancelled_wait_never_runs_and_frees_its_place(small_database: Database) -> None:
    is_running, may_go_on = threading.Event(), threading.Event()

    def hold(db: Session) -> None:
        is_running.set()
        assert may_go_on.wait(10)

    running = asyncio.create_task(small_database.write(hold))
    await asyncio.to_thread(is_running.wait, 10)
    waiting = asyncio.create_task(small_database.write(add_organization, "cancelled", START))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_go_on.set()
    await running
    assert await small_database.read(list_slugs) == []


async def test_parallel_writers_lose_nothing(database: Database) -> None:
    await asyncio.gather(*(database.write(add_organization, f"{n:03}", START) for n in range(100)))
    assert await database.read(list_slugs) == [f"{n:03}" for n in range(100)]


async def test_a_deadlock_is_tried_again(postgres_database: Database) -> None:
    """Two transactions lock two rows in opposite order; PostgreSQL ends one, which then runs again."""
    for slug in ("a", "b"):
        await postgres_database.write(add_organization, slug, START)
    both_hold_one = threading.Barrier(2)
    runs: list[str] = []

    def rename_both(db: Session, first: str, second: str) -> None:
        runs.append(first)
        for slug in (first, second):
            db.connection().execute(
                text("UPDATE organizations SET name = :n WHERE slug = :s"), {"n": first, "s": slug}
            )
            if slug == first and len(runs) <= 2:
                both_hold_one.wait(10)

    await asyncio.gather(
        postgres_database.write(rename_both, "a", "b"), postgres_database.write(rename_both, "b", "a")
    )
    assert len(runs) == 3


async def test_a_lock_that_stays_is_an_honest_refusal(tmp_path: Path) -> None:
    """SQLite: another process holds the write lock for longer than we are willing to wait."""
    url = f"sqlite:///{tmp_path / 'locked.sqlite3'}"
    runs: list[int] = []

    def try_to_write(db: Session) -> None:
        runs.append(1)
        db.connection()

    with Database(url, busy_timeout_s=0) as database, Database(url) as other:
        is_held, may_go_on = threading.Event(), threading.Event()

        def hold(db: Session) -> None:
            db.connection()
            is_held.set()
            assert may_go_on.wait(10)

        holding = asyncio.create_task(other.write(hold))
        await asyncio.to_thread(is_held.wait, 10)
        with pytest.raises(Overloaded):
            await database.write(try_to_write)
        assert len(runs) == MAX_TRIES
        may_go_on.set()
        await holding
        await database.write(try_to_write)


async def test_a_lost_connection_is_replaced(postgres_database: Database) -> None:
    await postgres_database.write(add_organization, "before", START)

    def cut_every_other_connection(db: Session) -> None:
        db.connection().execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    with Database(postgres_database.url.render_as_string(hide_password=False)) as other:
        await other.read(cut_every_other_connection)
    await postgres_database.write(add_organization, "after", START)
    assert await postgres_database.read(list_slugs) == ["after", "before"]


async def test_no_server_is_unavailable_not_a_crash(tmp_path: Path) -> None:
    with Database(f"postgresql://nobody@/nothing?host={tmp_path}") as database, pytest.raises(Unavailable):
        await database.ping()


async def test_statements_have_a_time_limit(postgres_database: Database) -> None:
    limit = await postgres_database.read(
        lambda db: db.connection().execute(text("SHOW statement_timeout")).scalar()
    )
    assert limit == "10s"


async def test_listeners_hear_of_commits_only(database: Database) -> None:
    heard: list[str] = []
    forget = database.listen("news", lambda: heard.append("news"))

    def announce(db: Session, *, refuse: bool) -> None:
        after_commit(db, "news")
        after_commit(db, "news")
        if refuse:
            raise Refused

    with pytest.raises(Refused):
        await database.write(announce, refuse=True)
    assert heard == []
    await database.write(announce, refuse=False)
    assert heard == ["news"]
    forget()
    await database.write(announce, refuse=False)
    assert heard == ["news"]


async def test_moments_are_aware_and_utc(database: Database) -> None:
    tokyo = timezone(timedelta(hours=9))
    moment = datetime(2026, 11, 21, 18, 0, 0, 123456, tzinfo=tokyo)
    await database.write(add_organization, "northwind", moment)
    read = await database.read(lambda db: db.exec(select(Organization.created_at)).one())
    assert read == moment
    assert read.tzinfo is UTC


async def test_a_naive_moment_is_refused(database: Database) -> None:
    naive = datetime(2026, 11, 21, 9, 0)  # noqa: DTZ001 (the mistake under test)
    with pytest.raises(StatementError, match="timezone"):
        await database.write(add_organization, "northwind", naive)


async def test_errors_do_not_show_what_was_written(database: Database) -> None:
    await database.write(add_organization, "northwind", START)
    with pytest.raises(DBAPIError) as caught:
        await database.write(add_organization, "northwind", START)
    assert "Northwind Notes" not in str(caught.value)


async def test_foreign_keys_hold(database: Database) -> None:
    def add_orphan(db: Session) -> None:
        db.add(
            CancelSession(
                id="cs_1",
                app_id="app_unknown",
                flow_version_id="fv_unknown",
                customer_id="c",
                mode="live",
                phase="open",
                locale="en",
                created_at=START,
                last_seen_at=START,
                expires_at=START,
            )
        )

    with pytest.raises(DBAPIError, match=r"(?i)foreign key"):
        await database.write(add_orphan)


async def test_sqlite_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "data" / "leavewell.sqlite3"
    database = Database(f"sqlite:///{file}")
    await database.connect()
    await database.write(lambda db: db.connection().execute(text("CREATE TABLE t (n INTEGER)")) and None)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    await database.close()
    assert modes == {0o600}
