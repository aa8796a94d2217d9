"""An organization's flow: one draft, and immutable published versions. Rows only, no behaviour."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from app.db.base import Json, Table


class Flow(Table, table=True):
    __tablename__ = "flows"

    id: str = Field(primary_key=True)  # flw_…
    organization_id: str = Field(foreign_key="organizations.id", unique=True)
    draft: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    updated_at: datetime


class FlowVersion(Table, table=True):
    """Never changed after it is written: sessions pin it. The highest number is the published one."""

    __tablename__ = "flow_versions"
    __table_args__ = (UniqueConstraint("flow_id", "number"),)

    id: str = Field(primary_key=True)  # fv_…
    flow_id: str = Field(foreign_key="flows.id")
    number: int
    definition: dict[str, Any] = Field(sa_type=Json)
    note: str = ""
    published_at: datetime
