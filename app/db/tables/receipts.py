"""Receipts for customers and the keys that sign them. Rows only, no behaviour."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from app.db.base import Json, Table


class ReceiptKey(Table, table=True):
    """An Ed25519 key pair of this installation. The newest one signs; the public halves of all are published."""

    __tablename__ = "receipt_keys"

    id: str = Field(primary_key=True)  # rk_…; the `kid` of what it signed
    public_key: str  # 32 bytes, base64url without padding
    private_key_encrypted: str  # sealed by the vault
    created_at: datetime


class Receipt(Table, table=True):
    """What a customer was told in writing, as it was then. `content` is what is signed; it never changes."""

    __tablename__ = "receipts"
    __table_args__ = (UniqueConstraint("effect_id", "status"),)  # NULLs do not collide, on both databases

    id: str = Field(primary_key=True)  # rcp_…
    app_id: str = Field(foreign_key="environments.app_id")
    session_id: str | None = Field(default=None, foreign_key="cancel_sessions.id", index=True)
    request_id: str | None = Field(default=None, foreign_key="cancellation_requests.id", index=True)
    effect_id: str | None = None  # the change it is about
    status: str  # requested | confirmed | failed
    recipient: str | None = None  # where it is mailed to
    created_at: datetime
    key_id: str | None = Field(default=None, foreign_key="receipt_keys.id")
    signature: str | None = None  # 64 bytes, base64url without padding
    content: dict[str, Any] = Field(sa_type=Json)
