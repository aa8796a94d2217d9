"""Every SQL statement about mails."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, or_, update
from sqlmodel import Session, col, select

from app.db.tables.accounts import Environment, Organization
from app.db.tables.mail import Mail
from app.mail.kinds import MailStatus


@dataclass(frozen=True, slots=True)
class Owed:
    """A mail that is still to be sent, and whose it is."""

    mail: Mail
    environment: Environment
    brand_name: str


def find_owed(db: Session, mail_id: str) -> Owed | None:
    """None for one that was sent, or will never be."""
    found = db.exec(
        select(Mail, Environment, Organization.name)
        .join(Environment, col(Environment.app_id) == Mail.app_id)
        .join(Organization, col(Organization.id) == Environment.organization_id)
        .where(Mail.id == mail_id, Mail.status == MailStatus.PENDING)
    ).first()
    return Owed(*found) if found else None


def settle(
    db: Session, mail_id: str, *, status: MailStatus, sent_at: datetime | None, error: str | None
) -> bool:
    """Write down what became of a try at a mail that is still owed; False if it no longer was. With the last try what
    it says is erased."""
    values = {
        "status": str(status),
        "sent_at": sent_at,
        "last_error": error,
        "attempts": col(Mail.attempts) + 1,
    }
    if status is not MailStatus.PENDING:
        values["data_encrypted"] = None
    settled = (
        update(Mail)
        .where(col(Mail.id) == mail_id, col(Mail.status) == MailStatus.PENDING)
        .values(values)
        .returning(col(Mail.id))
    )
    return db.connection().execute(settled).first() is not None


def list_owed(db: Session, *, after: str | None, limit: int) -> list[Mail]:
    """Of every environment, in the order of their ids, from behind `after` on; held until the transaction ends."""
    statement = select(Mail).where(Mail.status == MailStatus.PENDING)
    if after is not None:
        statement = statement.where(Mail.id > after)
    return list(db.exec(statement.order_by(col(Mail.id)).limit(limit).with_for_update()))


def find_mail(db: Session, *, app_id: str, mail_id: str) -> Mail | None:
    """Another environment's mail is not found."""
    return db.exec(select(Mail).where(Mail.id == mail_id, Mail.app_id == app_id)).first()


def list_about(db: Session, *, app_id: str, subject_ids: Collection[str]) -> list[Mail]:
    """The mails about these receipts, requests, changes and verifications, oldest first."""
    about = select(Mail).where(Mail.app_id == app_id, col(Mail.subject_id).in_(subject_ids))
    return list(db.exec(about.order_by(col(Mail.created_at), col(Mail.id))))


def list_mails(
    db: Session,
    *,
    app_id: str,
    limit: int,
    before: tuple[datetime, str] | None = None,
    status: str | None = None,
) -> list[Mail]:
    """Newest first, from just behind `before` (created_at, id) on."""
    statement = select(Mail).where(Mail.app_id == app_id)
    if status is not None:
        statement = statement.where(Mail.status == status)
    if before is not None:
        created_at, mail_id = before
        statement = statement.where(
            or_(
                col(Mail.created_at) < created_at,
                and_(col(Mail.created_at) == created_at, col(Mail.id) < mail_id),
            )
        )
    return list(db.exec(statement.order_by(col(Mail.created_at).desc(), col(Mail.id).desc()).limit(limit)))
