"""Keeps the record of a session that has closed, in the transaction that closes or changes it."""

import asyncio
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from app.adapters.clock import Clock
from app.core.session_record import BuiltRecord, Closing, EffectResult, build_record
from app.core.state import Outcome, SessionState
from app.core.world import Walk, World, read_world
from app.db import outbox, pauses
from app.db.database import Database
from app.db.outbox import Job
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.flows import service as flows
from app.sessions import queries

BACKFILL_JOB: Final = "session_records"  # the migration owes it
BITE: Final = 25  # sessions in one transaction
STINT_S: Final = 60.0  # well within a job's deadline

_TABLE: Final = SessionRecord.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_KEPT: Final = frozenset({"session_id", "app_id"})


def keep_record(
    db: Session, row: CancelSession, walk: Walk, state: SessionState, outcome: Outcome, closed_at: datetime
) -> None:
    """Write what is told of a closed session, or write it anew: what became of a change may come later."""
    _write(db, row.app_id, _build(db, row, walk, state, outcome, closed_at))


def world_of(row: CancelSession) -> World:
    return read_world(row.snapshot) if row.snapshot else World(mode=row.mode, locale=row.locale)


async def backfill(
    database: Database, clock: Clock, job: Job, *, bite: int = BITE, stint_s: float = STINT_S
) -> None:
    """The records of the sessions that were closed before there were any, in bites that hold nobody up.

    After a stint the rest is owed as a job of its own, which knows how far this one came; one that was cut short begins
    where it began, past what it has made.
    """
    loop = asyncio.get_running_loop()
    until, after = loop.time() + stint_s, str(job.payload.get("after", ""))
    began = loop.time()
    while (last := await database.write(_backfill, after=after, limit=bite, now=clock.now())) is not None:
        after = last
        if loop.time() >= until:
            await database.write(_owe_rest, after=after, now=clock.now())
            return
        await asyncio.sleep(pauses.pause_s(database, loop.time() - began))
        began = loop.time()


def _owe_rest(db: Session, *, after: str, now: datetime) -> None:
    outbox.enqueue(db, kind=BACKFILL_JOB, subject_id=after, due_at=now, payload={"after": after})


def _backfill(db: Session, *, after: str, limit: int, now: datetime) -> str | None:
    """The next bite in the order of ids; the last id of it, or None where there is none."""
    ids = db.exec(
        select(CancelSession.id).where(CancelSession.id > after).order_by(col(CancelSession.id)).limit(limit)
    ).all()
    if not ids:
        return None
    has_one = select_columns(col(SessionRecord.session_id)).where(
        col(SessionRecord.session_id) == CancelSession.id
    )
    rows = db.exec(
        select(CancelSession)
        .where(
            col(CancelSession.id).in_(ids),
            col(CancelSession.closed_at).is_not(None),
            col(CancelSession.outcome).is_not(None),
            ~has_one.exists(),
        )
        .order_by(col(CancelSession.id))
        .with_for_update(skip_locked=True)  # who holds one writes its record
    ).all()
    for row in rows:
        closed_at = row.closed_at or now
        state = SessionState.model_validate({**row.state, "views": row.steps_viewed})
        walk = Walk(row.id, flows.load(db, row.flow_version_id), world_of(row), closed_at)
        keep_record(db, row, walk, state, Outcome(row.outcome or Outcome.DISMISSED), closed_at)
    return ids[-1]


def _build(
    db: Session, row: CancelSession, walk: Walk, state: SessionState, outcome: Outcome, closed_at: datetime
) -> BuiltRecord:
    with db.no_autoflush:  # the step is written at its end, once
        environment = db.get_one(Environment, row.app_id)
        effects = queries.list_effects(db, row.id) if state.effects_made else []
        number = flows.number_of(db, row.flow_version_id)
    closing = Closing(
        organization_id=environment.organization_id,
        provider=environment.provider,
        exit_policy=environment.exit_policy,
        customer_id=row.customer_id,
        recipient=row.recipient,
        entry=row.entry,
        flow_version_id=row.flow_version_id,
        flow_version=number,
        created_at=row.created_at,
        closed_at=closed_at,
        outcome=outcome,
        explanations=row.explanations,
        effects=[_result(effect) for effect in effects],
    )
    return build_record(walk, state, closing)


def _result(effect: Effect) -> EffectResult:
    return EffectResult(
        id=effect.id,
        type=effect.type,
        status=effect.status,
        decision_id=effect.decision_id,
        reason=effect.failed_reason,
        reference=effect.reference,
        requested_at=effect.requested_at,
        applied_at=effect.applied_at,
    )


def _write(db: Session, app_id: str, built: BuiltRecord) -> None:
    values: dict[str, Any] = {**built.columns, "app_id": app_id, "record": built.told}
    db.connection().execute(_UPSERTS[db.get_bind().dialect.name], values)


def _upsert(dialect: Any) -> Any:
    wanted = dialect.insert(_TABLE)
    changed = {c.name: wanted.excluded[c.name] for c in _TABLE.columns if c.name not in _KEPT}
    return wanted.on_conflict_do_update(index_elements=["session_id"], set_=changed)


# Built once: the last step of many a session runs one of them.
_UPSERTS: Final = {"sqlite": _upsert(sqlite), "postgresql": _upsert(postgresql)}
