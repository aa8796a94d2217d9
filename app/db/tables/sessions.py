"""A customer's walk through a flow and the offers shown on it. Rows only, no behaviour."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field

from app.db.base import Json, Table, added, still_personal, where_known, where_open


class CancelSession(Table, table=True):
    """One walk. The small, often written columns come first: SQLite reads a row from its front."""

    __tablename__ = "cancel_sessions"
    __table_args__ = (
        Index(None, "app_id", "created_at", "id"),  # the list, newest first, by cursor
        Index(None, "app_id", "customer_id", "created_at"),  # a customer's history
        Index(None, "app_id", "subscription_id"),  # what a vendor's webhook names
        Index(None, "link_id", "browser_sha256"),  # the way back of the browser that exchanged the link
        where_open("last_seen_at"),  # the sweep of idle sessions
        where_known("email_key"),  # data subject requests
        where_known("recipient_key"),
        still_personal(
            "cancel_sessions",
            *("app_id", "closed_at", "id"),
            where="erased_at IS NULL AND closed_at IS NOT NULL",
        ),
    )

    id: str = Field(primary_key=True)  # cs_…
    app_id: str = Field(foreign_key="environments.app_id")
    link_id: str | None = Field(default=None, foreign_key="cancel_links.id")
    flow_version_id: str = Field(foreign_key="flow_versions.id")
    customer_id: str  # empty: erased
    subscription_id: str | None = None
    mode: str
    entry: str = added("link")  # link | email | receipt: what the customer came by
    verification_id: str | None = None  # the proof of the address, if he came by one
    receipt_id: str | None = None  # the receipt whose undo he pressed
    recipient: str | None = None  # the proven address; receipts go there
    recipient_key: str | None = None  # that, as addresses are compared
    email_key: str | None = None  # the customer's own, likewise
    erased_at: datetime | None = (
        None  # personal data is gone; that there was a session, and how it ended, stays
    )
    time_zone: str | None = None  # IANA, as the browser says
    browser_sha256: str | None = None
    phase: str
    outcome: str | None = None
    revision: int = 0
    event_count: int = 0
    locale: str
    return_url: str | None = None
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    opening_by: str | None = None  # who opens it (provider and customer data are asked once), and until when
    opening_until: datetime | None = None
    data_call_claimed_at: datetime | None = None
    data_call_reason: str | None = None  # why the customer data endpoint gave nothing
    state: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    steps_viewed: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json)
    explanations: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json)
    snapshot: dict[str, Any] = Field(default_factory=dict, sa_type=Json)  # billing data as it was at open


class SessionOffer(Table, table=True):
    """An offer as it was shown. Exactly `shown` is applied if it is accepted."""

    __tablename__ = "session_offers"
    __table_args__ = (
        Index(
            None,
            "app_id",
            "customer_id",
            "kind",
            "accepted_at",
            sqlite_where=text("accepted_at IS NOT NULL"),
            postgresql_where=text("accepted_at IS NOT NULL"),
        ),  # cooldowns and counts of what a customer accepted
    )

    id: str = Field(primary_key=True)  # dec_…
    session_id: str = Field(foreign_key="cancel_sessions.id", index=True)
    app_id: str = Field(foreign_key="environments.app_id")
    customer_id: str
    subscription_id: str | None = None
    offer_id: str
    kind: str
    placement: str
    status: str
    effect_id: str | None = None
    presented_at: datetime
    accepted_at: datetime | None = None
    declined_at: datetime | None = None
    settled_at: datetime | None = None
    shown: dict[str, Any] = Field(sa_type=Json)
