"""What is counted is counted exactly: by every process together, and in every stretch of time as long as the window."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session

from app.core.limits import Limit
from app.db import limits
from app.db.database import Database
from app.db.limits import SLICES, Claim
from app.db.tables.limits import RateLimit
from tests.support.clock import START, FakeClock

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
FEW = Claim("few", Limit("few", 5, HOUR))
MANY = Claim("many", Limit("many", 200, HOUR))


class Abandoned(Exception):
    pass


class Nowhere:
    """A database that keeps what it is told to count, and nothing else."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def connection(self) -> "Nowhere":
        return self

    def execute(self, _: object, rows: list[dict[str, Any]]) -> None:
        [row] = rows
        self.counts = row["counts"]


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """The same database, as a second process sees it."""
    with Database(database.url.render_as_string(hide_password=False)) as connected:
        yield connected


def take(db: Session, claim: Claim, now: datetime, cost: int = 1) -> float | None:
    limit = claim.limit
    return limits.take(db, claim.bucket, most=limit.most, window=limit.window, now=now, cost=cost)


def peek(db: Session, claim: Claim, now: datetime) -> float | None:
    return limits.peek(db, claim.bucket, most=claim.limit.most, window=claim.limit.window, now=now)


def rows(db: Session) -> list[str]:
    found = db.connection().execute(text("SELECT bucket FROM rate_limits ORDER BY bucket"))
    return [row.bucket for row in found]


async def test_as_many_as_allowed_and_then_the_time_to_wait(database: Database, clock: FakeClock) -> None:
    for _ in range(5):
        assert await database.write(take, FEW, clock.now()) is None
        clock.advance(minutes=1)
    assert await database.write(take, FEW, clock.now()) == 55 * 60
    assert await database.read(peek, FEW, clock.now()) == 55 * 60
    clock.advance(minutes=55, seconds=-0.000001)
    assert await database.write(take, FEW, clock.now()) == 0.000001
    clock.advance(seconds=0.000001)
    assert await database.write(take, FEW, clock.now()) is None, "an hour after the first, to the microsecond"
    assert await database.write(take, FEW, clock.now()) == 60, "and the second one is a minute younger"


async def test_what_is_refused_is_not_counted(database: Database, clock: FakeClock) -> None:
    for _ in range(5):
        await database.write(take, FEW, clock.now())
    for _ in range(20):
        assert await database.write(take, FEW, clock.advance(minutes=1)) is not None
    assert await database.write(take, FEW, clock.advance(minutes=40)) is None


async def test_looking_counts_nothing(database: Database, clock: FakeClock) -> None:
    for _ in range(10):
        assert await database.read(peek, FEW, clock.now()) is None
    assert await database.read(rows) == []


async def test_buckets_do_not_mix(database: Database, clock: FakeClock) -> None:
    for _ in range(5):
        await database.write(take, FEW, clock.now())
    assert await database.write(take, Claim("another", FEW.limit), clock.now()) is None


async def test_several_at_once_need_room_for_all_of_them(database: Database, clock: FakeClock) -> None:
    assert await database.write(take, FEW, clock.now(), 3) is None
    clock.advance(minutes=10)
    assert await database.write(take, FEW, clock.now(), 3) == 50 * 60
    assert await database.write(take, FEW, clock.now(), 2) is None
    with pytest.raises(ValueError, match="never"):
        await database.write(take, FEW, clock.now(), 6)


async def test_many_are_kept_by_slices_and_never_free_a_place_too_early(
    database: Database, clock: FakeClock
) -> None:
    clock.advance(seconds=30)
    for _ in range(200):
        assert await database.write(take, MANY, clock.now()) is None
        clock.advance(seconds=1)
    row = await database.read(lambda db: db.get_one(RateLimit, "many"))
    assert len(row.counts) <= SLICES + 1
    first = START + timedelta(seconds=30)
    assert await database.write(take, MANY, first + HOUR) is not None, "its slice may have later ones in it"
    wait_s = await database.write(take, MANY, first + HOUR)
    assert wait_s is not None
    assert wait_s <= 60
    assert await database.write(take, MANY, first + HOUR + timedelta(seconds=wait_s)) is None


@given(
    most=st.integers(1, 130),
    window_s=st.integers(1, 90_000),
    steps=st.lists(st.integers(0, 2_000), min_size=1, max_size=150),
)
def test_no_window_has_more_than_allowed_and_the_named_wait_is_enough(
    most: int, window_s: int, steps: list[int]
) -> None:
    """Arithmetic alone, over any history; the database has its own tests."""
    claim = Claim("b", Limit("b", most, timedelta(seconds=window_s)))
    clock, nowhere = FakeClock(), Nowhere()
    taken: list[datetime] = []
    ends: datetime | None = None
    for step in steps:
        now = clock.advance(seconds=step * window_s / 2_000)
        held = limits.Held(cast(Session, nowhere), now, {"b": nowhere.counts})
        wait_s = held.wait_s(claim)
        if ends is not None and now >= ends:
            assert wait_s == 0, "it was told to wait so long, and has"
        ends = None
        if wait_s == 0:
            held.count([claim])
            taken.append(now)
        else:
            ends = now + timedelta(seconds=wait_s)
            assert wait_s <= window_s * (1 + 1 / SLICES) + 1
    for at in taken:
        assert sum(1 for other in taken if at <= other < at + claim.limit.window) <= most
    assert len(nowhere.counts) <= SLICES + 2


async def test_of_parallel_ones_no_more_than_allowed_get_through(
    database: Database, other: Database, clock: FakeClock
) -> None:
    answers = await asyncio.gather(
        *((database, other)[n % 2].write(take, FEW, clock.now()) for n in range(40))
    )
    assert answers.count(None) == 5


async def test_several_limits_are_held_together_and_nobody_waits_for_another_in_a_circle(
    database: Database, other: Database, clock: FakeClock
) -> None:
    claims = [Claim(f"{n:064x}", Limit("l", 30, HOUR)) for n in range(6)]

    def take_all(db: Session, wanted: list[Claim]) -> bool:
        held = limits.hold(db, wanted, now=clock.now())
        if held.refusal(wanted) is not None:
            return False
        held.count(wanted)
        return True

    orders = [claims[n % 6 :] + claims[: n % 6] if n % 2 else claims[::-1] for n in range(60)]
    answers = await asyncio.gather(
        *((database, other)[n % 2].write(take_all, order) for n, order in enumerate(orders))
    )
    assert answers.count(True) == 30
    for claim in claims:
        assert await database.read(peek, claim, clock.now()) == 3600


async def test_who_has_to_wait_longest_is_named(database: Database, clock: FakeClock) -> None:
    short = Claim("short", Limit("short", 1, timedelta(minutes=1)))

    def take_both(db: Session) -> tuple[Claim, float] | None:
        held = limits.hold(db, [short, FEW], now=clock.now())
        refused = held.refusal([short, FEW])
        held.count([short, FEW])
        return refused

    assert await database.write(take_both) is None
    assert await database.write(take_both) == (short, 60)
    for _ in range(3):
        await database.write(take_both)
    assert await database.write(take_both) == (FEW, 3600)


async def test_a_transaction_that_fails_has_counted_nothing(database: Database, clock: FakeClock) -> None:
    def fail(db: Session) -> None:
        take(db, FEW, clock.now())
        raise Abandoned

    for _ in range(10):
        with pytest.raises(Abandoned):
            await database.write(fail)
    assert await database.read(rows) == []


async def test_a_clock_that_once_ran_years_ahead_does_not_shut_anybody_out(
    database: Database, clock: FakeClock
) -> None:
    for _ in range(5):
        await database.write(take, FEW, clock.now() + timedelta(days=4000))
    assert await database.write(take, FEW, clock.now()) is None
    for _ in range(4):
        await database.write(take, FEW, clock.now() + timedelta(seconds=2))
    assert await database.write(take, FEW, clock.now()) is not None, "seconds ahead is only another machine"


async def test_what_counts_no_more_is_forgotten_and_nothing_else(
    database: Database, clock: FakeClock
) -> None:
    for n in range(5):
        await database.write(take, Claim(f"old{n}", FEW.limit), clock.now())
    clock.advance(minutes=30)
    await database.write(take, FEW, clock.now())
    clock.advance(minutes=30)
    assert await database.write(limits.forget_expired, now=clock.now(), limit=3) == 3
    assert await database.write(limits.forget_expired, now=clock.now(), limit=30) == 2
    assert await database.write(limits.forget_expired, now=clock.now(), limit=30) == 0
    assert await database.read(rows) == ["few"]
