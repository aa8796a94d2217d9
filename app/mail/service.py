"""Owes mails, in the transaction of what they tell of. Composes nothing and sends nothing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from app.adapters.vault import Vault
from app.core.email_address import address_key
from app.db import outbox
from app.db.base import dump_json, new_id
from app.db.tables.mail import Mail
from app.mail.kinds import MailKind, MailStatus

__all__ = ["MAIL_JOB", "MailKind", "MailStatus", "enqueue"]

MAIL_JOB: Final = "mail"


def enqueue(
    db: Session,
    vault: Vault,
    *,
    app_id: str,
    kind: MailKind,
    recipient: str,
    locale: str,
    data: Mapping[str, Any],
    now: datetime,
    subject_id: str | None = None,
    job_kind: str = MAIL_JOB,
) -> str:
    """Owe one mail, if this unit of work commits; returns its id.

    `data` is plain JSON, of the shape that its kind has (app/mail/letters.py). A `job_kind` of the caller's own brings
    the mail to the caller's own handler, which ends in `delivery.deliver`.
    """
    mail = Mail(
        id=new_id("mail"),
        app_id=app_id,
        kind=kind,
        recipient=recipient,
        recipient_key=address_key(recipient),
        locale=locale,
        subject_id=subject_id,
        created_at=now,
        data_encrypted=vault.seal(dump_json(dict(data))),
    )
    db.add(mail)
    outbox.enqueue(db, kind=job_kind, subject_id=mail.id, due_at=now)
    return mail.id
