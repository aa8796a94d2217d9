"""Begins, advances, settles and closes sessions: one unit of work each, in which the walk's decision becomes rows.

Talks to no network; opening.py and carrying.py do that between these units.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from app.accounts import service as accounts
from app.adapters.addresses import BadUrl
from app.adapters.vault import SealBroken, Vault
from app.core.answers import Mistake
from app.core.billing import dump_change
from app.core.commands import Command, Settle
from app.core.errors import NotFound
from app.core.events import EventType, session_started
from app.core.path import Path, find_path
from app.core.returning import signed_return_url
from app.core.session import (
    Decision,
    NewEffect,
    advance,
    ending,
    open_walk,
    resting_outcome,
)
from app.core.state import OfferRecord, OfferStatus, Phase, SessionState
from app.core.world import Walk, World, read_world
from app.db import outbox
from app.db.base import new_id
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.db.tables.links import CancelLink
from app.db.tables.sessions import CancelSession, SessionOffer
from app.effects import service as effects
from app.effects.service import Settlement
from app.flows import service as flows
from app.links import service as links
from app.links.origins import is_listed
from app.sessions import queries
from app.web.copy import customary
from app.webhooks import service as webhooks

EFFECT_JOB: Final = "effect"
IDLE_AFTER: Final = timedelta(minutes=60)
LIFE: Final = timedelta(hours=24)
OPENING_LEASE: Final = timedelta(seconds=10)
EFFECT_LEASE: Final = timedelta(seconds=15)
LANDING_TIME: Final = timedelta(
    seconds=30
)  # for so long, what was sent and then withdrawn may still come through
RELEVANT: Final = effects.GIVE_UP_AFTER + LIFE  # no change is pending in an older session
WAIT_FOR_OTHERS_S: Final = 2.0
WITHDRAWN: Final = "withdrawn"
CHANGED_SINCE_SHOWN: Final = "changed_since_shown"
TOO_LATE: Final = "provider_unavailable"
_SWEEP: Final = 100


class SessionNotYours(NotFound):
    """No such session, or another browser's: the same answer, so that neither can be told apart."""

    code = "session_not_yours"
    status = 403
    user_message = "This page belongs to another browser."


@dataclass(frozen=True, slots=True)
class Begun:
    """The browser's session; `opened` is its row where it is new and still has to be opened."""

    session_id: str
    opened: CancelSession | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a session stands, with all that a screen of it shows."""

    row: CancelSession
    environment: Environment
    brand_name: str
    walk: Walk
    state: SessionState
    path: Path | None

    @property
    def is_opening(self) -> bool:
        return self.state.phase is Phase.OPENING

    def moved_to(self, state: SessionState) -> "Standing":
        path = find_path(self.walk, state) if state.phase is Phase.WALKING else None
        return replace(self, state=state, path=path)


Reading = Callable[[Standing], Command]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a command led to: the new standing, what is to be put right, and the changes to try at once."""

    standing: Standing
    mistakes: tuple[Mistake, ...] = ()
    jobs: tuple[outbox.Job, ...] = ()


def begin(
    db: Session,
    *,
    token_sha256: str,
    browser_sha256: str,
    accept_language: str | None,
    holder: str,
    now: datetime,
) -> Begun:
    """Exchange a link for a session of this browser, in one transaction.

    A browser that exchanged the link before gets its session back, also after the link has expired. Raises
    links.LinkUnknown, and links.LinkNotUsable for everyone else once it is used up or over.
    """
    link = links.hold(db, token_sha256=token_sha256)
    known = find_of_link(db, link=link, browser_sha256=browser_sha256, now=now)
    if known is not None:
        return Begun(known)
    session_id = new_id("cs")
    links.exchange(db, link, session_id=session_id, browser_sha256=browser_sha256, now=now)
    environment = db.get_one(Environment, link.app_id)
    session = CancelSession(
        id=session_id,
        app_id=link.app_id,
        link_id=link.id,
        flow_version_id=flows.get_published_id(db, environment.organization_id),
        customer_id=link.customer_id,
        subscription_id=link.subscription_id,
        mode=environment.mode,
        browser_sha256=browser_sha256,
        phase=Phase.OPENING,
        locale=customary(requested=link.locale, accept_language=accept_language, default=environment.locale),
        return_url=link.return_url,
        created_at=now,
        last_seen_at=now,
        expires_at=now + LIFE,
        opening_by=holder,
        opening_until=now + OPENING_LEASE,
        data_call_claimed_at=now if environment.customer_data_url else None,
        state=SessionState().to_json(),
        # Named although they are the defaults: finding those out takes longer than all the rest.
        steps_viewed=[],
        explanations=[],
        facts={},
        snapshot={},
    )
    db.add(session)
    return Begun(session.id, opened=session)


def find_standing(db: Session, *, session_id: str, browser_sha256: str, now: datetime) -> Standing:
    """The session as it is now, for the browser it belongs to. Reads only. Raises SessionNotYours."""
    found = queries.find_owned(db, session_id)
    if found is None or found.session.browser_sha256 != browser_sha256:
        raise SessionNotYours
    return _standing(db, found, now)


def find_of_link(db: Session, *, link: CancelLink, browser_sha256: str, now: datetime) -> str | None:
    """The session that this browser already has by this link, unless the link opens another one by now."""
    known = queries.find_session_of_link(db, link_id=link.id, browser_sha256=browser_sha256)
    if known is None or (is_over(known, now) and not link.single_use):
        return None
    return known.id


def return_address(db: Session, vault: Vault, standing: Standing, now: datetime) -> str | None:
    """Where the session leads back to, with its result signed (DESIGN §2.12): a hint, the webhook is the truth.

    None without an address, and for one whose origin is no longer allowed.
    """
    row, environment = standing.row, standing.environment
    url = row.return_url or environment.return_url
    if url is None or not _is_allowed(url, environment.return_origins):
        return None
    if row.outcome is None:
        return url
    link = db.get(CancelLink, row.link_id) if row.link_id else None
    try:
        key = accounts.signing_key(
            db, vault, app_id=row.app_id, minted_with=link.api_key_id if link else None
        )
    except (accounts.NoActiveKey, SealBroken):  # unsigned it is less of a hint, and still the way back
        return url
    return signed_return_url(url, session_id=row.id, result=row.outcome, at=now, key=key)


def _is_allowed(url: str, origins: Sequence[str]) -> bool:
    """Read as it was when the link was minted: what two readers take for two origins is the way off the list."""
    try:
        return is_listed(url, origins)
    except BadUrl:
        return False


def is_over(row: CancelSession, now: datetime) -> bool:
    """Too long ago to go on: the browser's cookie has run out with it. A finished session's result stays as long."""
    return now >= row.expires_at


def is_idle(row: CancelSession, now: datetime) -> bool:
    """Left alone for an hour; it can be taken up again until it is over."""
    is_resting = row.phase not in (Phase.FINISHED, Phase.WORKING, Phase.OPENING)
    return is_resting and now - row.last_seen_at >= IDLE_AFTER


def submit(
    db: Session,
    *,
    session_id: str,
    browser_sha256: str,
    command: Command | Reading,
    holder: str,
    now: datetime,
    lease: timedelta = EFFECT_LEASE,
) -> Submitted:
    """Carry out a customer's command; takes a session that was left alone up again.

    `command` may also be how to read it from where the session is found to stand.
    State, offers, changes to be made and events are written together or not at all. The changes come back leased to
    `holder`, who tries them at once. Raises SessionNotYours.
    """
    found = queries.lock_owned(db, session_id)
    if found is None or found.session.browser_sha256 != browser_sha256:
        raise SessionNotYours
    row = found.session
    standing = _standing(db, found, now)
    if is_over(row, now):
        return Submitted(standing)
    _touch(row, now)
    decision = advance(standing.walk, standing.state, command(standing) if callable(command) else command)
    if decision.mistakes or decision.state is standing.state:
        return Submitted(standing, decision.mistakes)
    jobs = _record(db, row, standing.state, decision, holder=holder, now=now, lease=lease)
    return Submitted(standing.moved_to(decision.state), jobs=jobs)


def take_up(db: Session, *, session_id: str, browser_sha256: str, now: datetime) -> None:
    """Go on with a session that was left alone; answers are as they were. Raises SessionNotYours."""
    row = queries.lock_session(db, session_id)
    if row is None or row.browser_sha256 != browser_sha256:
        raise SessionNotYours
    if not is_over(row, now):
        _touch(row, now)


def open_with(
    db: Session, *, session_id: str, holder: str, world: World, subscription_id: str | None, now: datetime
) -> str | None:
    """Write down what a session is decided on, and its first screen. Returns which one that is; None if somebody else
    has opened it."""
    row = queries.lock_session(db, session_id)
    if row is None or row.phase != Phase.OPENING or row.opening_by != holder:
        return None
    row.snapshot = world.to_json()
    if world.customer is not None:
        row.customer_id = world.customer.id
    row.opened_at = row.last_seen_at = now
    row.opening_by = row.opening_until = None
    walk = Walk(row.id, flows.load(db, row.flow_version_id), world, now)
    decision = open_walk(walk, subscription_id=subscription_id)
    # Not what was asked for, where the customer has no such one.
    row.subscription_id = decision.state.subscription_id
    started = session_started(
        session_id=row.id,
        customer_id=row.customer_id,
        flow_version_id=row.flow_version_id,
        customer=world.customer,
        subscriptions=world.subscriptions,
    )
    decision = replace(decision, events=(started, *decision.events))
    _record(db, row, SessionState(), decision, holder=holder, now=now)
    return decision.state.views[-1].step


def claim_sending(
    db: Session,
    *,
    effect_id: str,
    subscription_id: str,
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
    under way, and where one was settled that is not among `settled_before`, which the caller's decision rests on.
    """
    effect = db.get_one(Effect, effect_id)
    relevant = now - RELEVANT
    queries.hold_customer(db, app_id=effect.app_id, customer_id=effect.customer_id, created_after=relevant)
    db.refresh(effect, with_for_update=True)
    if effect.status != "pending":
        raise outbox.RetryLater("somebody else has settled it", after_s=WAIT_FOR_OTHERS_S)
    may_have_been_sent = effect.attempts > 0
    if now - effect.requested_at > effects.GIVE_UP_AFTER:
        return TOO_LATE
    if effect.withdrawn_at is not None and (can_read_back or not may_have_been_sent):
        if may_have_been_sent and now - effect.withdrawn_at < LANDING_TIME:
            raise outbox.RetryLater("it was withdrawn, and may still come through", after_s=WAIT_FOR_OTHERS_S)
        return WITHDRAWN
    others = queries.list_other_changes(db, effect, created_after=relevant)
    if settled_now(others) != settled_before:
        raise outbox.RetryLater("another change has just been made", after_s=0)
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
        raise outbox.RetryLater("another change to this subscription is under way", after_s=WAIT_FOR_OTHERS_S)
    return frozenset(other.id for other in others if other.status == "applied")


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
    if job is not None:
        outbox.finish(db, job, holder)
    if settlement.subscription is not None:
        row.snapshot = read_world(row.snapshot).with_subscription(settlement.subscription).to_json()
    standing = _standing(db, queries.owned(db, row), now)
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
    _record(db, row, standing.state, decision, holder=holder, now=now)


def put_off(
    db: Session, *, effect_id: str, job: outbox.Job | None, holder: str, error: str, due_at: datetime
) -> None:
    """Note why a try did not get through; with `job`, give it back to the worker."""
    queries.note_error(db, effect_id, error[:500])
    if job is not None:
        outbox.retry(db, job, holder, due_at=due_at, error=error)


def close_idle(db: Session, *, now: datetime) -> int:
    """Close the sessions that were left alone for an hour, up to a hundred of them. Returns how many."""
    idle = queries.list_idle(db, seen_before=now - IDLE_AFTER, limit=_SWEEP)
    for row in idle:
        state = SessionState.model_validate(row.state)
        outcome = resting_outcome(state)
        row.closed_at = now
        row.outcome = outcome
        completed = ending(EventType.SESSION_COMPLETED, state, outcome)
        row.event_count = webhooks.emit(
            db, app_id=row.app_id, session_id=row.id, events=(completed,), after=row.event_count, now=now
        )
    return len(idle)


# --- From decisions to rows -----------------------------------------------------------------------------------------


def _record(
    db: Session,
    row: CancelSession,
    before: SessionState,
    decision: Decision,
    *,
    holder: str,
    now: datetime,
    lease: timedelta = EFFECT_LEASE,
) -> tuple[outbox.Job, ...]:
    state = decision.state
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


def _standing(db: Session, found: queries.Owned, now: datetime) -> Standing:
    row, environment, organization = found
    walk = Walk(row.id, flows.load(db, row.flow_version_id), _world_of(row), now)
    state = SessionState.model_validate({**row.state, "views": row.steps_viewed})
    path = find_path(walk, state) if state.phase is Phase.WALKING else None
    return Standing(row, environment, organization.name, walk, state, path)


def _world_of(row: CancelSession) -> World:
    return read_world(row.snapshot) if row.snapshot else World(mode=row.mode, locale=row.locale)


def _touch(row: CancelSession, now: datetime) -> None:
    """Somebody is here: a session that was closed for being left alone is open again. One that has finished stays
    finished, also while its cancellation is being undone."""
    row.last_seen_at = now
    if "finished_at" not in row.state:
        row.closed_at = None
        row.outcome = None
