"""Sends one owed mail and writes down what became of it. Composes by templates, and gives up after three days."""

from dataclasses import dataclass

from app.adapters.clock import Clock
from app.adapters.mail import Mailer
from app.adapters.vault import Vault
from app.db.database import Database
from app.db.outbox import Job, RetryLater
from app.web.render import Renderer


@dataclass(frozen=True, slots=True)
class MailPorts:
    """What sending mail needs of the process. Without a `mailer` mails wait until there is one."""

    database: Database
    clock: Clock
    vault: Vault
    mailer: Mailer | None
    renderer: Renderer


async def deliver(ports: MailPorts, job: Job) -> None:
    """The worker's handler. Raises RetryLater while the mail is still to be sent."""
    raise RetryLater("not written yet")
