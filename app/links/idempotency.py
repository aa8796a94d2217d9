"""Answers kept for `Idempotency-Key`, sealed, in the transaction of what they answer. Knows no endpoint."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from app.adapters.vault import SealBroken, Vault
from app.core.errors import Conflict
from app.links import queries

HONOURED_FOR: Final = timedelta(hours=24)
MAX_LENGTH: Final = 255


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"
    user_message = "This Idempotency-Key was sent with another body before. Use a new key for a new request."


class IdempotencyKeyUnreadable(Conflict):
    """The answer was kept under a secret that is gone. To mint anew would make a second link in silence."""

    code = "idempotency_key_unreadable"
    user_message = (
        "The link for this Idempotency-Key exists, but its answer was encrypted with a secret that is no longer in "
        "use. Send the request with a new key to get another link."
    )


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A key as the database knows it, and the body it came with."""

    key_sha256: str
    body_sha256: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, byte for byte, now or before."""

    status: int
    body: str
    is_replay: bool = False


def find_answer(
    db: Session, vault: Vault, *, app_id: str, key: IdempotencyKey, now: datetime
) -> Answer | None:
    """What was answered to this key in the last 24 hours. Raises IdempotencyKeyReused for another body,
    IdempotencyKeyUnreadable for an answer that no secret opens."""
    record = queries.find_idempotency(db, app_id=app_id, key_sha256=key.key_sha256, now=now)
    if record is None:
        return None
    if record.body_sha256 != key.body_sha256:
        raise IdempotencyKeyReused
    try:
        return Answer(record.status, vault.open(record.response_encrypted), is_replay=True)
    except SealBroken:
        raise IdempotencyKeyUnreadable from None


def keep_answer(
    db: Session, vault: Vault, *, app_id: str, key: IdempotencyKey, answer: Answer, now: datetime
) -> Answer | None:
    """Keep the answer under a key that is free: None. If a parallel request was first, wait for it and return its
    answer; nothing was written then. Raises IdempotencyKeyReused, as find_answer does."""
    is_ours = queries.claim_idempotency(
        db,
        now=now,
        values={
            "app_id": app_id,
            "key_sha256": key.key_sha256,
            "body_sha256": key.body_sha256,
            "status": answer.status,
            "response_encrypted": vault.seal(answer.body),
            "created_at": now,
            "expires_at": now + HONOURED_FOR,
        },
    )
    return None if is_ours else find_answer(db, vault, app_id=app_id, key=key, now=now)
