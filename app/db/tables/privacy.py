"""What was erased at whose wish, without saying whose: the proof that stays. Rows only, no behaviour."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from app.db.base import Json, Table


class Erasure(Table, table=True):
    """Everything about one address in one organization. The address is sealed while the work goes on, then gone."""

    __tablename__ = "erasures"
    __table_args__ = (
        Index(None, "organization_id", "requested_at", "id"),  # the list, newest first
        Index(None, "organization_id", "finished_at"),  # what goes on
    )

    id: str = Field(primary_key=True)  # ers_…
    organization_id: str = Field(foreign_key="organizations.id")
    address_mac: str  # keyed: nobody tries addresses out on it without our secret
    address_encrypted: str | None = None  # sealed by the vault
    requested_by: str  # key_…, or `cli`
    requested_at: datetime
    finished_at: datetime | None = None
    waiting: int = 0  # sessions whose change is still being made at the billing provider
    counts: dict[str, int] = Field(default_factory=dict, sa_type=Json)  # how many rows of what
