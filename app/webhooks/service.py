"""Records events in the transaction of the change they report. Sends nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import insert
from sqlmodel import Session

from app.core.events import Event
from app.db.base import new_id
from app.db.tables.events import EventRow

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
    return after + len(events)
