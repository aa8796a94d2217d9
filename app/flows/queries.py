"""Every SQL statement about flows."""

from typing import Final

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from app.db.tables.flows import Flow, FlowVersion

# Built once: it runs at each landing.
_PUBLISHED_ID: Final = (
    select(FlowVersion.id)
    .join(Flow, col(Flow.id) == FlowVersion.flow_id)
    .where(col(Flow.organization_id) == bindparam("organization_id"))
    .order_by(col(FlowVersion.number).desc())
    .limit(1)
)


def find_flow(db: Session, organization_id: str) -> Flow | None:
    return db.exec(select(Flow).where(Flow.organization_id == organization_id)).first()


def find_published(db: Session, organization_id: str) -> FlowVersion | None:
    """The version that new sessions walk: the highest number."""
    return db.exec(
        select(FlowVersion)
        .join(Flow, col(Flow.id) == FlowVersion.flow_id)
        .where(Flow.organization_id == organization_id)
        .order_by(col(FlowVersion.number).desc())
        .limit(1)
    ).first()


def find_published_id(db: Session, organization_id: str) -> str | None:
    """As `find_published`, without reading the definition."""
    return db.exec(_PUBLISHED_ID, params={"organization_id": organization_id}).first()


def list_versions(db: Session, organization_id: str, *, limit: int) -> list[FlowVersion]:
    """Newest first."""
    return list(
        db.exec(
            select(FlowVersion)
            .join(Flow, col(Flow.id) == FlowVersion.flow_id)
            .where(Flow.organization_id == organization_id)
            .order_by(col(FlowVersion.number).desc())
            .limit(limit)
        )
    )


def find_version(db: Session, organization_id: str, number: int) -> FlowVersion | None:
    return db.exec(
        select(FlowVersion)
        .join(Flow, col(Flow.id) == FlowVersion.flow_id)
        .where(Flow.organization_id == organization_id, FlowVersion.number == number)
    ).first()
