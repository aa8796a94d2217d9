"""Work that is owed. Only `app/db/outbox.py` touches these rows."""

from datetime import datetime
from typing import Any

from sqlmodel import Field

from app.db.base import Json, Table


class OutboxJob(Table, table=True):
    """A job exists until it is done; finishing deletes the row, so the table is as small as the backlog."""

    __tablename__ = "outbox_jobs"

    id: str = Field(primary_key=True)  # job_…
    kind: str
    subject_id: str = Field(index=True)
    due_at: datetime = Field(index=True)
    attempts: int = 0
    locked_by: str | None = None
    locked_until: datetime | None = None
    last_error: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
