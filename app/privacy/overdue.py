"""What is personal and past its time, table by table, and what of that has to wait. Erases nothing.

What is still personal has an index of its own, so that a look costs what is due and what waits, not what there is.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import ColumnElement, literal_column, or_
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from app.connections.health import SILENCE
from app.core.calendar import parse_moment
from app.db.tables.accounts import Environment
from app.db.tables.connections import Connection
from app.db.tables.effects import Effect
from app.db.tables.events import EventRow
from app.db.tables.links import CancelLink
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.db.tables.receipts import Receipt
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.db.tables.webhooks import WebhookDelivery, WebhookEndpoint
from app.privacy.finding import MOST_NAMED

LOOKED_AT: Final = 200  # rows in one look

Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Span:
    """Of one environment what was over by `cut`; from behind `after` on."""

    app_id: str
    cut: datetime
    now: datetime
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A table, and which of its rows are still personal: by `at` their time is counted."""

    app_id: Any
    at: Any
    id: Any
    bite: int  # that are forgotten in one transaction: so long a customer may have to wait
    waiting: Callable[
        [Session, Span, Sequence[str]], Collection[str]
    ]  # those of these rows that have to wait
    is_personal: tuple[ColumnElement[bool], ...] = ()  # as the index says it


@dataclass(frozen=True, slots=True)
class Seen:
    """What may be forgotten, and behind which row the next look begins; None where this one came to the end."""

    ids: Sequence[str]
    last: Place | None


def list_keeping(db: Session) -> list[str]:
    """App IDs of the environments that forget."""
    keeping = select(Environment.app_id).where(Environment.retention_days > 0)
    return list(db.exec(keeping.order_by(col(Environment.app_id))))


def list_failed(db: Session, now: datetime) -> list[str]:
    """App IDs of the environments whose billing system last failed too long ago for what it said then to be kept."""
    said = (
        select(Environment.app_id, Environment.retention_days, Connection.last_failed_at)
        .join(Connection, col(Connection.app_id) == Environment.app_id)
        .where(
            Environment.retention_days > 0,
            col(Connection.last_error).is_not(None),
            col(Connection.last_error) != SILENCE,
        )
    )
    return [app_id for app_id, days, at in db.exec(said) if at is None or at <= now - timedelta(days=days)]


def cut_of(db: Session, app_id: str, now: datetime) -> datetime | None:
    """What was over by then is too old, as the environment has it now; None: it keeps everything."""
    days = db.exec(select(Environment.retention_days).where(Environment.app_id == app_id)).first()
    return now - timedelta(days=days) if days else None


def look(db: Session, kind: Kind, span: Span) -> Seen:
    """The oldest rows that are due and need not wait, up to a bite of them."""
    due = (
        select_columns(kind.at, kind.id)
        .where(kind.app_id == span.app_id, *kind.is_personal, *_within(kind, span))
        .order_by(kind.at, kind.id)
        .limit(LOOKED_AT)
    )
    rows = [(row[0], row[1]) for row in db.connection().execute(due)]
    waiting = kind.waiting(db, span, [id for _, id in rows]) if rows else ()
    ids: list[str] = []
    for at, id in rows:
        if id not in waiting:
            ids.append(id)
        if len(ids) == kind.bite:
            return Seen(ids, (at, id))
    return Seen(ids, rows[-1] if len(rows) == LOOKED_AT else None)


def hold(db: Session, kind: Kind, span: Span, ids: Sequence[str]) -> list[str]:
    """Those that are still due, held until the transaction ends. What somebody else holds is left to them."""
    due = (
        select_columns(kind.id)
        .where(kind.id.in_(ids), *kind.is_personal, kind.at <= span.cut)
        .order_by(kind.id)
        # As in db/outbox.py: SQLite leaves it out, and needs none.
        .with_for_update(skip_locked=True)
    )
    held = list(db.connection().execute(due).scalars())
    waiting = kind.waiting(db, span, held) if held else ()
    return [id for id in held if id not in waiting]


def _within(kind: Kind, span: Span) -> tuple[ColumnElement[bool], ...]:
    if span.after is None:
        return (kind.at <= span.cut,)
    at, id = span.after
    return kind.at >= at, or_(kind.at > at, kind.id > id), kind.at <= span.cut


# --- What has to wait -------------------------------------------------------------------------------------------------


def _no_mails(db: Session, span: Span, ids: Sequence[str]) -> Collection[str]:
    """They are given up long before."""
    return ()


def _sessions(db: Session, span: Span, ids: Sequence[str]) -> set[str]:
    """Something is still to come of these: a reminder, a person's answer, an event that is owed, a change that is under
    way, or the end of a subscription that can be taken back."""
    undo = col(Receipt.content)["undoUntil"].as_string()
    receipts = select_columns(col(Receipt.session_id), undo).where(col(Receipt.session_id).in_(ids))
    waiting = {
        session_id
        for session_id, until in db.connection().execute(receipts)
        if until is not None and parse_moment(until) > span.now
    }
    for others in (
        select_columns(col(CancellationRequest.session_id)).where(
            col(CancellationRequest.session_id).in_(ids), col(CancellationRequest.closed_at).is_(None)
        ),
        select_columns(col(Effect.session_id)).where(
            col(Effect.session_id).in_(ids), col(Effect.status) == "pending"
        ),
        select_columns(col(Effect.session_id))
        .join(OutboxJob, col(OutboxJob.subject_id) == Effect.id)
        .where(col(Effect.session_id).in_(ids)),
        select_columns(col(EventRow.session_id)).where(col(EventRow.session_id).in_(ids), _is_owed()),
    ):
        waiting.update(db.connection().execute(others).scalars())
    return waiting


def _links(db: Session, span: Span, ids: Sequence[str]) -> set[str]:
    """Those that still open, and those of which an event is owed."""
    found = db.exec(select(CancelLink).where(col(CancelLink.id).in_(ids)))
    moments: set[datetime | None] = set()
    waiting: set[str] = set()
    for link in found:
        moments |= {link.created_at, link.exchanged_at, link.consumed_at, link.revoked_at}
        if link.expires_at > span.now and link.consumed_at is None and link.revoked_at is None:
            waiting.add(link.id)
    exchanged = select(CancelSession.created_at).where(col(CancelSession.link_id).in_(ids))
    moments.update(db.exec(exchanged).all())
    return waiting | _owed_about(db, span.app_id, "linkId", moments)


def _requests(db: Session, span: Span, ids: Sequence[str]) -> set[str]:
    """Those of which an event is owed. One that nobody has closed is not among what is due."""
    found = db.exec(select(CancellationRequest.created_at).where(col(CancellationRequest.id).in_(ids)))
    return _owed_about(db, span.app_id, "requestId", found)


def _events(db: Session, span: Span, ids: Sequence[str]) -> set[str]:
    owed = select_columns(col(EventRow.id)).where(col(EventRow.id).in_(ids), _is_owed())
    return set(db.connection().execute(owed).scalars())


def _records(db: Session, span: Span, ids: Sequence[str]) -> set[str]:
    """They are forgotten with their sessions; what remains is of sessions that are gone, or were never here."""
    standing = select_columns(col(CancelSession.id)).where(
        col(CancelSession.id).in_(ids), col(CancelSession.erased_at).is_(None)
    )
    return set(db.connection().execute(standing).scalars())


def _owed_about(db: Session, app_id: str, name: str, moments: Iterable[datetime | None]) -> set[str]:
    """What the owed events that belong to no session are about. Each was written at a moment that its subject has too,
    or a session that came of it."""
    known = sorted({moment for moment in moments if moment is not None})
    about = col(EventRow.data)[name].as_string()
    found: set[str] = set()
    for begin in range(0, len(known), MOST_NAMED):
        owed = select_columns(about).where(
            col(EventRow.app_id) == app_id,
            col(EventRow.created_at).in_(known[begin : begin + MOST_NAMED]),
            col(EventRow.session_id).is_(None),
            about.is_not(None),
            _is_owed(),
        )
        found.update(db.connection().execute(owed).scalars())
    return found


def _is_owed() -> ColumnElement[bool]:
    """Whether an endpoint that listens has yet to take the event, or to have it given up."""
    return (
        select_columns(col(WebhookDelivery.id))
        .join(WebhookEndpoint, col(WebhookEndpoint.id) == WebhookDelivery.endpoint_id)
        .where(
            col(WebhookDelivery.event_id) == EventRow.id,
            col(WebhookDelivery.due_at).is_not(None),
            col(WebhookEndpoint.disabled_at).is_(None),
            col(WebhookEndpoint.removed_at).is_(None),
        )
        .correlate(EventRow)
        .exists()
    )


# Conditions of indexes are written out: a database cannot tell what a parameter will be.
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "sessions": Kind(
            app_id=col(CancelSession.app_id),
            at=col(CancelSession.closed_at),
            id=col(CancelSession.id),
            bite=5,
            waiting=_sessions,
            is_personal=(col(CancelSession.erased_at).is_(None),),
        ),
        "links": Kind(
            app_id=col(CancelLink.app_id),
            at=col(CancelLink.created_at),
            id=col(CancelLink.id),
            bite=10,
            waiting=_links,
            is_personal=(col(CancelLink.customer_id) != literal_column("''"),),
        ),
        "requests": Kind(
            app_id=col(CancellationRequest.app_id),
            at=col(CancellationRequest.created_at),
            id=col(CancellationRequest.id),
            bite=10,
            waiting=_requests,
            is_personal=(
                col(CancellationRequest.address).is_not(None),
                col(CancellationRequest.session_id).is_(None),  # the others go with their sessions
                col(CancellationRequest.closed_at).is_not(None),
            ),
        ),
        "mails": Kind(
            app_id=col(Mail.app_id), at=col(Mail.created_at), id=col(Mail.id), bite=50, waiting=_no_mails
        ),
        "events": Kind(
            app_id=col(EventRow.app_id),
            at=col(EventRow.created_at),
            id=col(EventRow.id),
            bite=50,
            waiting=_events,
        ),
        "records": Kind(
            app_id=col(SessionRecord.app_id),
            at=col(SessionRecord.created_at),
            id=col(SessionRecord.session_id),
            bite=10,
            waiting=_records,
            is_personal=(col(SessionRecord.customer_id).is_not(None),),
        ),
    }
)
