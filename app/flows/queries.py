"""Every SQL statement about flows."""

from sqlmodel import Session, col, select

from app.db.tables.flows import Flow, FlowVersion


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
