"""Addresses that are to be proven by a code. Rows only, no behaviour."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from app.db.base import Table, where_known


class Verification(Table, table=True):
    """One browser's attempt to prove one address. The code itself is never stored in the clear: a keyed hash to check
    it by, and, sealed and only while it works, itself, so that a second mail says the same one."""

    __tablename__ = "verifications"
    __table_args__ = (
        Index(None, "browser_sha256", "created_at"),  # what a browser has just asked for
        where_known("address_key"),  # data subject requests
    )

    id: str = Field(primary_key=True)  # ver_…
    app_id: str = Field(foreign_key="environments.app_id")
    browser_sha256: str
    address: str  # as it was typed, without space around it
    address_key: str | None = None  # as addresses are compared
    link_id: str | None = Field(default=None, foreign_key="cancel_links.id")  # the link that was over
    locale: str
    created_at: datetime
    asked_at: datetime  # when a mail was last asked for
    sends: int = 1  # how many were asked for
    looked_up_at: datetime | None = None
    found_encrypted: str | None = None  # sealed by the vault: customers and their subscriptions, as JSON
    code_mac: str | None = None
    code_encrypted: str | None = None  # sealed by the vault
    code_expires_at: datetime | None = None
    tries: int = 0  # wrong ones
    used_at: datetime | None = None  # the code was right
    session_id: str | None = None  # what it led to
    expires_at: datetime = Field(index=True)  # the sweep
