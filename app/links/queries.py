"""Every SQL statement about links and idempotency records."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import and_, bindparam, case, delete, insert, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from app.db.tables.accounts import Environment
from app.db.tables.links import CancelLink, IdempotencyRecord

# A reusable link is used up too in the end: each exchange makes a session, and asks billing and the merchant.
MAX_EXCHANGES: Final = 1_000

# Built once: these run at each mint and each landing.
_INSERT_LINK: Final = insert(CancelLink)
_BY_TOKEN: Final = select(CancelLink).where(col(CancelLink.token_sha256) == bindparam("token_sha256"))
_BY_TOKEN_HELD: Final = (
    select(CancelLink, Environment)
    .join(Environment, col(Environment.app_id) == CancelLink.app_id)
    .where(col(CancelLink.token_sha256) == bindparam("token_sha256"))
    .with_for_update(of=CancelLink)
)
_CONSUME: Final = (
    update(CancelLink.__table__)  # type: ignore[attr-defined]  # SQLModel adds it
    .where(
        col(CancelLink.token_sha256) == bindparam("known_by"),
        col(CancelLink.consumed_at).is_(None),
        col(CancelLink.revoked_at).is_(None),
        col(CancelLink.expires_at) > bindparam("now"),
    )
    .values(
        exchanged_at=bindparam("now"),
        exchange_count=col(CancelLink.exchange_count) + 1,
        browser_sha256=bindparam("browser"),
        consumed_at=case(
            (
                or_(
                    col(CancelLink.single_use).is_(True),
                    col(CancelLink.exchange_count) >= MAX_EXCHANGES - 1,
                ),
                bindparam("now"),
            ),
            else_=None,
        ),
    )
    .returning(col(CancelLink.consumed_at))
)


class Held(NamedTuple):
    """A link with whose it is."""

    link: CancelLink
    environment: Environment


class Consumed(NamedTuple):
    """An exchange that succeeded."""

    is_used_up: bool


def add_link(db: Session, columns: Mapping[str, Any]) -> None:
    """Write a new link, past the ORM: this is the hot path."""
    db.connection().execute(_INSERT_LINK, columns)


def consume(db: Session, *, token_sha256: str, browser_sha256: str, now: datetime) -> Consumed | None:
    """Exchange a link in one statement, past the ORM: of any number at the same instant, one gets a single-use link."""
    known = {"known_by": token_sha256, "browser": browser_sha256, "now": now}
    used = db.connection().execute(_CONSUME, known).first()
    return Consumed(used[0] is not None) if used is not None else None


def find_by_token(db: Session, token_sha256: str) -> CancelLink | None:
    return db.exec(_BY_TOKEN, params={"token_sha256": token_sha256}).first()


def hold_by_token(db: Session, token_sha256: str) -> Held | None:
    """Against every other writer until the transaction ends (SQLite has one writer anyway)."""
    found = db.exec(_BY_TOKEN_HELD, params={"token_sha256": token_sha256}).first()
    return Held(*found) if found is not None else None


def find_link(db: Session, *, app_id: str, link_id: str) -> CancelLink | None:
    """Another environment's link is not found."""
    return db.exec(select(CancelLink).where(CancelLink.id == link_id, CancelLink.app_id == app_id)).first()


def list_links(
    db: Session,
    *,
    app_id: str,
    limit: int,
    before: tuple[datetime, str] | None = None,
    customer_id: str | None = None,
) -> list[CancelLink]:
    """Newest first, from just behind `before` (created_at, id) on."""
    statement = select(CancelLink).where(CancelLink.app_id == app_id)
    if customer_id is not None:
        statement = statement.where(CancelLink.customer_id == customer_id)
    if before is not None:
        created_at, link_id = before
        statement = statement.where(
            or_(
                col(CancelLink.created_at) < created_at,
                and_(col(CancelLink.created_at) == created_at, col(CancelLink.id) < link_id),
            )
        )
    return list(
        db.exec(statement.order_by(col(CancelLink.created_at).desc(), col(CancelLink.id).desc()).limit(limit))
    )


def revoke(db: Session, *, app_id: str, link_id: str, now: datetime) -> CancelLink | None:
    """Revoke a link in one statement. None where there is nothing to do: no such link, or revoked before."""
    revoked = (
        update(CancelLink)
        .where(
            col(CancelLink.id) == link_id,
            col(CancelLink.app_id) == app_id,
            col(CancelLink.revoked_at).is_(None),
        )
        .values(revoked_at=now)
        .returning(CancelLink)
    )
    return db.scalars(revoked).first()


def find_idempotency(db: Session, *, app_id: str, key_sha256: str, now: datetime) -> IdempotencyRecord | None:
    record = db.get(IdempotencyRecord, (app_id, key_sha256))
    return record if record is not None and record.expires_at > now else None


def list_idempotency(db: Session, *, after: tuple[str, str] | None, limit: int) -> list[IdempotencyRecord]:
    """In the order of their primary key, from behind `after` on; held until the transaction ends."""
    statement = select(IdempotencyRecord)
    if after is not None:
        app_id, key_sha256 = after
        statement = statement.where(
            or_(
                col(IdempotencyRecord.app_id) > app_id,
                and_(col(IdempotencyRecord.app_id) == app_id, col(IdempotencyRecord.key_sha256) > key_sha256),
            )
        )
    order = (col(IdempotencyRecord.app_id), col(IdempotencyRecord.key_sha256))
    return list(db.exec(statement.order_by(*order).limit(limit).with_for_update()))


def claim_idempotency(db: Session, *, now: datetime, values: Mapping[str, Any]) -> bool:
    """Write a record, unless one that is still honoured has the key. Waits for a parallel one to commit."""
    dialect = sqlite if db.get_bind().dialect.name == "sqlite" else postgresql
    wanted = dialect.insert(IdempotencyRecord).values(dict(values))
    claimed = wanted.on_conflict_do_update(
        index_elements=["app_id", "key_sha256"],
        set_={name: wanted.excluded[name] for name in values if name not in ("app_id", "key_sha256")},
        where=col(IdempotencyRecord.expires_at) <= now,
    ).returning(col(IdempotencyRecord.app_id))
    return db.connection().execute(claimed).first() is not None


def forget_idempotency(db: Session, *, now: datetime, limit: int) -> int:
    """Delete records that are no longer honoured, the oldest first."""
    due = (
        select(IdempotencyRecord.app_id, IdempotencyRecord.key_sha256)
        .where(IdempotencyRecord.expires_at <= now)
        .order_by(col(IdempotencyRecord.expires_at))
        .limit(limit)
    )
    rows = db.exec(due).all()
    for app_id, key_sha256 in rows:
        db.connection().execute(
            delete(IdempotencyRecord).where(
                col(IdempotencyRecord.app_id) == app_id,
                col(IdempotencyRecord.key_sha256) == key_sha256,
            )
        )
    return len(rows)
