"""The worker's part of a receipt: signs it and owes its mail, both in one transaction, so neither comes without the
other nor twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlmodel import Session

from app.adapters.clock import Clock
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.core.calendar import parse_moment
from app.core.receipt_file import file_name, to_file
from app.db.database import Database
from app.db.outbox import Job
from app.db.tables.receipts import Receipt
from app.mail import service as mail
from app.mail.kinds import MailKind
from app.receipts import keys, queries
from app.receipts.address import path_of
from app.receipts.keys import NoKeyOpens, Notary, Signed

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IssuingPorts:
    """`base_url` is where customers find this installation; no slash at its end."""

    database: Database
    clock: Clock
    vault: Vault
    signer: Signer
    notary: Notary
    base_url: str


async def sign_and_mail(ports: IssuingPorts, job: Job) -> None:
    """The worker's handler for a receipt; done again it does nothing."""
    await ports.database.write(_sign_and_mail, ports, job.subject_id, ports.clock.now())


def _sign_and_mail(db: Session, ports: IssuingPorts, receipt_id: str, now: datetime) -> None:
    receipt = queries.lock_receipt(db, receipt_id)
    if receipt is None or receipt.signature is not None:
        return
    signed = _sign(db, ports, receipt, now)
    receipt.key_id, receipt.signature = signed.key_id, signed.signature
    if receipt.recipient:
        mail.enqueue(
            db,
            ports.vault,
            app_id=receipt.app_id,
            kind=MailKind.RECEIPT,
            recipient=receipt.recipient,
            locale=receipt.content["locale"],
            data=_mail_of(ports, receipt.id, receipt.content, signed, now),
            now=now,
            subject_id=receipt.id,
        )


def _sign(db: Session, ports: IssuingPorts, receipt: Receipt, now: datetime) -> Signed:
    keys.ensure_key(db, ports.vault, now)
    try:
        return ports.notary.sign(db, receipt)
    except NoKeyOpens:
        # Whoever lost the secret of then still owes customers their receipts. The lost key stays published.
        key = keys.rotate(db, ports.vault, now)
        _log.error("no key for receipts opens: LEAVEWELL_SECRET has changed; a new one signs", key=key.id)
        return ports.notary.sign(db, receipt)


def _mail_of(
    ports: IssuingPorts, receipt_id: str, content: Mapping[str, Any], signed: Signed, now: datetime
) -> dict[str, Any]:
    page_url = ports.base_url + path_of(ports.signer, receipt_id)
    undo_until = content["undoUntil"]
    can_undo = undo_until is not None and parse_moment(undo_until) > now
    return {
        "content": dict(content),
        "page_url": page_url,
        "undo_url": f"{page_url}#undo" if can_undo else None,
        "file": {"name": file_name(content), "json": to_file(content, signed.key_id, signed.signature)},
    }
