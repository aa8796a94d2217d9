"""How connections to billing systems fare, and which of their webhooks have been seen. Rows only, no behaviour."""

from datetime import datetime

from sqlmodel import Field

from app.db.base import Table


class Connection(Table, table=True):
    """One environment's connection. How it is reached stands, sealed, in the environment."""

    __tablename__ = "connections"

    app_id: str = Field(primary_key=True, foreign_key="environments.app_id")
    account_id: str | None = None  # who answered when it was last asked
    account_name: str | None = None
    account_mode: str | None = None  # live | test; None where the vendor does not tell
    checked_at: datetime | None = None
    saved_at: datetime | None = None
    last_ok_at: datetime | None = None  # as of a minute ago, at worst
    last_failed_at: datetime | None = None
    last_error: str | None = None  # of the last failure; stays when it is over
    failures: int = 0  # in a row
    rest_until: datetime | None = None  # nobody asks before; after it one asks, until it answers again
    probe_until: datetime | None = None  # so long the one who asks has the others wait
    needs_attention: bool = False  # it refuses the credentials: a person has to mend it
    notified_at: datetime | None = None  # when that was last mailed


class InboundEvent(Table, table=True):
    """A webhook that was taken, so that a repeat can be told."""

    __tablename__ = "inbound_events"

    app_id: str = Field(primary_key=True, foreign_key="environments.app_id")
    event_sha256: str = Field(primary_key=True)  # of the vendor's own id
    expires_at: datetime = Field(index=True)
