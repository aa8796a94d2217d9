"""Where a merchant is told what happened, what is owed to whom, and how each try went. Rows only, no behaviour."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from app.db.base import Json, Table


class WebhookEndpoint(Table, table=True):
    """One address of an environment. It listens until it is disabled or removed."""

    __tablename__ = "webhook_endpoints"

    id: str = Field(primary_key=True)  # whk_…
    app_id: str = Field(foreign_key="environments.app_id", index=True)
    format: str = "standard"  # standard | compatible
    types: list[str] | None = Field(default=None, sa_type=Json)  # None: every one
    disabled_at: datetime | None = None
    disabled_reason: str | None = None  # operator | gone | failing
    removed_at: datetime | None = None  # then only the sweep sees it
    failing_since: datetime | None = None  # the first failure after which nothing was taken
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_error: str | None = None
    created_at: datetime
    url: str
    description: str | None = None
    secret_encrypted: str  # sealed by the vault: whsec_… (v1), or whsk_… (v1a)
    old_secret_encrypted: str | None = None  # signs too until then
    old_secret_until: datetime | None = None


class WebhookDelivery(Table, table=True):
    """One event that is owed to one endpoint, written with the event. `due_at` is set as long as it is owed."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_id"),
        Index(None, "endpoint_id", "due_at"),  # what an endpoint is owed
        Index(None, "endpoint_id", "created_at", "id"),  # the list, newest first
    )

    id: str = Field(primary_key=True)  # dlv_…
    endpoint_id: str = Field(foreign_key="webhook_endpoints.id")
    event_id: str = Field(foreign_key="events.id", index=True)
    status: str = "pending"  # pending | delivered | failed
    tries: int = 0  # of this round; asking for a redelivery begins another
    due_at: datetime | None = None
    claims: int = 0  # tells a lease from every other
    locked_by: str | None = None
    locked_until: datetime | None = None
    created_at: datetime = Field(index=True)  # the sweep
    first_tried_at: datetime | None = None  # in this round
    settled_at: datetime | None = None


class WebhookAttempt(Table, table=True):
    """One try: what was sent but for its signatures, and what came back."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (Index(None, "delivery_id", "tried_at"),)

    id: str = Field(primary_key=True)  # att_…
    delivery_id: str = Field(foreign_key="webhook_deliveries.id")
    tried_at: datetime
    latency_ms: int
    url: str
    request_headers: dict[str, str] = Field(sa_type=Json)
    status: int | None = None  # of the answer; None where none came
    response_headers: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    response_body: str | None = None  # its first KB
    failure: str | None = None  # why that was none; None where it was taken
