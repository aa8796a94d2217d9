"""Writes down what a try came to: delivered, due again, given up. An endpoint that is gone or fails for days is
disabled, and its merchant told."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from app.adapters.vault import Vault
from app.core.calendar import iso
from app.core.events import EventType
from app.core.webhook_ladder import next_try
from app.db.base import new_id
from app.db.tables.accounts import Environment
from app.db.tables.webhooks import WebhookEndpoint
from app.mail import service as mail
from app.mail.service import MailKind
from app.webhooks import queries
from app.webhooks.kinds import DeliveryStatus, DisabledReason
from app.webhooks.queries import Owed
from app.webhooks.sending import Tried

SUCCESS_NOTED_EVERY: Final = timedelta(minutes=1)


def settle(db: Session, vault: Vault, owed: Owed, tried: Tried, *, worker: str, chance: float) -> bool:
    """Keep a try, and what follows from it. False if the delivery is no longer ours.

    The next try counts from when this one ended, and `chance` (0 to 1) spreads it.
    """
    now = tried.ended_at
    first = owed.first_tried_at or tried.at
    tries = owed.tries + (tried.failure is not None)
    again = _again(owed, tried, tries, chance)
    values: dict[str, Any] = {"tries": tries, "first_tried_at": first, "due_at": again}
    if tried.failure is None:
        values |= {"status": str(DeliveryStatus.DELIVERED), "settled_at": now}
    elif again is None:
        values |= {"status": str(DeliveryStatus.FAILED), "settled_at": now}
    if not queries.settle(db, owed, worker=worker, values=values):
        return False
    queries.add_attempt(
        db,
        {
            "id": new_id("att"),
            "delivery_id": owed.id,
            "tried_at": tried.at,
            "latency_ms": tried.latency_ms,
            "url": tried.url,
            "request_headers": dict(tried.request_headers),
            "status": tried.status,
            "response_headers": dict(tried.response_headers or {}),
            "response_body": tried.response_body,
            "failure": tried.failure,
        },
    )
    if tried.failure is None:
        queries.note_success(db, owed.endpoint.id, now=now, unless_since=now - SUCCESS_NOTED_EVERY)
    elif not _is_test(owed):
        _note_failure(db, vault, owed, tried, first=first, is_last=again is None, now=now)
    return True


def _again(owed: Owed, tried: Tried, tries: int, chance: float) -> datetime | None:
    if tried.failure is None or _is_test(owed):  # who tries an endpoint looks at once
        return None
    return next_try(tries=tries, failed_at=tried.ended_at, chance=chance, retry_after_s=tried.retry_after_s)


def _is_test(owed: Owed) -> bool:
    return owed.event.type == EventType.WEBHOOK_TEST


def _note_failure(
    db: Session, vault: Vault, owed: Owed, tried: Tried, *, first: datetime, is_last: bool, now: datetime
) -> None:
    endpoint = queries.hold_endpoint(db, owed.endpoint.id)
    if endpoint is None:
        return
    endpoint.failing_since = endpoint.failing_since or tried.at
    endpoint.last_failure_at, endpoint.last_error = tried.at, tried.failure
    if endpoint.disabled_at is not None:
        return
    if tried.is_gone:
        _disable(db, vault, endpoint, DisabledReason.GONE, now)
    elif is_last and endpoint.failing_since <= first:  # nothing was taken in all the time that this was tried
        _disable(db, vault, endpoint, DisabledReason.FAILING, now)


def _disable(
    db: Session, vault: Vault, endpoint: WebhookEndpoint, reason: DisabledReason, now: datetime
) -> None:
    """Stop telling it, and tell the merchant, once: it stays so until a person enables it."""
    endpoint.disabled_at, endpoint.disabled_reason = now, str(reason)
    environment = db.get_one(Environment, endpoint.app_id)
    if environment.contact_email is None:
        return
    mail.enqueue(
        db,
        vault,
        app_id=endpoint.app_id,
        kind=MailKind.WEBHOOK_DISABLED,
        recipient=environment.contact_email,
        locale=environment.locale,
        data={
            "app_id": endpoint.app_id,
            "endpoint_id": endpoint.id,
            "url": endpoint.url,
            "reason": str(reason),
            "error": endpoint.last_error,
            "failing_since": iso(endpoint.failing_since) if endpoint.failing_since else None,
            "disabled_at": iso(now),
        },
        now=now,
        subject_id=endpoint.id,
    )
