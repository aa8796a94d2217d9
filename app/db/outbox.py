"""The outbox: work that is owed, written in the transaction that owes it, done at least once under a lease.

A job's id is the idempotency key of what it does. Knows no kind of job.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, CursorResult, Table, and_, delete, insert, or_, select, update
from sqlalchemy.sql.dml import Delete, Update

from app.db.base import new_id
from app.db.database import Session, after_commit
from app.db.tables.outbox import OutboxJob

TOPIC = "outbox"  # named at each commit that leaves a job for the worker
MAX_ERROR_LENGTH = 500

_jobs = cast(Table, OutboxJob.__table__)  # type: ignore[attr-defined]  # SQLModel adds it
_NEW_JOB: Final = insert(_jobs)


@dataclass(frozen=True, slots=True)
class Job:
    """A job in one holder's hands. `attempts` counts this one too, and tells this lease from every other."""

    id: str
    kind: str
    subject_id: str
    payload: dict[str, Any]
    attempts: int


class RetryLater(Exception):
    """Raised by a handler: not done, try again after `after_s` seconds, or when the usual back-off says."""

    def __init__(self, reason: str, *, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


def enqueue(
    db: Session,
    *,
    kind: str,
    subject_id: str,
    due_at: datetime,
    payload: dict[str, Any] | None = None,
    locked_by: str | None = None,
    locked_until: datetime | None = None,
) -> Job:
    """Owe a job, if this unit of work commits. With `locked_by` it is born leased to who tries it at once."""
    if (locked_by is None) != (locked_until is None):
        raise ValueError("a lease needs a holder and an end")
    is_leased = locked_by is not None
    job = Job(
        id=new_id("job"),
        kind=kind,
        subject_id=subject_id,
        payload=payload or {},
        attempts=1 if is_leased else 0,
    )
    db.connection().execute(
        _NEW_JOB,
        {
            "id": job.id,
            "kind": kind,
            "subject_id": subject_id,
            "due_at": due_at,
            "attempts": job.attempts,
            "locked_by": locked_by,
            "locked_until": locked_until,
            "payload": job.payload,
        },
    )
    if not is_leased:
        after_commit(db, TOPIC)
    return job


def claim_due(
    db: Session,
    *,
    worker: str,
    now: datetime,
    lease_s: float,
    limit: int,
    only: Collection[str] = (),
    besides: Collection[str] = (),
) -> list[Job]:
    """Lease up to `limit` due jobs that nobody holds, the longest due first. Each goes to one worker only.

    `only` and `besides` are kinds; where neither is given, every kind is meant.
    """
    is_meant = []
    if only:
        is_meant.append(_jobs.c.kind.in_(sorted(only)))
    if besides:
        is_meant.append(_jobs.c.kind.not_in(sorted(besides)))
    due = (
        select(_jobs.c.id)
        .where(
            _jobs.c.due_at <= now,
            or_(_jobs.c.locked_until.is_(None), _jobs.c.locked_until <= now),
            *is_meant,
        )
        .order_by(_jobs.c.due_at)
        .limit(limit)
        # PostgreSQL: pass over what another worker is just claiming. SQLite leaves the clause out and needs
        # none, because its writers come one after the other.
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claim = (
        update(_jobs)
        .where(_jobs.c.id.in_(select(due.c.id)))
        .values(
            locked_by=worker,
            locked_until=now + timedelta(seconds=lease_s),
            attempts=_jobs.c.attempts + 1,
        )
        .returning(
            _jobs.c.id, _jobs.c.kind, _jobs.c.subject_id, _jobs.c.payload, _jobs.c.attempts, _jobs.c.due_at
        )
    )
    rows = db.connection().execute(claim).all()
    return [
        Job(row.id, row.kind, row.subject_id, row.payload, row.attempts)
        for row in sorted(rows, key=lambda row: (row.due_at, row.id))
    ]


def extend(db: Session, job: Job, worker: str, *, until: datetime) -> bool:
    """Heartbeat: keep the lease. False if it was lost; then somebody else has the job."""
    return _is_changed(db, update(_jobs).where(_is_held(job, worker)).values(locked_until=until))


def finish(db: Session, job: Job, worker: str) -> bool:
    """The job is done. False if it is no longer ours to finish."""
    return _is_changed(db, delete(_jobs).where(_is_held(job, worker)))


def retry(db: Session, job: Job, worker: str, *, due_at: datetime, error: str) -> bool:
    """Give the job back, to be tried again from `due_at` on. False if it is no longer ours to give."""
    given_back = {"due_at": due_at, "locked_by": None, "locked_until": None}
    return _is_changed(
        db,
        update(_jobs).where(_is_held(job, worker)).values(**given_back, last_error=error[:MAX_ERROR_LENGTH]),
    )


def bring_forward(db: Session, *, kind: str, subject_id: str, due_at: datetime) -> None:
    """Let the subject's jobs of that kind, if there are any, be due earlier than they were to be."""
    found = db.connection().execute(
        update(_jobs)
        .where(_jobs.c.kind == kind, _jobs.c.subject_id == subject_id, _jobs.c.due_at > due_at)
        .values(due_at=due_at)
    )
    if found.rowcount:
        after_commit(db, TOPIC)


def _is_held(job: Job, worker: str) -> ColumnElement[bool]:
    """By this worker, by this very lease: the worker may itself have claimed the job anew."""
    return and_(_jobs.c.id == job.id, _jobs.c.locked_by == worker, _jobs.c.attempts == job.attempts)


def _is_changed(db: Session, statement: Update | Delete) -> bool:
    result = cast("CursorResult[Any]", db.connection().execute(statement))
    return result.rowcount == 1
