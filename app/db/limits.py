"""Counts how often something was done lately, exactly, for all processes together. Knows no limit by name.

A bucket is a hash that the caller makes of what it counts: neither addresses nor networks stand here.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import Table, bindparam, delete, select, text, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.sql.expression import TextualSelect

from app.core.limits import Limit
from app.db.base import Json, UtcDateTime
from app.db.database import Session
from app.db.tables.limits import RateLimit

SLICES: Final = 60  # up to so many are kept each with its moment; more are kept by the slice of the window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_limits = cast(Table, RateLimit.__table__)  # type: ignore[attr-defined]  # SQLModel adds it
_COUNT: Final = (
    update(_limits)
    .where(_limits.c.bucket == bindparam("known_as"))
    .values(counts=bindparam("counts"), expires_at=bindparam("expires_at"))
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One more of what `limit` limits, for the party that `bucket` stands for."""

    bucket: str
    limit: Limit


class Held:
    """Some buckets, nobody else's to count in until the transaction ends."""

    def __init__(self, db: Session, now: datetime, counts: Mapping[str, Mapping[str, int]]) -> None:
        self._db = db
        self._now = _micros(now)
        self._counts = counts

    def wait_s(self, claim: Claim, *, cost: int = 1) -> float:
        """How many seconds until there is room for `cost` more; 0 if there is now."""
        return _wait(self._counts[claim.bucket], claim.limit, self._now, cost) / 1_000_000

    def refusal(self, claims: Iterable[Claim]) -> tuple[Claim, float] | None:
        """The claim that has to wait longest, and how many seconds; None where there is room for all."""
        claim, wait_s = max(((claim, self.wait_s(claim)) for claim in claims), key=lambda found: found[1])
        return (claim, wait_s) if wait_s > 0 else None

    def count(self, claims: Iterable[Claim], *, cost: int = 1) -> None:
        """Count `cost` more of each, whether there is room or not; what is over is forgotten along with it."""
        rows = []
        after = dict(self._counts)
        for claim in claims:
            limit = claim.limit
            counts = _standing(self._counts[claim.bucket], limit, self._now)
            slice_ = str(self._now - self._now % _width(limit))
            counts[slice_] = counts.get(slice_, 0) + cost
            after[claim.bucket] = counts
            expires_at = _EPOCH + max(_ends(at, limit) for at in counts) * _MICROSECOND
            rows.append({"known_as": claim.bucket, "counts": counts, "expires_at": expires_at})
        self._counts = after
        self._db.connection().execute(_COUNT, rows)


def hold(db: Session, claims: Sequence[Claim], *, now: datetime) -> Held:
    """Hold the claims' buckets against every other writer until the transaction ends.

    Once in a transaction, and before it holds any other row: buckets are taken in one order, so that no two
    transactions wait for each other.
    """
    buckets = sorted({claim.bucket for claim in claims})
    names = {f"bucket_{number}": bucket for number, bucket in enumerate(buckets)}
    found = db.connection().execute(_holding(len(buckets)), {**names, "now": now})
    return Held(db, now, {row.bucket: row.counts for row in found})


def take(
    db: Session, bucket: str, *, most: int, window: timedelta, now: datetime, cost: int = 1
) -> float | None:
    """Count `cost` more and return None; or count nothing, and return in how many seconds there is room."""
    claim = Claim(bucket, Limit(bucket, most, window))
    held = hold(db, [claim], now=now)
    wait_s = held.wait_s(claim, cost=cost)
    if wait_s > 0:
        return wait_s
    held.count([claim], cost=cost)
    return None


def peek(db: Session, bucket: str, *, most: int, window: timedelta, now: datetime) -> float | None:
    """What `take` would answer now; counts nothing, and holds nothing."""
    counts = db.connection().execute(select(_limits.c.counts).where(_limits.c.bucket == bucket)).scalar()
    return _wait(counts or {}, Limit(bucket, most, window), _micros(now), 1) / 1_000_000 or None


def forget_expired(db: Session, *, now: datetime, limit: int) -> int:
    """Delete buckets in which nothing counts any more, the oldest first."""
    over = (
        select(_limits.c.bucket)
        .where(_limits.c.expires_at <= now)
        .order_by(_limits.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)  # PostgreSQL: one that is in use again is left alone
    )
    forgotten = delete(_limits).where(_limits.c.bucket.in_(over.scalar_subquery()))
    return cast("CursorResult[Any]", db.connection().execute(forgotten)).rowcount


@lru_cache(maxsize=16)
def _holding(count: int) -> TextualSelect:
    """Makes the buckets that are not there, holds all of them in order, and reads them: in one statement.

    As text, for SQLAlchemy builds an insert of several rows anew each time; both databases read this one.
    """
    rows = ", ".join(f"(:bucket_{number}, '{{}}', :now)" for number in range(count))
    return (
        text(
            f"INSERT INTO rate_limits (bucket, counts, expires_at) VALUES {rows} "  # noqa: S608 (names of our own)
            "ON CONFLICT (bucket) DO UPDATE SET expires_at = rate_limits.expires_at RETURNING bucket, counts"
        )
        .bindparams(bindparam("now", type_=UtcDateTime()))
        .columns(_limits.c.bucket, counts=Json)
    )


def _wait(counts: Mapping[str, int], limit: Limit, now: int, cost: int) -> int:
    """Microseconds until at most `most` count, `cost` new ones among them."""
    if cost > limit.most:
        raise ValueError("it would never be allowed")
    standing = sorted((_ends(at, limit), n) for at, n in _standing(counts, limit, now).items())
    too_many = sum(n for _, n in standing) + cost - limit.most
    for end, n in standing:
        if too_many <= 0:
            break
        too_many -= n
        if too_many <= 0:
            return end - now
    return 0


def _standing(counts: Mapping[str, int], limit: Limit, now: int) -> dict[str, int]:
    """What counts now. What a clock that ran far ahead has left behind does not: it would do so for years."""
    ahead = now + limit.window // _MICROSECOND
    return {at: n for at, n in counts.items() if _ends(at, limit) > now and int(at) <= ahead}


def _ends(at: str, limit: Limit) -> int:
    """When a slice counts no more: a window after the last moment that may be in it."""
    return int(at) + _width(limit) - 1 + limit.window // _MICROSECOND


def _width(limit: Limit) -> int:
    """Of a slice, in microseconds: the smallest there is where each can be kept by itself."""
    return 1 if limit.most <= SLICES else math.ceil(limit.window / SLICES / _MICROSECOND)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
