"""Takes what is personal out of rows, in the caller's transaction. Decides neither whose nor when.

Sessions, their offers and their changes stay as counts and outcomes; receipts, mails, codes, events and what was
delivered of them go. Done twice it changes nothing.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from app.connections.health import SILENCE
from app.core.erasure import NOBODY, erased_columns, erased_record, erased_state
from app.core.events import EventType, ending_event
from app.core.request_reasons import own_reasons
from app.core.state import Outcome, Phase, SessionState
from app.core.world import Walk
from app.db.tables.connections import Connection
from app.db.tables.effects import Effect
from app.db.tables.events import EventRow
from app.db.tables.links import CancelLink, IdempotencyRecord
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.db.tables.receipts import Receipt
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession, SessionOffer
from app.db.tables.verifications import Verification
from app.db.tables.webhooks import WebhookAttempt, WebhookDelivery
from app.flows import service as flows
from app.privacy import finding
from app.privacy.finding import MOST_NAMED
from app.sessions import queries as sessions
from app.sessions.recording import keep_record, world_of
from app.webhooks import service as webhooks

Counts = Counter[str]
ANSWERS_ARE_GONE: Final = timedelta(days=2)  # those kept for an `Idempotency-Key`: they live for one


@dataclass(frozen=True, slots=True)
class Measure:
    """How much is taken. `keeps_reason`: the reason that was picked from a list stays, for the merchant's counts."""

    now: datetime
    keeps_reason: bool = False


def erase_session(db: Session, session_id: str, measure: Measure) -> Counts | None:
    """Take the customer out of a session and out of all that hangs on it; one that goes on is ended first.

    None, and nothing is touched, while a change that it asked for is still being made: to cancel comes before to
    forget.
    """
    row = sessions.lock_session(db, session_id)
    if row is None:
        return Counter()
    db.refresh(row)
    about = finding.about_session(db, row)
    if any(effect.status == "pending" for effect in about.effects):
        return None
    verification = db.get(Verification, row.verification_id) if row.verification_id else None
    is_ended_now = row.outcome is None or row.closed_at is None
    if is_ended_now:
        row.outcome, row.closed_at = Outcome.DISMISSED, measure.now
    if db.get(SessionRecord, row.id) is None:
        _count_session(db, row, measure.now)
    _bare_session(row, measure)
    db.flush()
    counts: Counts = Counter(sessions=1)
    counts["offers"] = _bare_offers(db, about.offers)
    counts["changes"] = _bare_effects(db, about.effects)
    for request in about.requests:
        counts += erase_request(db, request, measure)
    counts += _delete_receipts(db, about.receipts)
    counts += delete_mails(db, about.mails)
    counts += delete_events(db, [event.id for event in about.events])
    _drop_jobs(db, [row.id, *(effect.id for effect in about.effects)])
    if verification is not None:
        counts += delete_verifications(db, [verification])
    _bare_record(db, row.id, measure)
    if is_ended_now:
        _tell_end(db, row, measure.now)
    return counts


def erase_link(db: Session, link: CancelLink, measure: Measure) -> Counts:
    """Take the customer out of a link; it leads nowhere from now on."""
    events = finding.events_of_link(db, link)
    counts = delete_events(db, [event.id for event in events])
    link.customer_id = NOBODY
    link.subscription_id = link.return_url = link.browser_sha256 = link.email_key = None
    link.attributes = {}
    link.direct_customer = link.direct_subscriptions = None
    link.revoked_at = link.revoked_at or measure.now
    db.flush()
    if measure.now - link.created_at < ANSWERS_ARE_GONE:
        # The answer that is kept for an `Idempotency-Key` was written with the link, at the same moment.
        answers = delete(IdempotencyRecord).where(
            col(IdempotencyRecord.app_id) == link.app_id, col(IdempotencyRecord.created_at) == link.created_at
        )
        db.connection().execute(answers)
    counts["links"] += 1
    return counts


def erase_request(db: Session, request: CancellationRequest, measure: Measure) -> Counts:
    """Take whoever left a request out of it. It is closed with that: nobody could carry it out any more."""
    counts: Counts = Counter(requests=1)
    if request.closed_at is None:
        counts["openRequests"] += 1
    counts += _delete_receipts(db, finding.receipts_of_request(db, request.id))
    counts += delete_mails(db, finding.mails_about(db, [request.id]))
    if request.session_id is None:
        counts += delete_events(db, [event.id for event in finding.events_of_request(db, request)])
    request.customer_id = request.subscription_id = None
    request.address = request.address_key = request.note = None
    request.reasons = list(own_reasons(request.reasons))
    request.closed_at = request.closed_at or measure.now
    db.flush()
    _drop_jobs(db, [request.id])
    return counts


def erase_record(db: Session, session_id: str, measure: Measure) -> None:
    """For a record whose session's own rows are gone."""
    _bare_record(db, session_id, measure)


def delete_verifications(db: Session, rows: Sequence[Verification]) -> Counts:
    ids = [row.id for row in rows]
    counts = delete_mails(db, finding.mails_about(db, ids))
    _drop_jobs(db, ids)
    counts["verifications"] += _delete(db, Verification, col(Verification.id), ids)
    return counts


def delete_mails(db: Session, mails: Sequence[Mail]) -> Counts:
    """One that is owed is not sent any more."""
    ids = [mail.id for mail in mails]
    _drop_jobs(db, ids)
    return _counted("mails", _delete(db, Mail, col(Mail.id), ids))


def delete_events(db: Session, event_ids: Sequence[str]) -> Counts:
    """Events, what endpoints are owed of them, and what was kept of each try."""
    counts: Counts = Counter()
    for some in _bites(event_ids):
        # Held first: whoever writes down a try that has just ended does it before us, or finds no delivery any more.
        owed = (
            select(WebhookDelivery.id)
            .where(col(WebhookDelivery.event_id).in_(some))
            .order_by(
                col(WebhookDelivery.endpoint_id), col(WebhookDelivery.id)
            )  # as app/webhooks/writing.py does
            .with_for_update()
        )
        deliveries = list(db.exec(owed).all())
        _delete(db, WebhookAttempt, col(WebhookAttempt.delivery_id), deliveries)
        counts += _counted("deliveries", _delete(db, WebhookDelivery, col(WebhookDelivery.id), deliveries))
        counts += _counted("events", _delete(db, EventRow, col(EventRow.id), some))
    return counts


def forget_failures(db: Session, app_ids: Collection[str]) -> None:
    """Drop what billing systems said when they last failed: it may be about anybody, and nobody can tell about whom.

    When that was, and how often, stays; so does SILENCE, which is said by us, and read.
    """
    said = update(Connection).where(
        col(Connection.app_id).in_(app_ids),
        col(Connection.last_error).is_not(None),
        col(Connection.last_error) != SILENCE,
    )
    db.connection().execute(said.values(last_error=None))


def _count_session(db: Session, row: CancelSession, now: datetime) -> None:
    """Give a session the record that it has not had yet: it counts. What is personal in it goes with the rest."""
    state = SessionState.model_validate({**row.state, "views": row.steps_viewed})
    walk = Walk(row.id, flows.load(db, row.flow_version_id), world_of(row), now)
    keep_record(db, row, walk, state, Outcome(row.outcome or Outcome.DISMISSED), row.closed_at or now)


# --- Row by row -------------------------------------------------------------------------------------------------------


def _bare_session(row: CancelSession, measure: Measure) -> None:
    row.phase = Phase.FINISHED
    ended = {"phase": str(Phase.FINISHED), "outcome": row.outcome, "finished_at": row.closed_at}
    row.state = erased_state({**row.state, **ended}, keeps_reason=measure.keeps_reason)
    row.customer_id = NOBODY
    row.subscription_id = row.recipient = row.recipient_key = row.email_key = None
    row.time_zone = row.browser_sha256 = row.return_url = None
    row.verification_id = row.receipt_id = None
    row.opening_by = row.opening_until = None
    row.data_call_reason = None
    row.explanations = []
    row.snapshot = {}
    row.erased_at = row.erased_at or measure.now


def _bare_offers(db: Session, offers: Sequence[SessionOffer]) -> int:
    for offer in offers:
        offer.customer_id, offer.subscription_id, offer.shown = NOBODY, None, {}
    db.flush()
    return len(offers)


def _bare_effects(db: Session, effects: Sequence[Effect]) -> int:
    """`change` names its type alone: what a pause or a coupon was is the customer's affair."""
    for effect in effects:
        effect.customer_id, effect.subscription_id = NOBODY, None
        effect.change, effect.shown = {"type": effect.type}, None
        effect.reference = effect.last_error = effect.failed_reason = None
    db.flush()
    return len(effects)


def _bare_record(db: Session, session_id: str, measure: Measure) -> None:
    record = db.get(SessionRecord, session_id, with_for_update=True)
    if record is None:
        return
    record.record = erased_record(record.record, keeps_reason=measure.keeps_reason, now=measure.now)
    for name, value in erased_columns(keeps_reason=measure.keeps_reason).items():
        setattr(record, name, value)
    record.updated_at = measure.now
    db.flush()


def _delete_receipts(db: Session, receipts: Sequence[Receipt]) -> Counts:
    """With the mails they went out by. Whoever still has the address of one is told that it was erased."""
    ids = [receipt.id for receipt in receipts]
    counts = delete_mails(db, finding.mails_about(db, ids))
    _drop_jobs(db, ids)
    counts["receipts"] += _delete(db, Receipt, col(Receipt.id), ids)
    return counts


def _tell_end(db: Session, row: CancelSession, now: datetime) -> None:
    """Whoever was told that it began is told that it is over, and nothing else."""
    over = ending_event(
        EventType.SESSION_COMPLETED,
        outcome=Outcome.DISMISSED,
        subscription_id=None,
        reason=None,
        follow_up=None,
        feedback=None,
        used_exit=False,
    )
    row.event_count = webhooks.emit(
        db, app_id=row.app_id, session_id=row.id, events=[over], after=row.event_count, now=now
    )
    db.flush()


def _drop_jobs(db: Session, subject_ids: Collection[str]) -> None:
    _delete(db, OutboxJob, col(OutboxJob.subject_id), list(subject_ids))


def _delete(db: Session, table: Any, column: Any, ids: Sequence[str]) -> int:
    """Past the ORM; its copies of these rows are let go of."""
    count = 0
    for some in _bites(ids):
        gone = db.connection().execute(delete(table).where(column.in_(some)))
        count += gone.rowcount
    return count


def _bites(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[begin : begin + MOST_NAMED] for begin in range(0, len(ids), MOST_NAMED)]


def _counted(name: str, count: int) -> Counts:
    return Counter({name: count} if count else {})
