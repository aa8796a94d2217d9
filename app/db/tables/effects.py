"""Changes to be made at a billing provider, written before they are tried. Rows only, no behaviour."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field

from app.db.base import Json, Table


class Effect(Table, table=True):
    """One change. Its id is the idempotency key at the provider."""

    __tablename__ = "effects"
    __table_args__ = (
        Index(None, "status", "requested_at"),  # what is still pending, oldest first
        Index(None, "app_id", "customer_id", "subscription_id"),  # what was promised, customer by customer
    )

    id: str = Field(primary_key=True)  # eff_…
    app_id: str = Field(foreign_key="environments.app_id")
    session_id: str = Field(foreign_key="cancel_sessions.id", index=True)
    decision_id: str | None = None  # the accepted offer, if it comes from one
    customer_id: str
    subscription_id: str | None = None
    type: str
    status: str = "pending"  # pending | applied | failed
    attempts: int = 0  # how often it was sent, counted before sending: above 0 it may have happened
    requested_at: datetime
    applied_at: datetime | None = None
    withdrawn_at: datetime | None = None  # no longer wanted, if it has not been sent yet
    ended_at: datetime | None = None  # when it was found to be over, or undone
    reference: str | None = None  # the provider's own id for it
    confirmation: str | None = None  # read_back | merchant
    failed_reason: str | None = None  # final
    last_error: str | None = None  # of the last try; may be followed by success
    change: dict[str, Any] = Field(sa_type=Json)
    shown: dict[str, Any] | None = Field(default=None, sa_type=Json)
