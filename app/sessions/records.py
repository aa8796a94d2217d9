"""Turns what a walk decided into rows: state, offers, changes to be made, events. All in the caller's transaction, so
that they are there together or not at all."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from app.core.billing import dump_change
from app.core.session import Decision, NewEffect
from app.core.state import OfferRecord, OfferStatus, SessionState
from app.core.world import Walk
from app.db import outbox
from app.db.tables.effects import Effect
from app.db.tables.sessions import CancelSession
from app.sessions import queries
from app.sessions.noticing import owe_notice
from app.sessions.proof import prove_end
from app.sessions.recording import keep_record
from app.webhooks import service as webhooks

EFFECT_JOB: Final = "effect"
EFFECT_LEASE: Final = timedelta(seconds=15)


def record(
    db: Session,
    row: CancelSession,
    walk: Walk,
    before: SessionState,
    decision: Decision,
    *,
    holder: str,
    lease: timedelta = EFFECT_LEASE,
) -> tuple[outbox.Job, ...]:
    """Write a decision down. Returns the changes that it asks for, leased to `holder`, who tries them at once."""
    state, now = decision.state, walk.now
    row.state = state.to_json()
    row.steps_viewed = row.state.pop("views")
    row.phase = state.phase
    if state.finished_at is not None:  # else it stays as the customer, or the lack of one, has left it
        row.outcome = state.outcome
        row.closed_at = state.finished_at
    row.subscription_id = state.subscription_id or row.subscription_id
    row.revision += 1
    _keep_explanations(row, decision.considered)
    known = {offer.decision_id: offer for offer in before.offers}
    for offer in state.offers:
        if known.get(offer.decision_id) != offer:
            _keep_offer(db, row, offer, is_new=offer.decision_id not in known, now=now)
    if decision.withdrawn:
        queries.withdraw(db, decision.withdrawn, now)
    jobs = tuple(_keep_effect(db, row, state, effect, holder, now, lease) for effect in decision.effects)
    row.event_count = webhooks.emit(
        db, app_id=row.app_id, session_id=row.id, events=decision.events, after=row.event_count, now=now
    )
    prove_end(db, row, walk, before, state)
    if state.finished_at is not None and state.outcome is not None:
        keep_record(db, row, walk, state, state.outcome, state.finished_at)
        if before.finished_at is None:
            owe_notice(db, row, now)
    return jobs


def _keep_offer(db: Session, row: CancelSession, offer: OfferRecord, *, is_new: bool, now: datetime) -> None:
    standing: dict[str, Any] = {"status": offer.status, "effect_id": offer.effect_id}
    match offer.status:
        case OfferStatus.DECLINED:
            standing["declined_at"] = offer.answered_at
        case OfferStatus.ACCEPTED:
            standing["accepted_at"] = offer.answered_at
        case OfferStatus.APPLIED:
            standing |= {"accepted_at": offer.answered_at, "settled_at": now}
        case OfferStatus.FAILED:
            standing["settled_at"] = now
        case OfferStatus.PRESENTED:
            pass
    if not is_new:
        queries.change_offer(db, offer.decision_id, standing)
        return
    shown = {
        "id": offer.decision_id,
        "session_id": row.id,
        "app_id": row.app_id,
        "customer_id": row.customer_id,
        "subscription_id": row.subscription_id,
        "offer_id": offer.shown.offer_id,
        "kind": offer.shown.kind,
        "placement": offer.placement,
        "presented_at": offer.presented_at,
        "shown": offer.shown.to_wire(),
    }
    queries.add_offer(db, {**shown, **standing})


def _keep_effect(
    db: Session,
    row: CancelSession,
    state: SessionState,
    new: NewEffect,
    holder: str,
    now: datetime,
    lease: timedelta,
) -> outbox.Job:
    """The change and the job that sees it through, born leased to who tries it at once."""
    offer = state.offer(new.decision_id)
    db.flush()  # the session row first: the effect refers to it
    db.add(
        Effect(
            id=new.effect_id,
            app_id=row.app_id,
            session_id=row.id,
            decision_id=new.decision_id,
            customer_id=row.customer_id,
            subscription_id=new.subscription_id,
            type=new.change.type,
            change=dump_change(new.change),
            shown=offer.shown.to_wire() if offer else None,
            requested_at=now,
        )
    )
    return outbox.enqueue(
        db,
        kind=EFFECT_JOB,
        subject_id=new.effect_id,
        due_at=now,
        locked_by=holder,
        locked_until=now + lease,
    )


def _keep_explanations(row: CancelSession, considered: dict[str, Any]) -> None:
    """Why each rule did or did not match, once for each place, as it was when it was last decided."""
    known = {entry["at"]: entry["why"] for entry in row.explanations}
    if any(known.get(at) != why for at, why in considered.items()):
        row.explanations = [{"at": at, "why": why} for at, why in {**known, **considered}.items()]
