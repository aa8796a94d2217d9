"""Every SQL statement about cancellation requests."""

from datetime import datetime

from sqlalchemy import and_, or_
from sqlmodel import Session, col, select

from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest


def find_request(db: Session, *, app_id: str, request_id: str) -> CancellationRequest | None:
    """Another environment's request is not found."""
    return db.exec(
        select(CancellationRequest)
        .where(CancellationRequest.id == request_id, CancellationRequest.app_id == app_id)
        .with_for_update()
    ).first()


def find_of_session(
    db: Session, *, session_id: str, subscription_id: str | None
) -> CancellationRequest | None:
    return db.exec(
        select(CancellationRequest)
        .where(
            CancellationRequest.session_id == session_id,
            CancellationRequest.subscription_id == subscription_id,
        )
        .order_by(col(CancellationRequest.created_at))
    ).first()


def list_of_session(db: Session, session_id: str) -> list[CancellationRequest]:
    """What a session has left to a person, oldest first."""
    of_session = select(CancellationRequest).where(CancellationRequest.session_id == session_id)
    return list(db.exec(of_session.order_by(col(CancellationRequest.created_at))))


def list_named(db: Session, *, app_id: str, begin: str, limit: int) -> list[CancellationRequest]:
    """The requests whose own id, or whose session's, goes on like this (`7f3c…`), oldest first."""
    own, of_session = col(CancellationRequest.id), col(CancellationRequest.session_id)
    # Ranges; ids are hexadecimal, so `g` comes behind them all.
    is_named = or_(
        and_(own >= f"req_{begin}", own < f"req_{begin}g"),
        and_(of_session >= f"cs_{begin}", of_session < f"cs_{begin}g"),
    )
    named = select(CancellationRequest).where(CancellationRequest.app_id == app_id, is_named)
    return list(db.exec(named.order_by(col(CancellationRequest.created_at)).limit(limit)))


def find_twin(
    db: Session, *, app_id: str, address: str, note: str | None, since: datetime
) -> CancellationRequest | None:
    """What somebody unproven left in the very same words since then. The limits say how few rows that can be among."""
    return db.exec(
        select(CancellationRequest)
        .where(
            CancellationRequest.app_id == app_id,
            col(CancellationRequest.created_at) > since,
            col(CancellationRequest.session_id).is_(None),
            CancellationRequest.address == address,
            CancellationRequest.note == note,
        )
        .order_by(col(CancellationRequest.created_at).desc())
        .limit(1)
    ).first()


def list_requests(
    db: Session,
    *,
    app_id: str,
    limit: int,
    before: tuple[datetime, str] | None = None,
    is_open: bool | None = None,
) -> list[CancellationRequest]:
    """Newest first, from just behind `before` (created_at, id) on; only open or only closed ones, if it is said."""
    statement = select(CancellationRequest).where(CancellationRequest.app_id == app_id)
    if is_open is not None:
        closed_at = col(CancellationRequest.closed_at)
        statement = statement.where(closed_at.is_(None) if is_open else closed_at.is_not(None))
    if before is not None:
        created_at, request_id = before
        statement = statement.where(
            or_(
                col(CancellationRequest.created_at) < created_at,
                and_(
                    col(CancellationRequest.created_at) == created_at,
                    col(CancellationRequest.id) < request_id,
                ),
            )
        )
    order = (col(CancellationRequest.created_at).desc(), col(CancellationRequest.id).desc())
    return list(db.exec(statement.order_by(*order).limit(limit)))


def hold_request(db: Session, request_id: str) -> CancellationRequest | None:
    """Held against every other writer until the transaction ends (SQLite has one writer anyway)."""
    return db.exec(
        select(CancellationRequest).where(CancellationRequest.id == request_id).with_for_update()
    ).first()


def list_mail_kinds(db: Session, request_id: str) -> list[str]:
    """The kinds of the mails that are owed, sent or given up for it."""
    return list(db.exec(select(Mail.kind).where(Mail.subject_id == request_id)))
