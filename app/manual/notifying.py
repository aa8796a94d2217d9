"""The worker's half of a cancellation request: mails the merchant, and, if so owed, whoever left it. Each once, however
often it is run."""

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from app.adapters.clock import Clock
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.core.calendar import iso
from app.core.summary import reference_of
from app.db.database import Database
from app.db.outbox import Job
from app.db.tables.accounts import Environment
from app.mail import service as mail
from app.mail.service import MailKind
from app.manual import queries
from app.receipts import queries as receipts_queries
from app.receipts.address import path_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ManualPorts:
    database: Database
    clock: Clock
    vault: Vault
    signer: Signer
    base_url: str  # where customers find this installation; no slash at its end


async def notify(ports: ManualPorts, job: Job) -> None:
    """The handler of `manual_notice` jobs."""
    await ports.database.write(
        _owe_mails,
        ports,
        request_id=job.subject_id,
        answers_in=job.payload.get("answers_in"),
        now=ports.clock.now(),
    )


def _owe_mails(
    db: Session, ports: ManualPorts, *, request_id: str, answers_in: str | None, now: datetime
) -> None:
    row = queries.hold_request(db, request_id)
    if row is None or row.customer_id is row.address is None:  # forgotten: there is nobody to tell of
        return
    owed = queries.list_mail_kinds(db, request_id)
    environment = db.get_one(Environment, row.app_id)
    reference, requested_at = reference_of(row.id), iso(row.created_at)
    if environment.contact_email is None:
        _log.warning("nobody at %s can be mailed that %s was left", row.app_id, row.id)
    elif MailKind.MANUAL_NOTICE not in owed:
        mail.enqueue(
            db,
            ports.vault,
            app_id=row.app_id,
            kind=MailKind.MANUAL_NOTICE,
            recipient=environment.contact_email,
            locale=environment.locale,
            data={
                "reference": reference,
                "requested_at": requested_at,
                "address": row.address,
                "note": row.note,
                "reasons": row.reasons,
                "customer_id": row.customer_id,
                "subscription_id": row.subscription_id,
                "mode": environment.mode,
            },
            now=now,
            subject_id=row.id,
        )
    if answers_in and row.address and MailKind.REQUEST_RECEIVED not in owed:
        mail.enqueue(
            db,
            ports.vault,
            app_id=row.app_id,
            kind=MailKind.REQUEST_RECEIVED,
            recipient=row.address,
            locale=answers_in,
            # Not the note: nobody writes to strangers through us.
            data={
                "reference": reference,
                "requested_at": requested_at,
                "page_url": _page_of(db, ports, row.id),
            },
            now=now,
            subject_id=row.id,
        )


def _page_of(db: Session, ports: ManualPorts, request_id: str) -> str | None:
    receipt = receipts_queries.find_of_request(db, request_id)
    return ports.base_url + path_of(ports.signer, receipt.id) if receipt else None
