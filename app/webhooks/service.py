"""Records events, and who is owed them, in the transaction of the change they report. Sends nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert
from sqlmodel import Session

from app.core.events import Event
from app.db.base import new_id
from app.db.database import after_commit
from app.db.tables.events import EventRow
from app.webhooks import queries

TOPIC: Final = "webhooks"  # named at each commit that leaves a delivery for the worker

_INSERT: Final = insert(EventRow)


def emit(
    db: Session,
    *,
    app_id: str,
    events: Sequence[Event],
    now: datetime,
    session_id: str | None = None,
    after: int = 0,
) -> int:
    """Write the events, in order; within a session they are numbered from `after` + 1. Returns the last number.

    Past the ORM, at once: a row that they refer to must have been written before.
    """
    rows = [
        {
            "id": new_id("evt"),
            "app_id": app_id,
            "session_id": session_id,
            "type": str(event.type),
            "sequence": number if session_id else 0,
            "created_at": now,
            "data": event.data,
        }
        for number, event in enumerate(events, start=after + 1)
    ]
    if rows:
        db.connection().execute(_INSERT, rows)
        _owe(db, app_id, rows, now)
    return after + len(events)


def _owe(db: Session, app_id: str, events: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """A delivery for each endpoint that wants the event. Who has no endpoint pays one look into an index."""
    owed = [
        new_delivery(endpoint_id=endpoint.id, event_id=event["id"], now=now)
        for endpoint in queries.list_listening(db, app_id)
        for event in events
        if endpoint.types is None or event["type"] in endpoint.types
    ]
    if owed:
        queries.add_deliveries(db, owed)
        after_commit(db, TOPIC)


def new_delivery(*, endpoint_id: str, event_id: str, now: datetime) -> dict[str, Any]:
    """The row of a delivery that is due at once."""
    return {
        "id": new_id("dlv"),
        "endpoint_id": endpoint_id,
        "event_id": event_id,
        "status": "pending",
        "tries": 0,
        "claims": 0,
        "due_at": now,
        "created_at": now,
    }
