"""Every table, so that the metadata is complete wherever this package is imported."""

from app.db.tables.accounts import ApiKey, Environment, Organization
from app.db.tables.connections import Connection, InboundEvent
from app.db.tables.effects import Effect
from app.db.tables.events import EventRow
from app.db.tables.flows import Flow, FlowVersion
from app.db.tables.limits import RateLimit
from app.db.tables.links import CancelLink, IdempotencyRecord
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.db.tables.privacy import Erasure
from app.db.tables.receipts import Receipt, ReceiptKey
from app.db.tables.records import ApiUsage, SessionRecord
from app.db.tables.sessions import CancelSession, SessionOffer
from app.db.tables.verifications import Verification
from app.db.tables.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "ApiKey",
    "ApiUsage",
    "CancelLink",
    "CancelSession",
    "CancellationRequest",
    "Connection",
    "Effect",
    "Environment",
    "Erasure",
    "EventRow",
    "Flow",
    "FlowVersion",
    "IdempotencyRecord",
    "InboundEvent",
    "Mail",
    "Organization",
    "OutboxJob",
    "RateLimit",
    "Receipt",
    "ReceiptKey",
    "SessionOffer",
    "SessionRecord",
    "Verification",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
