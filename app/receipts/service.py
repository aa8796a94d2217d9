"""Writes receipts in the transaction of what they are about. Signs and sends nothing: issuing.py does."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from app.core.receipt import Merchant
from app.db import outbox
from app.db.tables.accounts import Environment, Organization
from app.db.tables.receipts import Receipt
from app.receipts import queries

RECEIPT_JOB: Final = "receipt"


def merchant_of(db: Session, environment: Environment) -> Merchant:
    """Whom a receipt names, as they are reached today."""
    return Merchant(
        name=db.get_one(Organization, environment.organization_id).name,
        app_id=environment.app_id,
        mode=environment.mode,
        email=environment.contact_email,
        url=environment.contact_url,
    )


def issue(
    db: Session,
    *,
    app_id: str,
    content: Mapping[str, Any],
    recipient: str | None,
    now: datetime,
    session_id: str | None = None,
    request_id: str | None = None,
    effect_id: str | None = None,
) -> Receipt:
    """Keep a receipt (core/receipt.py has its content, and its id is in it) and owe its signature and its mail.

    Of one change there is at most one receipt of each status; asking again returns the one there is. The rows that it
    refers to must have been written.
    """
    if effect_id is not None:
        known = queries.find_of_effect(db, effect_id=effect_id, status=content["status"])
        if known is not None:
            return known
    receipt = Receipt(
        id=content["id"],
        app_id=app_id,
        session_id=session_id,
        request_id=request_id,
        effect_id=effect_id,
        status=content["status"],
        recipient=recipient,
        created_at=now,
        content=dict(content),
    )
    db.add(receipt)
    db.flush()
    outbox.enqueue(db, kind=RECEIPT_JOB, subject_id=receipt.id, due_at=now)
    return receipt
