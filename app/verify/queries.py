"""Every SQL statement about verifications."""

from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import bindparam, delete, func, update
from sqlalchemy.engine import CursorResult
from sqlmodel import Session, col, select

from app.core.codes import TRIES_PER_CODE
from app.db.tables.mail import Mail
from app.db.tables.verifications import Verification

LONGEST_ID: Final = 64

# Built once: each of these runs while a browser waits.
_BY_ID: Final = select(Verification).where(col(Verification.id) == bindparam("verification_id"))
_HELD: Final = _BY_ID.with_for_update()
_RECENT: Final = (
    select(Verification)
    .where(
        col(Verification.browser_sha256) == bindparam("browser"),
        col(Verification.created_at) > bindparam("since"),
        col(Verification.app_id) == bindparam("app"),
        col(Verification.used_at).is_(None),
    )
    .order_by(col(Verification.created_at).desc(), col(Verification.id).desc())
    .limit(20)
)
_USE: Final = (
    update(Verification)
    .where(
        col(Verification.id) == bindparam("verification"),
        col(Verification.used_at).is_(None),
        col(Verification.tries) < TRIES_PER_CODE,
    )
    .values(used_at=bindparam("now"), code_mac=None, code_encrypted=None)
)


def find(db: Session, verification_id: str) -> Verification | None:
    """None also for text that is no id at all."""
    if not _may_be_id(verification_id):
        return None
    return db.exec(_BY_ID, params={"verification_id": verification_id}).first()


def lock(db: Session, verification_id: str) -> Verification | None:
    """As it is now, held against every other writer until the transaction ends (SQLite has one writer anyway)."""
    if not _may_be_id(verification_id):
        return None
    return db.exec(
        _HELD, params={"verification_id": verification_id}, execution_options={"populate_existing": True}
    ).first()


def list_recent(db: Session, *, app_id: str, browser_sha256: str, since: datetime) -> list[Verification]:
    """The browser's newest ones that have not been used, newest first."""
    known = {"app": app_id, "browser": browser_sha256, "since": since}
    return list(db.exec(_RECENT, params=known))


def use(db: Session, *, verification_id: str, now: datetime) -> bool:
    """The code was right. Of any number at the same instant, one is told so; the code is gone."""
    used = {"verification": verification_id, "now": now}
    return cast("CursorResult[Any]", db.connection().execute(_USE, used)).rowcount == 1


def count_mails(db: Session, verification_id: str) -> int:
    """How many mails are owed, sent or given up for it."""
    return db.exec(select(func.count()).select_from(Mail).where(Mail.subject_id == verification_id)).one()


def list_sealed(db: Session, *, after: str | None, limit: int) -> list[Verification]:
    """Those with a code or customers in them, in the order of their ids, from behind `after` on; held until the
    transaction ends."""
    has_any = col(Verification.code_encrypted).is_not(None) | col(Verification.found_encrypted).is_not(None)
    statement = select(Verification).where(has_any)
    if after is not None:
        statement = statement.where(Verification.id > after)
    return list(db.exec(statement.order_by(col(Verification.id)).limit(limit).with_for_update()))


def forget(db: Session, *, now: datetime, limit: int) -> int:
    """Delete verifications that are over, with code and customers found, the oldest first."""
    over = (
        select(Verification.id)
        .where(Verification.expires_at <= now)
        .order_by(col(Verification.expires_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    forgotten = delete(Verification).where(col(Verification.id).in_(over))
    return cast("CursorResult[Any]", db.connection().execute(forgotten)).rowcount


def _may_be_id(text: str) -> bool:
    """Not every text may reach a database: PostgreSQL takes no NUL."""
    return len(text) <= LONGEST_ID and text.isprintable()
