"""Every table, so that the metadata is complete wherever this package is imported."""

from app.db.tables.accounts import ApiKey, Environment, Organization
from app.db.tables.effects import Effect
from app.db.tables.events import EventRow
from app.db.tables.flows import Flow, FlowVersion
from app.db.tables.links import CancelLink, IdempotencyRecord
from app.db.tables.outbox import OutboxJob
from app.db.tables.sessions import CancelSession, SessionOffer

__all__ = [
    "ApiKey",
    "CancelLink",
    "CancelSession",
    "Effect",
    "Environment",
    "EventRow",
    "Flow",
    "FlowVersion",
    "IdempotencyRecord",
    "Organization",
    "OutboxJob",
    "SessionOffer",
]
