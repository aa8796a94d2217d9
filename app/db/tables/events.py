"""What happened, as merchants are told it (`core/events.py` has the vocabulary). Rows only, no behaviour."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from app.db.base import Json, Table


class EventRow(Table, table=True):
    """Written in the transaction of the change it reports. `sequence` counts within a session; else 0."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("session_id", "sequence"),  # NULLs do not collide, on both databases
        Index(None, "app_id", "created_at", "id"),  # the list, and "redeliver all since"
    )

    id: str = Field(primary_key=True)  # evt_…
    app_id: str = Field(foreign_key="environments.app_id")
    session_id: str | None = Field(default=None, foreign_key="cancel_sessions.id")
    type: str
    sequence: int = 0
    created_at: datetime
    data: dict[str, Any] = Field(sa_type=Json)
