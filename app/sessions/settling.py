"""What is written around the sending of a change: that it may have happened, what became of it, that it has to wait."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from app.core.commands import Settle
from app.core.session import advance
from app.core.world import read_world
from app.db import outbox
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.db.tables.sessions import SessionOffer
from app.effects import service as effects
from app.effects.service import Settlement
from app.sessions import queries, reminding
from app.sessions.proof import prove_failure, prove_request
from app.sessions.records import record
from app.sessions.service import LIFE, standing_of

# For so long, what was sent and then withdrawn may still come through.
LANDING_TIME: Final = timedelta(seconds=30)
RELEVANT: Final = effects.GIVE_UP_AFTER + LIFE  # no change is pending in an older session
WAIT_FOR_OTHERS_S: Final = 2.0
WITHDRAWN: Final = "withdrawn"
CHANGED_SINCE_SHOWN: Final = "changed_since_shown"
TOO_LATE: Final = "provider_unavailable"
NOT_VERIFIED: Final = "not_verified"


class Waits(outbox.RetryLater):
    """Nothing is wrong with the billing system: another change comes first."""


def claim_sending(
    db: Session,
    *,
    effect_id: str,
    subscription_id: str,
    sent_before: int,
    settled_before: frozenset[str],
    can_read_back: bool,
    now: datetime,
) -> str | None:
    """Write down that a change is about to be sent: once this commits, it may have happened. Returns why not to send.

    Changes to one subscription follow each other, whatever session or process they come from. What the customer has
    withdrawn is not sent; if it may have been sent before, it is seen through: read where that can be done, else asked
    for again, and what it then is, is on record. Nothing is taken back: the cancellation that follows ends the
    subscription with everything on it, and waits until this is settled. An offer that was shown before something else
    changed the subscription is not sent: its figures are no longer true. Raises RetryLater while another change is
    under way or may come through once more, and where the caller's decision no longer holds: this one was not sent
    `sent_before` times by now, or another was settled that is not among `settled_before`.
    """
    effect = db.get_one(Effect, effect_id)
    relevant = now - RELEVANT
    queries.hold_customer(db, app_id=effect.app_id, customer_id=effect.customer_id, created_after=relevant)
    db.refresh(effect, with_for_update=True)
    if effect.status != "pending":
        raise Waits("somebody else has settled it", after_s=WAIT_FOR_OTHERS_S)
    if effect.attempts != sent_before:  # a lease ran out under a process that lives
        raise Waits("somebody else has just sent it", after_s=WAIT_FOR_OTHERS_S)
    may_have_been_sent = effect.attempts > 0
    if now - effect.requested_at > effects.GIVE_UP_AFTER:
        return given_up(effect)
    if effect.withdrawn_at is not None and (can_read_back or not may_have_been_sent):
        if may_have_been_sent and now - effect.withdrawn_at < LANDING_TIME:
            raise Waits("it was withdrawn, and may still come through", after_s=WAIT_FOR_OTHERS_S)
        return WITHDRAWN
    others = queries.list_other_changes(db, effect, created_after=relevant)
    if settled_now(others) != settled_before:
        raise Waits("another change has just been made", after_s=0)
    if any(_may_still_land(other, now) for other in others):
        raise Waits("another change was sent twice, and may come through again", after_s=WAIT_FOR_OTHERS_S)
    if effect.decision_id is not None and not may_have_been_sent:
        shown_at = db.get_one(SessionOffer, effect.decision_id).presented_at
        if any(other.applied_at is not None and other.applied_at >= shown_at for other in others):
            return CHANGED_SINCE_SHOWN
    effect.subscription_id = subscription_id
    effect.attempts += 1
    return None


def settled_now(others: Sequence[Effect]) -> frozenset[str]:
    """Which of them were carried out. Raises RetryLater while one is under way."""
    if any(other.status == "pending" and other.attempts > 0 for other in others):
        raise Waits("another change to this subscription is under way", after_s=WAIT_FOR_OTHERS_S)
    return frozenset(other.id for other in others if other.status == "applied")


def was_taken(effect: Effect) -> bool:
    """Whether the provider said, at the last try, that it had made the change, and it did not show."""
    return effect.last_error == effects.NOT_VERIFIED


def given_up(effect: Effect) -> str:
    """Why a change that could not be made for so long is not made any more."""
    return NOT_VERIFIED if was_taken(effect) else TOO_LATE


def _may_still_land(other: Effect, now: datetime) -> bool:
    """Of a change that was sent more than once, one sending has made it; another may be on its way, and whoever has no
    idempotency keys would do it once more: cancel what was meanwhile to go on."""
    return other.attempts > 1 and other.applied_at is not None and now - other.applied_at < LANDING_TIME


def settle(
    db: Session, *, effect_id: str, job: outbox.Job | None, holder: str, settlement: Settlement, now: datetime
) -> None:
    """Write down what became of a change, and take its session on. A change that is settled already stays as it is.

    With `job` the outbox row is finished in the same transaction; without, the worker does it.
    """
    locked = queries.lock_effect_and_session(db, effect_id)
    if locked is None or locked[0].status != "pending":
        return
    effect, row = locked
    effect.status = "applied" if settlement.is_applied else "failed"
    effect.applied_at = now if settlement.is_applied else None
    effect.failed_reason = None if settlement.is_applied else settlement.reason
    effect.reference = settlement.reference
    effect.confirmation = settlement.confirmation
    if settlement.subscription is not None:
        effect.subscription_id = settlement.subscription.id
    if settlement.is_applied:
        reminding.owe(db, effect, db.get_one(Environment, effect.app_id), now)
    if job is not None:
        outbox.finish(db, job, holder)
    if settlement.subscription is not None:
        row.snapshot = read_world(row.snapshot).with_subscription(settlement.subscription).to_json()
    standing = standing_of(db, queries.owned(db, row), now)
    decision = advance(
        standing.walk,
        standing.state,
        Settle(
            effect_id=effect_id,
            is_applied=settlement.is_applied,
            reason=settlement.reason,
            message=settlement.message,
            can_retry=settlement.can_retry,
            subscription_id=settlement.subscription.id if settlement.subscription else None,
            reference=settlement.reference,
        ),
    )
    record(db, row, standing.walk, standing.state, decision, holder=holder)
    asked = standing.state.unsettled(effect_id)
    if asked is not None and not settlement.is_applied:
        prove_failure(db, row, standing.walk, standing.state, asked, reason=settlement.reason)


def put_off(
    db: Session,
    *,
    effect_id: str,
    job: outbox.Job | None,
    holder: str,
    error: str,
    due_at: datetime,
    waits: bool,
    now: datetime,
) -> None:
    """Note why a try did not get through; with `job`, give it back to the worker.

    Where it `waits` for nothing of ours, the customer gets it in writing that the change was asked for.
    """
    locked = queries.lock_effect_and_session(db, effect_id)  # first: as settle takes them
    queries.note_error(db, effect_id, error[:500])
    if job is not None:
        outbox.retry(db, job, holder, due_at=due_at, error=error)
    if waits or locked is None or locked[0].status != "pending":
        return
    row = locked[1]
    standing = standing_of(db, queries.owned(db, row), now)
    asked = standing.state.pending
    if asked is not None and asked.effect_id == effect_id:
        prove_request(db, row, standing.walk, standing.state, asked)
