"""Cancellations that a person at the merchant has to carry out. Rows only, no behaviour."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from app.db.base import Json, Table, still_personal, where_known


class CancellationRequest(Table, table=True):
    """Out of a session, or left by somebody whose address was not proven (then without customer)."""

    __tablename__ = "cancellation_requests"
    __table_args__ = (
        Index(None, "app_id", "created_at", "id"),  # the list, newest first
        where_known("address_key"),  # data subject requests
        still_personal(
            "cancellation_requests",
            *("app_id", "created_at", "id"),
            where="address IS NOT NULL AND session_id IS NULL AND closed_at IS NOT NULL",
        ),
    )

    id: str = Field(primary_key=True)  # req_…
    app_id: str = Field(foreign_key="environments.app_id")
    session_id: str | None = Field(default=None, foreign_key="cancel_sessions.id", index=True)
    customer_id: str | None = None
    subscription_id: str | None = None
    address: str | None = None  # as it was typed, not proven
    address_key: str | None = None  # as addresses are compared
    note: str | None = None
    reasons: list[str] = Field(default_factory=list, sa_type=Json)  # why it cannot be done by itself
    created_at: datetime
    closed_at: datetime | None = None  # the merchant says that it is dealt with
