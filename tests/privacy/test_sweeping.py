"""A sweep is fair, ends itself, goes on, and costs what is due, whatever lies beside."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlmodel import Session, col, select

from app.core.calendar import add_months
from app.core.erasure import NOBODY
from app.db.database import Database
from app.db.tables.accounts import Environment
from app.db.tables.links import CancelLink
from app.db.tables.sessions import CancelSession
from app.privacy import overdue, retention
from app.privacy.overdue import KINDS, Kind, Span
from app.privacy.retention import Rota
from tests.support import seed_rows, seed_sessions
from tests.support.clock import START, FakeClock
from tests.support.merchant import Merchant, open_merchant

pytestmark = pytest.mark.anyio

TABLES = {
    "sessions": "cancel_sessions",
    "links": "cancel_links",
    "requests": "cancellation_requests",
    "mails": "mails",
    "events": "events",
    "records": "session_records",
}


@pytest.fixture
def merchant(database: Database, clock: FakeClock) -> Merchant:
    return open_merchant(database, clock)


@pytest.fixture
def other_app_id(merchant: Merchant) -> str:
    """The merchant's other environment."""
    ids = merchant.database.read_sync(lambda db: list(db.exec(select(Environment.app_id))))
    return next(id for id in ids if id != merchant.app_id)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bite is two rows, and a sweep one bite."""
    monkeypatch.setattr(overdue, "LOOKED_AT", 2)
    monkeypatch.setattr(retention, "LONGEST_S", 0)


def add_links(merchant: Merchant, count: int, app_id: str | None = None, **values: Any) -> None:
    for _ in range(count):
        merchant.mint("cus_ben", **{"app_id": app_id or merchant.app_id, **values})


def named(database: Database, app_id: str) -> int:
    """How many links still say whose they are."""
    return len(
        database.read_sync(
            lambda db: db.exec(
                select(CancelLink.id).where(CancelLink.app_id == app_id, CancelLink.customer_id != NOBODY)
            ).all()
        )
    )


# --- Turns ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short")
async def test_every_environment_has_its_turn_however_much_another_has(
    merchant: Merchant, other_app_id: str
) -> None:
    add_links(merchant, 9)
    add_links(merchant, 3, other_app_id)
    merchant.clock.advance(days=401)
    rota, left, has_more = Rota(), [(9, 3)], True
    while has_more:
        has_more = await retention.sweep(merchant.database, merchant.clock, rota)
        now_left = named(merchant.database, merchant.app_id), named(merchant.database, other_app_id)
        if now_left != left[-1]:
            left.append(now_left)
    assert left[2] == (7, 1), "one bite each"
    assert left[4] == (5, 0), "and once more"
    assert left[-1] == (0, 0)


@pytest.mark.usefixtures("short")
async def test_a_sweep_ends_itself_and_says_that_there_is_more(merchant: Merchant, other_app_id: str) -> None:
    add_links(merchant, 5)
    merchant.clock.advance(days=401)
    rota = Rota()
    assert await retention.sweep(merchant.database, merchant.clock, rota) is True
    assert named(merchant.database, merchant.app_id) >= 3
    while await retention.sweep(merchant.database, merchant.clock, rota):
        pass
    assert named(merchant.database, merchant.app_id) == 0


@pytest.mark.usefixtures("short")
async def test_the_days_may_be_changed_between_two_bites(merchant: Merchant) -> None:
    add_links(merchant, 6)
    merchant.clock.advance(days=401)
    rota = Rota()
    while named(merchant.database, merchant.app_id) == 6:
        assert await retention.sweep(merchant.database, merchant.clock, rota)
    merchant.change(retention_days=500)
    while await retention.sweep(merchant.database, merchant.clock, rota):
        pass
    assert named(merchant.database, merchant.app_id) == 4


async def test_more_days_and_then_fewer_forget_what_lay_between(merchant: Merchant) -> None:
    add_links(merchant, 1)
    merchant.clock.advance(days=30)
    add_links(merchant, 1)
    merchant.clock.advance(days=380)
    for days, left in ((390, 1), (3650, 1), (30, 0)):
        merchant.change(retention_days=days)
        await retention.sweep(merchant.database, merchant.clock)
        assert named(merchant.database, merchant.app_id) == left, days


async def test_what_waits_holds_nothing_else_back(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "LOOKED_AT", 2)
    merchant.change(retention_days=7)
    add_links(merchant, 5, expires_at=START + timedelta(days=30))
    merchant.clock.advance(hours=1)
    add_links(merchant, 4)
    merchant.clock.advance(days=10)
    assert await retention.sweep(merchant.database, merchant.clock) is False
    assert named(merchant.database, merchant.app_id) == 5


async def test_two_workers_at_once_forget_each_thing_once(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "LOOKED_AT", 3)
    add_links(merchant, 40)
    now = merchant.clock.advance(days=401)
    with Database(merchant.database.url.render_as_string(hide_password=False)) as other:
        more = await asyncio.gather(
            *(retention.sweep(each, merchant.clock) for each in (merchant.database, other, other))
        )
    assert more == [False] * 3
    assert named(merchant.database, merchant.app_id) == 0
    rows = merchant.database.read_sync(lambda db: db.exec(select(CancelLink)).all())
    assert {row.revoked_at for row in rows} == {now}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
async def test_what_somebody_else_holds_is_passed_over(merchant: Merchant) -> None:
    add_links(merchant, 3)
    merchant.clock.advance(days=401)
    with holding_a_link(merchant.database):
        async with asyncio.timeout(20):
            assert await retention.sweep(merchant.database, merchant.clock) is False
        assert named(merchant.database, merchant.app_id) == 1
    await retention.sweep(merchant.database, merchant.clock)
    assert named(merchant.database, merchant.app_id) == 0


@contextmanager
def holding_a_link(database: Database) -> Iterator[None]:
    """As a customer does who opens it at that moment."""
    engine = create_engine(database.url)
    with engine.connect() as connection:
        connection.execute(text("SELECT id FROM cancel_links ORDER BY id LIMIT 1 FOR UPDATE"))
        yield
        connection.rollback()
    engine.dispose()


# --- What it costs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def full(merchant: Merchant, other_app_id: str) -> Merchant:
    """Two years of sessions; retention has been at work, and has since been set to fewer days."""
    now = merchant.clock.now()
    url = merchant.database.url.render_as_string(hide_password=False)
    for app_id in (merchant.app_id, other_app_id):
        stocked = merchant.database.write_sync(seed_rows.stock, app_id, now=now)
        seed_sessions.insert_whole(
            url,
            seed_rows.whole(
                stocked, start=add_months(now, -24), end=now, count=600, seed=1, prefix=app_id[-6:]
            ),
        )
    return merchant


def plans_of(database: Database, ask: Callable[[Session], object]) -> list[str]:
    """How the database goes about each question that `ask` puts."""

    def read(db: Session) -> list[str]:
        asked: list[tuple[str, Any]] = []

        def note(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
            if statement.startswith("SELECT"):
                asked.append((statement, parameters))

        event.listen(Engine, "before_cursor_execute", note)
        try:
            ask(db)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        if not database.is_sqlite:  # tables with a few rows are read whole and sorted, unless that is dear
            for way in ("seqscan", "bitmapscan", "sort"):
                db.connection().execute(text(f"SET LOCAL enable_{way} = off"))
        explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        return [
            "\n".join(
                str(row[-1]) for row in db.connection().exec_driver_sql(f"{explain} {statement}", parameters)
            )
            for statement, parameters in asked
        ]

    return database.read_sync(read)


@pytest.mark.parametrize("name", KINDS)
async def test_a_look_goes_by_what_is_still_personal(full: Merchant, name: str) -> None:
    now, kind, table = full.clock.now(), KINDS[name], TABLES[name]
    ids = full.database.read_sync(some_ids, kind, full.app_id)
    behind = now - timedelta(days=300), ids[0] if ids else "x"
    by_time = f"ix_{table}_app_id_created_at_id"
    index = by_time if name in ("mails", "events") else f"ix_{table}_personal"
    for after in (None, behind):
        span = Span(full.app_id, now - timedelta(days=7), now, after)
        first, *others = plans_of(full.database, lambda db, at=span: overdue.look(db, kind, at))
        assert index in first, first
        assert "Sort" not in first, first
        assert "ORDER BY" not in first, first
        if ids:
            others += plans_of(full.database, lambda db, at=span: [*kind.waiting(db, at, ids)])
        for plan in (first, *others):
            assert "SCAN" not in plan, plan
            assert "Seq Scan" not in plan, plan
        assert others or name in ("mails", "requests"), "what waits was asked for, too"


def some_ids(db: Session, kind: Kind, app_id: str) -> Sequence[str]:
    return list(db.connection().execute(select(kind.id).where(kind.app_id == app_id).limit(50)).scalars())


async def test_nothing_due_costs_the_same_among_many(full: Merchant) -> None:
    """What is bare already, and what is younger, is not looked at."""
    looked = full.database.read_sync(
        lambda db: [
            overdue.look(
                db, kind, Span(full.app_id, full.clock.now() - timedelta(days=400), full.clock.now())
            )
            for kind in KINDS.values()
        ]
    )
    assert {(tuple(seen.ids), seen.last) for seen in looked} == {((), None)}


async def test_a_large_backlog_is_forgotten_to_the_last_row(full: Merchant, other_app_id: str) -> None:
    full.change(retention_days=300)
    cut = full.clock.now() - timedelta(days=300)
    rota = Rota()
    while await retention.sweep(full.database, full.clock, rota):
        pass
    left = full.database.read_sync(
        lambda db: db.exec(
            select(CancelSession.app_id, CancelSession.closed_at).where(
                col(CancelSession.erased_at).is_(None), col(CancelSession.closed_at) <= cut
            )
        ).all()
    )
    kept = [app_id for app_id, _ in left]
    assert other_app_id in kept, "it keeps its own 400 days"
    assert kept.count(full.app_id) < kept.count(other_app_id) / 5, "but those that can be taken back"
