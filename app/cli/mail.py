"""mail: what became of the mails of an environment, and whether its mail server takes any."""

import asyncio

import click
from sqlmodel import Session

from app.accounts import service as accounts
from app.adapters.mail import MailRefused, MailUnavailable
from app.cli.console import Failed, Workshop, pairs, remark, table, workshop
from app.db.base import new_id
from app.db.tables.accounts import Environment, Organization
from app.db.tables.mail import Mail
from app.mail import queries
from app.mail.composing import Composed, compose
from app.mail.kinds import MailKind, MailStatus
from app.main import make_ports
from app.setup.addresses import email_problem
from app.web.deps import Ports


@click.group()
def mail() -> None:
    """Codes, receipts and reminders that go out by mail."""


@mail.command("list")
@click.argument("app_id")
@click.option("--status", type=click.Choice([status.value for status in MailStatus]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--before", metavar="MAIL", help="Where to go on: the last mail of an earlier list.")
def list_(app_id: str, status: str | None, limit: int, before: str | None) -> None:
    """The newest mails, and why the mail server would not have one."""
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        last = _find(at, app_id, before) if before else None
        found = at.database.read_sync(
            queries.list_mails,
            app_id=app_id,
            limit=limit + 1,
            before=(last.created_at, last.id) if last else None,
            status=status,
        )
    page = found[:limit]
    rows = [
        (one.id, one.status, one.kind, one.recipient, one.created_at, one.attempts, one.last_error)
        for one in page
    ]
    table(("MAIL", "STATUS", "KIND", "TO", "MADE", "TRIES", "WHY NOT"), rows, "There are no mails.")
    if len(found) > len(page):
        remark(f"More: --before {page[-1].id}")


@mail.command()
@click.argument("app_id")
@click.argument("to")
def test(app_id: str, to: str) -> None:
    """Send one mail TO an address at once, and say what the mail server made of it."""
    with workshop() as at:
        if problem := email_problem(to):
            raise Failed(f"TO: {problem}")
        environment, brand = at.database.read_sync(_environment, app_id)
        ports = make_ports(at.settings, database=at.database)
        if ports.mailer is None:
            raise Failed(
                "SMTP_URL is not set, so no mail leaves. "
                "Write it like smtp://user:password@mail.example.com:587."
            )
        composed = compose(
            ports.renderer,
            environment=environment,
            brand_name=brand,
            mail_id=new_id("mail"),
            kind=MailKind.TEST,
            recipient=to,
            locale=environment.locale,
            data={},
            sender_default=ports.mailer.sender,
            now=at.now,
        )
        _send(ports, composed, to)
    remark(
        "The mail server took it. If it does not arrive, look at what the server did with it, and for spam."
    )
    pairs([(name, composed.message[name]) for name in ("From", "To", "Subject", "Message-ID")])


def _send(ports: Ports, composed: Composed, to: str) -> None:
    if ports.mailer is None:
        return
    try:
        asyncio.run(ports.mailer.send(composed.message, sender=composed.sender, recipient=to))
    except MailRefused as refused:
        raise Failed(refused.reason) from None
    except MailUnavailable as failed:
        hint = "Until SMTP_URL, the sender or the server is changed, no mail goes out."
        raise Failed(failed.reason, *([hint] if failed.needs_operator else [])) from None


def _environment(db: Session, app_id: str) -> tuple[Environment, str]:
    environment = accounts.get_environment(db, app_id)
    return environment, db.get_one(Organization, environment.organization_id).name


def _find(at: Workshop, app_id: str, mail_id: str) -> Mail:
    found = (
        at.database.read_sync(queries.find_mail, app_id=app_id, mail_id=mail_id)
        if mail_id.isprintable()
        else None
    )
    if found is None:
        raise Failed(f"There is no mail {mail_id} in this environment.")
    return found
