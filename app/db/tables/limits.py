"""How often something was done lately. Only `app/db/limits.py` touches these rows."""

from datetime import datetime

from sqlmodel import Field

from app.db.base import Json, Table


class RateLimit(Table, table=True):
    """One thing that is limited for one party, counted in slices of its window."""

    __tablename__ = "rate_limits"

    bucket: str = Field(primary_key=True)
    counts: dict[str, int] = Field(
        default_factory=dict, sa_type=Json
    )  # when, or its slice of the window (µs since 1970) -> count
    expires_at: datetime = Field(index=True)  # nothing in it counts any more
