"""Sends one owed mail and writes down what became of it. Composes by templates, gives up after three days of trying.

The mail is sent before that is written down: killed in between, it is sent once more, with the same `Message-ID`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog

from app.adapters.clock import Clock
from app.adapters.mail import Mailer, MailRefused, MailUnavailable
from app.adapters.vault import SealBroken, Vault
from app.db.base import load_json
from app.db.database import Database
from app.db.outbox import Job, RetryLater
from app.db.tables.mail import Mail
from app.mail import queries
from app.mail.composing import Undeliverable, compose
from app.mail.kinds import MailKind, MailStatus
from app.mail.queries import Owed
from app.web.render import Renderer

GIVE_UP_AFTER: Final = timedelta(hours=72)
FEWEST_TRIES: Final = 10  # where there was no mailer for days, its first refusal for now is not the end
WITHOUT_MAILER_S: Final = 600.0
_WAITS_S: Final = (5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MailPorts:
    """What sending mail needs of the process. Without a `mailer` mails wait until there is one."""

    database: Database
    clock: Clock
    vault: Vault
    mailer: Mailer | None
    renderer: Renderer


async def deliver(ports: MailPorts, job: Job) -> None:
    """The worker's handler: sends the mail that is the job's subject, unless that is settled.

    Raises RetryLater while it is still to be sent. Why is on the mail: what servers say may name the recipient, and
    belongs in no log.
    """
    owed = await ports.database.read(queries.find_owed, job.subject_id)
    if owed is None:
        return
    if ports.mailer is None:
        raise RetryLater("there is no SMTP_URL yet", after_s=WITHOUT_MAILER_S)
    try:
        data = _open(ports.vault, owed.mail)
        await _send(ports, ports.mailer, owed, data)
    except SealBroken:
        await _settle(
            ports, owed, MailStatus.GIVEN_UP, "No secret opens what it says: LEAVEWELL_SECRET has changed."
        )
    except Undeliverable as refused:
        await _settle(ports, owed, MailStatus.REFUSED, refused.reason)
    except MailRefused as refused:
        await _settle(ports, owed, MailStatus.REFUSED, refused.reason)
    except MailUnavailable as failed:
        if _is_hopeless(ports, owed.mail):
            await _settle(ports, owed, MailStatus.GIVEN_UP, failed.reason)
            return
        await _settle(ports, owed, MailStatus.PENDING, failed.reason)
        raise RetryLater("the mail was not taken", after_s=wait_s(owed.mail.attempts + 1)) from None
    else:
        await _settle(ports, owed, MailStatus.SENT, None)


def wait_s(tries: int) -> float:
    """How long to wait after that many tries: from five seconds to an hour."""
    return float(_WAITS_S[min(max(tries, 1), len(_WAITS_S)) - 1])


def _is_hopeless(ports: MailPorts, mail: Mail) -> bool:
    is_old = ports.clock.now() - mail.created_at >= GIVE_UP_AFTER
    return is_old and mail.attempts + 1 >= FEWEST_TRIES


def _open(vault: Vault, mail: Mail) -> Mapping[str, Any]:
    if mail.data_encrypted is None:
        raise SealBroken
    data: Mapping[str, Any] = load_json(vault.open(mail.data_encrypted))
    return data


async def _send(ports: MailPorts, mailer: Mailer, owed: Owed, data: Mapping[str, Any]) -> None:
    composed = compose(
        ports.renderer,
        environment=owed.environment,
        brand_name=owed.brand_name,
        mail_id=owed.mail.id,
        kind=MailKind(owed.mail.kind),
        recipient=owed.mail.recipient,
        locale=owed.mail.locale,
        data=data,
        sender_default=mailer.sender,
        now=ports.clock.now(),
    )
    await mailer.send(composed.message, sender=composed.sender, recipient=owed.mail.recipient)


async def _settle(ports: MailPorts, owed: Owed, status: MailStatus, error: str | None) -> None:
    """What has happened is written down even where the worker is told to stop just now."""
    writing = asyncio.ensure_future(
        ports.database.write(
            queries.settle,
            owed.mail.id,
            status=status,
            sent_at=ports.clock.now() if status is MailStatus.SENT else None,
            error=error,
        )
    )
    await asyncio.shield(writing)
    _log.info("mail.settled", mail=owed.mail.id, kind=owed.mail.kind, status=str(status))
