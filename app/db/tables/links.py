"""Cancel links and the answers kept for `Idempotency-Key`. Rows only, no behaviour."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field

from app.db.base import Json, Table, still_personal, where_known


class CancelLink(Table, table=True):
    """A minted link. The token itself is nowhere stored, only the SHA-256 of the id inside it."""

    __tablename__ = "cancel_links"
    __table_args__ = (
        Index(None, "app_id", "created_at", "id"),  # the list, newest first, by cursor
        Index(None, "app_id", "customer_id", "created_at", "id"),  # the same, of one customer
        where_known("email_key"),  # data subject requests
        still_personal("cancel_links", "app_id", "created_at", "id", where="customer_id <> ''"),
    )

    id: str = Field(primary_key=True)  # lnk_…
    app_id: str = Field(foreign_key="environments.app_id")
    token_sha256: str = Field(unique=True)
    customer_id: str  # empty: erased
    subscription_id: str | None = None
    api_key_id: str = Field(foreign_key="api_keys.id")
    single_use: bool = True
    locale: str | None = None
    return_url: str | None = None
    expires_at: datetime
    created_at: datetime
    exchanged_at: datetime | None = None  # the last exchange
    consumed_at: datetime | None = None  # from when on it cannot be used again
    revoked_at: datetime | None = None
    exchange_count: int = 0
    browser_sha256: str | None = None  # who exchanged it, to find the way back
    attributes: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    direct_customer: dict[str, Any] | None = Field(default=None, sa_type=Json)
    direct_subscriptions: list[dict[str, Any]] | None = Field(default=None, sa_type=Json)
    email_key: str | None = None  # of the direct customer's address, as addresses are compared


class IdempotencyRecord(Table, table=True):
    """What was answered to an `Idempotency-Key`, for as long as it is honoured."""

    __tablename__ = "idempotency_records"

    app_id: str = Field(primary_key=True, foreign_key="environments.app_id")
    key_sha256: str = Field(primary_key=True)
    body_sha256: str
    status: int  # HTTP status of the kept answer
    response_encrypted: str  # sealed by the vault: it holds the link's token
    created_at: datetime
    expires_at: datetime = Field(index=True)  # the sweep
