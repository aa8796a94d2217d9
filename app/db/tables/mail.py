"""Mails that are owed, sent or refused. Rows only, no behaviour."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from app.db.base import Table, where_known


class Mail(Table, table=True):
    """One mail to one address. What it says is sealed, and is gone once it has been sent or given up."""

    __tablename__ = "mails"
    __table_args__ = (
        Index(None, "app_id", "created_at", "id"),  # the list, newest first
        Index(None, "app_id", "status", "created_at"),  # what was refused
        where_known("recipient_key"),  # data subject requests
    )

    id: str = Field(primary_key=True)  # mail_…
    app_id: str = Field(foreign_key="environments.app_id")
    kind: str
    recipient: str
    recipient_key: str | None = None  # as addresses are compared
    locale: str
    subject_id: str | None = Field(default=None, index=True)  # what it is about: rcp_…, ver_…, req_…
    status: str = "pending"  # pending | sent | refused | given_up
    attempts: int = 0
    created_at: datetime
    sent_at: datetime | None = None
    last_error: str | None = None  # of the last try; with refused and given_up, why
    data_encrypted: str | None = None  # sealed by the vault: what it says, as JSON
