"""sessions: what customers did, screen by screen, for support."""

from datetime import timedelta

import click

from app.accounts import service as accounts
from app.cli.console import Failed, customer, pairs, say, shown, table, workshop
from app.core.calendar import parse_moment
from app.core.explaining import explained
from app.core.state import SessionState
from app.db.tables.effects import Effect
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.receipts import Receipt
from app.db.tables.sessions import CancelSession, SessionOffer
from app.mail import queries as mail_queries
from app.manual import queries as manual_queries
from app.receipts import queries as receipts_queries
from app.sessions import queries


@click.group()
def sessions() -> None:
    """Cancel sessions: one customer's walk through the flow."""


@sessions.command("list")
@click.argument("app_id")
@click.option("--customer", "customer_id", help="Only this customer's.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
def list_(app_id: str, customer_id: str | None, limit: int) -> None:
    """The newest sessions."""
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        found = at.database.read_sync(
            queries.list_sessions, app_id=app_id, limit=limit, customer_id=customer_id
        )
    rows = [(one.id, one.outcome or one.phase, customer(one.customer_id), one.created_at) for one in found]
    table(("SESSION", "OUTCOME", "CUSTOMER", "BEGUN"), rows, "There are no sessions.")


@sessions.command()
@click.argument("session_id")
def show(session_id: str) -> None:
    """One session: screens with their times, offers, why each rule did or did not match, changes, outcome."""
    with workshop() as at:
        row = at.database.read_sync(queries.find_session, session_id)
        if row is None:
            raise Failed(
                f"There is no session {session_id}; `leavewell sessions list APP_ID` shows the newest."
            )
        offers = at.database.read_sync(queries.list_offers, session_id)
        effects = at.database.read_sync(queries.list_effects, session_id)
        receipts = at.database.read_sync(receipts_queries.list_of_session, session_id)
        requests = at.database.read_sync(manual_queries.list_of_session, session_id)
        subjects = [
            *(one.id for one in receipts),
            *(one.id for one in requests),
            *(one.id for one in effects),
            *([row.verification_id] if row.verification_id else []),
        ]
        mails = at.database.read_sync(mail_queries.list_about, app_id=row.app_id, subject_ids=subjects)
    _about(row)
    _answers(row)
    _screens(row)
    _offers(offers)
    _rules(row)
    _effects(effects)
    _receipts(receipts)
    _requests(requests)
    _mails(mails)


def _about(row: CancelSession) -> None:
    pairs(
        [
            ("session", row.id),
            ("outcome", row.outcome or f"none yet ({row.phase})"),
            ("customer", customer(row.customer_id)),
            ("subscription", row.subscription_id),
            ("came by", row.entry),
            ("environment", f"{row.app_id} ({row.mode})"),
            ("flow version", row.flow_version_id),
            ("begun", row.created_at),
            ("last seen", row.last_seen_at),
            ("closed", row.closed_at),
            ("customer data", row.data_call_reason or "nothing to note"),
        ]
    )


def _answers(row: CancelSession) -> None:
    state = SessionState.model_validate(row.state)
    given = [(step, answer) for step, answer in state.answers.items() if not answer.is_skipped]
    if not given:
        return
    _heading("Answers")
    for step, answer in given:
        said = [part for part in (answer.reason, answer.follow_up, answer.text) if part]
        say(f"  {step}: {' / '.join(said)}")
    if state.used_exit:
        say("  (left by Cancel now)")


def _screens(row: CancelSession) -> None:
    _heading("Screens")
    for view in row.steps_viewed:
        started_at = parse_moment(view["started_at"])
        ended = view.get("ended_at")
        took = _duration(parse_moment(ended) - started_at) if ended else "still there, or the last"
        say(f"  {started_at:%H:%M:%S}  {view['step']} ({view['kind']})  {took}")


def _offers(offers: list[SessionOffer]) -> None:
    if not offers:
        return
    _heading("Offers")
    for offer in offers:
        say(f"  {offer.offer_id} ({offer.kind}) at {offer.placement}: {offer.status}")
        for name, at in (
            ("presented", offer.presented_at),
            ("accepted", offer.accepted_at),
            ("declined", offer.declined_at),
            ("settled", offer.settled_at),
        ):
            if at is not None:
                say(f"    {name:<9}  {shown(at)}")


def _rules(row: CancelSession) -> None:
    if not row.explanations:
        return
    _heading("Rules")
    for entry in row.explanations:
        say(f"  {entry['at']}")
        for line in explained(entry["why"]):
            say(f"    {line}")


def _effects(effects: list[Effect]) -> None:
    if not effects:
        return
    _heading("Changes at the billing provider")
    for effect in effects:
        say(f"  {effect.type}: {effect.status}  {effect.id}")
        notes: list[tuple[str, object]] = [
            ("requested", effect.requested_at),
            ("applied", effect.applied_at),
            ("withdrawn", effect.withdrawn_at),
            ("reference", effect.reference),
            ("confirmed by", effect.confirmation),
            ("tries", effect.attempts),
            ("failed for", effect.failed_reason),
            ("last error", effect.last_error),
        ]
        pairs([(name, value) for name, value in notes if value], indent="    ")


def _receipts(receipts: list[Receipt]) -> None:
    if not receipts:
        return
    _heading("Receipts")
    for receipt in receipts:
        say(f"  {receipt.content['type']}: {receipt.status}  {receipt.id}  {shown(receipt.created_at)}")


def _requests(requests: list[CancellationRequest]) -> None:
    if not requests:
        return
    _heading("For a person to carry out")
    for request in requests:
        status = f"closed {shown(request.closed_at)}" if request.closed_at else "open"
        say(f"  {request.id}: {status}")


def _mails(mails: list[Mail]) -> None:
    if not mails:
        return
    _heading("Mails")
    for mail in mails:
        when = mail.sent_at or mail.created_at
        say(f"  {mail.kind} to {mail.recipient}: {mail.status}  {shown(when)}")
        if mail.last_error:
            say(f"    {mail.last_error}")


def _heading(text: str) -> None:
    say()
    say(text)


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min {seconds % 60} s"
