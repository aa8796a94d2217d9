"""Forgets what is personal once its time is over: the worker's sweep. What is not finished is left for later.

Each environment has its time. How far each table has been swept is kept, so that a sweep costs what has become due and
not what there is.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from app.adapters.clock import Clock
from app.core.calendar import iso, parse_moment
from app.core.erasure import NOBODY
from app.db.database import Database
from app.db.tables.accounts import Environment
from app.db.tables.events import EventRow
from app.db.tables.links import CancelLink
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.privacy import erasing, finding
from app.privacy.erasing import Measure
from app.privacy.finding import About

BITE: Final = 50
PAUSE_S: Final = 0.01  # between two bites: whoever waits to write goes first
_DAWN: Final = "1970-01-01T00:00:00Z"

Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Bitten:
    """What one transaction came to: the last row it looked at, None at the end, and the first that it had to leave."""

    last: Place | None
    left: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Span:
    """Rows of one environment from `begin` on, or behind `after`, up to `cut`."""

    app_id: str
    begin: datetime
    cut: datetime
    now: datetime
    after: Place | None = None

    def of(self, at: Mapped[datetime], id: Mapped[str]) -> tuple[ColumnElement[bool], ...]:
        if self.after is None:
            return at >= self.begin, at <= self.cut
        last_at, last_id = self.after
        return at >= last_at, or_(at > last_at, id > last_id), at <= self.cut


async def sweep(database: Database, clock: Clock) -> None:
    """Forget what is due in every environment, in bites that hold nobody up."""
    now = clock.now()
    for app_id, days in await database.read(_list_keeping):
        cut = now - timedelta(days=days)
        for table, bite in _TABLES.items():
            await _sweep_table(database, app_id, table, bite, cut=cut, now=now)


async def _sweep_table(
    database: Database,
    app_id: str,
    table: str,
    bite: Callable[[Session, _Span], Bitten],
    *,
    cut: datetime,
    now: datetime,
) -> None:
    begin = await database.read(_mark_of, app_id, table)
    if begin > cut:  # the time was made longer
        return
    mark, span = cut, _Span(app_id, begin, cut, now)
    if not await database.read(_HAS_ANY[table], span):  # nothing: no need to take the writer for it
        return
    while True:
        bitten = await database.write(bite, span)
        if bitten.left is not None:
            mark = min(mark, bitten.left)
        if bitten.last is None:
            break
        span = _Span(app_id, begin, cut, now, after=bitten.last)
        await asyncio.sleep(PAUSE_S)
    if mark > begin:
        await database.write(_set_mark, app_id, table, mark)


# --- One bite a table -------------------------------------------------------------------------------------------------


def _sessions(db: Session, span: _Span) -> Bitten:
    left: datetime | None = None
    rows = _due_sessions(db, span, BITE)
    for row in rows:
        is_due = row.closed_at is not None and row.closed_at <= span.cut
        if is_due and not _is_needed(db, finding.about_session(db, row), span.now):
            measure = Measure(span.now, keeps_reason=True)
            if erasing.erase_session(db, row.id, measure) is not None:
                continue
        left = left or row.created_at
    return Bitten(_place(rows), left)


def _is_needed(db: Session, about: About, now: datetime) -> bool:
    """Whether something is still to come of it: a reminder, or the end of a subscription that can be taken back."""
    if any(_is_ahead(receipt.content.get("undoUntil"), now) for receipt in about.receipts):
        return True
    if any(request.closed_at is None for request in about.requests):
        return True
    subjects = [effect.id for effect in about.effects]
    owed = select(OutboxJob.id).where(col(OutboxJob.subject_id).in_(subjects)).limit(1)
    return bool(subjects) and db.exec(owed).first() is not None


def _links(db: Session, span: _Span) -> Bitten:
    left: datetime | None = None
    rows = _due_links(db, span, BITE)
    for row in rows:
        if row.expires_at <= span.now:
            erasing.erase_link(db, row, Measure(span.now, keeps_reason=True))
        else:
            left = left or row.created_at
    return Bitten(_place(rows), left)


def _requests(db: Session, span: _Span) -> Bitten:
    left: datetime | None = None
    rows = _due_requests(db, span, BITE)
    for row in rows:
        if row.closed_at is not None:
            erasing.erase_request(db, row, Measure(span.now, keeps_reason=True))
        else:
            left = left or row.created_at
    return Bitten(_place(rows), left)


def _mails(db: Session, span: _Span) -> Bitten:
    rows = _due_mails(db, span, BITE)
    place = _place(rows)
    erasing.delete_mails(db, rows)
    return Bitten(place)


def _events(db: Session, span: _Span) -> Bitten:
    rows = _due_events(db, span, BITE)
    place = _place(rows)
    erasing.delete_events(db, [row.id for row in rows])
    return Bitten(place)


def _records(db: Session, span: _Span) -> Bitten:
    """Records whose sessions are gone or never were here; the others were forgotten with their sessions."""
    left: datetime | None = None
    rows = _due_records(db, span, BITE)
    for row in rows:
        session = db.get(CancelSession, row.session_id)
        if session is None or session.erased_at is not None:
            erasing.erase_record(db, row.session_id, Measure(span.now, keeps_reason=True))
        else:
            left = left or row.created_at
    return Bitten((rows[-1].created_at, rows[-1].session_id) if rows else None, left)


# --- What is due ------------------------------------------------------------------------------------------------------


def _due_sessions(db: Session, span: _Span, limit: int) -> list[CancelSession]:
    at, id = col(CancelSession.created_at), col(CancelSession.id)
    due = select(CancelSession).where(
        CancelSession.app_id == span.app_id, *span.of(at, id), col(CancelSession.erased_at).is_(None)
    )
    return list(db.exec(due.order_by(at, id).limit(limit)))


def _due_links(db: Session, span: _Span, limit: int) -> list[CancelLink]:
    at, id = col(CancelLink.created_at), col(CancelLink.id)
    due = select(CancelLink).where(
        CancelLink.app_id == span.app_id, *span.of(at, id), CancelLink.customer_id != NOBODY
    )
    return list(db.exec(due.order_by(at, id).limit(limit)))


def _due_requests(db: Session, span: _Span, limit: int) -> list[CancellationRequest]:
    """Those that came out of no session; the others go with theirs."""
    at, id = col(CancellationRequest.created_at), col(CancellationRequest.id)
    due = select(CancellationRequest).where(
        CancellationRequest.app_id == span.app_id,
        *span.of(at, id),
        col(CancellationRequest.session_id).is_(None),
        col(CancellationRequest.address).is_not(None),
    )
    return list(db.exec(due.order_by(at, id).limit(limit)))


def _due_mails(db: Session, span: _Span, limit: int) -> list[Mail]:
    at, id = col(Mail.created_at), col(Mail.id)
    due = select(Mail).where(Mail.app_id == span.app_id, *span.of(at, id))
    return list(db.exec(due.order_by(at, id).limit(limit)))


def _due_events(db: Session, span: _Span, limit: int) -> list[EventRow]:
    at, id = col(EventRow.created_at), col(EventRow.id)
    due = select(EventRow).where(EventRow.app_id == span.app_id, *span.of(at, id))
    return list(db.exec(due.order_by(at, id).limit(limit)))


def _due_records(db: Session, span: _Span, limit: int) -> list[SessionRecord]:
    at, id = col(SessionRecord.created_at), col(SessionRecord.session_id)
    due = select(SessionRecord).where(
        SessionRecord.app_id == span.app_id, *span.of(at, id), col(SessionRecord.customer_id).is_not(None)
    )
    return list(db.exec(due.order_by(at, id).limit(limit)))


# The order matters: a request's events are found before the events go; a record waits for its session.
_TABLES: Final[dict[str, Callable[[Session, _Span], Bitten]]] = {
    "sessions": _sessions,
    "links": _links,
    "requests": _requests,
    "mails": _mails,
    "events": _events,
    "records": _records,
}
_HAS_ANY: Final[dict[str, Callable[[Session, _Span], bool]]] = {
    "sessions": lambda db, span: bool(_due_sessions(db, span, 1)),
    "links": lambda db, span: bool(_due_links(db, span, 1)),
    "requests": lambda db, span: bool(_due_requests(db, span, 1)),
    "mails": lambda db, span: bool(_due_mails(db, span, 1)),
    "events": lambda db, span: bool(_due_events(db, span, 1)),
    "records": lambda db, span: bool(_due_records(db, span, 1)),
}


def _place(rows: Sequence[Any]) -> Place | None:
    return (rows[-1].created_at, rows[-1].id) if rows else None


def _list_keeping(db: Session) -> list[tuple[str, int]]:
    """App IDs of the environments that forget, and after how many days."""
    found = db.exec(
        select(Environment.app_id, Environment.retention_days)
        .where(Environment.retention_days > 0)
        .order_by(col(Environment.app_id))
    )
    return [(app_id, days) for app_id, days in found]


def _mark_of(db: Session, app_id: str, table: str) -> datetime:
    marks = db.exec(select(Environment.retention_marks).where(Environment.app_id == app_id)).first()
    return parse_moment((marks or {}).get(table, _DAWN))


def _set_mark(db: Session, app_id: str, table: str, mark: datetime) -> None:
    environment = db.get(Environment, app_id, with_for_update=True)
    if environment is not None:
        environment.retention_marks = {**(environment.retention_marks or {}), table: iso(mark)}


def _is_ahead(moment: object, now: datetime) -> bool:
    return isinstance(moment, str) and parse_moment(moment) > now
