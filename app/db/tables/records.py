"""What is told of finished sessions, and how much was asked. Rows only, no behaviour."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index
from sqlmodel import Field

from app.db.base import Table, still_personal


class SessionRecord(Table, table=True):
    """One closed session, flat: what filters and dimensions use, and last the record as it is told.

    It refers to no other row but its environment's, so that counts can stay when a session's own rows go. The narrow
    columns come first, and are all that an aggregation reads.
    """

    __tablename__ = "session_records"
    __table_args__ = (
        Index(None, "app_id", "created_at", "session_id"),  # the list, newest first, and every span of time
        # One customer's. With all that a page is ordered by: else SQLite goes through the list instead.
        Index(None, "app_id", "customer_id", "created_at", "session_id"),
        Index(None, "app_id", "customer_email", "created_at", "session_id"),
        still_personal(
            "session_records", "app_id", "created_at", "session_id", where="customer_id IS NOT NULL"
        ),
    )

    session_id: str = Field(primary_key=True)  # cs_…
    app_id: str = Field(foreign_key="environments.app_id")
    created_at: datetime
    begun_s: int = Field(sa_type=BigInteger)  # created_at in whole seconds, for arithmetic on both databases
    outcome: str
    save_type: str | None = None  # None: canceled
    offer_type: str | None = None  # of the offer that was accepted
    reason_id: str | None = None
    response: str | None = None  # the reason's label
    is_aborted: bool
    is_canceled: bool
    is_bounced: bool
    is_trial: bool | None = None  # None: no billing data
    is_cooled_down: bool  # an offer was held back because one of its kind had been taken lately
    entry: str
    flow_version_id: str
    segment_id: str | None = None
    test_id: str | None = None
    plan_id: str | None = None
    billing_interval: str | None = None
    currency: str | None = None  # the customer's, else the subscription's
    session_currency: str | None = None  # the subscription's
    price_minor: int | None = Field(default=None, sa_type=BigInteger)  # of one interval, all items
    invoice_month: str | None = None  # 2026-12: when the next invoice was due
    age_months: int | None = None  # of the subscription
    coupon_id: str | None = None
    pause_duration: int | None = None
    customer_id: str | None = None  # None: erased
    customer_email: str | None = None  # as addresses are compared
    updated_at: datetime
    record: dict[str, Any] = Field(sa_type=JSON(none_as_null=True))


class ApiUsage(Table, table=True):
    """How often a data key asked for something on one day (UTC), and how many rows it got."""

    __tablename__ = "api_usage"

    app_id: str = Field(primary_key=True, foreign_key="environments.app_id")
    day: str = Field(primary_key=True)  # 2026-12-01
    key_id: str = Field(primary_key=True, foreign_key="api_keys.id")
    endpoint: str = Field(primary_key=True)
    requests: int = 0
    rows: int = Field(default=0, sa_type=BigInteger)
