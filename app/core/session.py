"""What each command does to a walk. Pure: the same command on the same state gives the same decision, ids included;
nothing here asks a clock, a database or a provider."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from app.core import offers
from app.core.answers import Mistake, mistakes_in, with_answer, with_draft
from app.core.billing import Cancel, Change, Resume, Uncancel
from app.core.commands import (
    TRANSITIONS,
    AcceptOffer,
    AnswerStep,
    CancelNow,
    ChooseSubscription,
    Command,
    ConfirmCancel,
    DeclineOffer,
    GoOn,
    Keep,
    ResumeNow,
    Retry,
    Settle,
    UndoCancel,
)
from app.core.eligibility import automation_blockers
from app.core.events import Event, EventType, effect_event, ending_event, offer_event
from app.core.flow import ConfirmStep
from app.core.path import Path, Stop, find_path
from app.core.state import (
    OUTCOME_OF_OFFER,
    OfferRecord,
    OfferStatus,
    Outcome,
    Pending,
    Phase,
    SessionState,
    Trouble,
    View,
)
from app.core.world import Walk

MAX_VIEWS: Final = 200

# --- Decisions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewEffect:
    """A change to be carried out. The id is derived, so that a second press makes the same one."""

    effect_id: str
    change: Change
    subscription_id: str | None
    decision_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a command led to. With mistakes, nothing has changed. `withdrawn` names an effect that is no longer wanted
    if it has not been sent yet."""

    state: SessionState
    effects: tuple[NewEffect, ...] = ()
    events: tuple[Event, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    withdrawn: str | None = None
    considered: dict[str, Any] = field(default_factory=dict)


def open_walk(walk: Walk, *, subscription_id: str | None) -> Decision:
    """The first decision of a session.

    `subscription_id` narrows it to one subscription; one that the customer does not have is ignored, and the customer
    asked. Without billing data (`world.is_verified` False) the walk goes on without offers.
    """
    world = walk.world
    live = world.live_subscriptions()
    state = SessionState(phase=Phase.CHOOSING)
    chosen = next((s.id for s in live if s.id == subscription_id), None)
    if chosen is None and len(live) == 1:
        chosen = live[0].id
    if chosen is not None:
        state = _enter(walk, state, chosen)
    elif not world.is_verified:
        state = state.model_copy(update={"phase": Phase.WALKING, "subscription_id": subscription_id})
    return _land(walk, SessionState(), state)


def advance(walk: Walk, state: SessionState, command: Command) -> Decision:
    """Carry out one command. A command that does not fit the phase changes nothing: the customer is simply shown where
    the session stands (stale tab, double click, back button)."""
    if type(command) not in TRANSITIONS[state.phase]:
        return Decision(state)
    decision: Decision = _HANDLERS[type(command)](walk, state, command)
    if decision.mistakes or decision.state is state:
        return decision
    landed = _land(walk, state, decision.state)
    return Decision(
        landed.state,
        effects=decision.effects,
        events=decision.events + landed.events,
        withdrawn=decision.withdrawn,
        considered=landed.considered,
    )


# --- Handlers: one a command ----------------------------------------------------------------------------------------


def _choose_subscription(walk: Walk, state: SessionState, command: ChooseSubscription) -> Decision:
    chosen = walk.world.find_subscription(command.subscription_id)
    if chosen is None or chosen.status.name == "canceled":
        return Decision(state, mistakes=(Mistake("subscription", "errors.subscription.missing"),))
    return Decision(_enter(walk, state, chosen.id))


def _answer_step(walk: Walk, state: SessionState, command: AnswerStep) -> Decision:
    path = find_path(walk, state)
    stop = path.find(command.step)
    if stop is None or stop.kind in ("offer", "confirm"):
        return Decision(state)
    mistakes = mistakes_in(walk, stop, path, command)
    if mistakes:
        return Decision(state, mistakes=mistakes)
    return Decision(with_answer(walk, state, command))


def _accept_offer(walk: Walk, state: SessionState, command: AcceptOffer) -> Decision:
    record = _reachable_offer(walk, state, command.decision_id)
    if record is None:
        return Decision(state)
    if not record.shown.has_change:
        outcome = OUTCOME_OF_OFFER[record.shown.kind]
        accepted = _with_offer(state, record, status=OfferStatus.APPLIED, answered_at=walk.now)
        return _finish(walk, accepted, outcome, before=(_offer_event(EventType.OFFER_ACCEPTED, record),))
    option = record.shown.find_option(command.option_id)
    if option is None:
        return Decision(state, mistakes=(Mistake("option", "errors.option.missing"),))
    return _start(
        walk,
        _with_offer(state, record, status=OfferStatus.ACCEPTED, option_id=option.id, answered_at=walk.now),
        change=option.change,
        outcome=OUTCOME_OF_OFFER[record.shown.kind],
        decision_id=record.decision_id,
        events=(_offer_event(EventType.OFFER_ACCEPTED, record, option.id),),
    )


def _decline_offer(walk: Walk, state: SessionState, command: DeclineOffer) -> Decision:
    if state.phase is Phase.TROUBLE:
        return _go_on(walk, state, GoOn())
    record = _reachable_offer(walk, state, command.decision_id)
    if record is None or record.status is OfferStatus.DECLINED:
        return Decision(state)
    return Decision(
        _with_offer(state, record, status=OfferStatus.DECLINED, answered_at=walk.now),
        events=(_offer_event(EventType.OFFER_DECLINED, record),),
    )


def _cancel_now(walk: Walk, state: SessionState, command: CancelNow) -> Decision:
    withdrawn: str | None = None
    if state.pending is not None:
        if state.pending.decision_id is None:
            return Decision(state)
        withdrawn = state.pending.effect_id
    elif command.draft is not None and state.phase is Phase.WALKING:
        state = with_draft(walk, state, command.draft)
    if state.phase is Phase.PAUSED:
        state = _walk_on(walk, state)
    return Decision(
        state.model_copy(
            update={"phase": Phase.WALKING, "used_exit": True, "trouble": None, "pending": None}
        ),
        withdrawn=withdrawn,
    )


def _confirm_cancel(walk: Walk, state: SessionState, command: ConfirmCancel) -> Decision:
    step = find_path(walk, state).current.step
    if not isinstance(step, ConfirmStep):
        return Decision(state)
    if step.acknowledge and not command.has_acknowledged:
        return Decision(state, mistakes=(Mistake("acknowledge", "errors.acknowledge.missing"),))
    if state.manual_reasons:
        return _ask_merchant(walk, state, state.manual_reasons)
    subscription = walk.world.find_subscription(state.subscription_id)
    ends_at = walk.now if step.timing == "now" else (subscription.period_end if subscription else None)
    return _start(
        walk,
        state,
        change=Cancel(timing=step.timing, at=ends_at),
        outcome=Outcome.CANCELED,
        events=(ending(EventType.CANCELLATION_REQUESTED, state, Outcome.CANCELED),),
    )


def _keep(walk: Walk, state: SessionState, command: Keep) -> Decision:
    if state.phase is Phase.CHOOSING and not walk.world.live_subscriptions():
        return Decision(state)
    is_ending = state.phase is Phase.SCHEDULED
    return _finish(walk, state, Outcome.CANCEL_ALREADY_SCHEDULED if is_ending else Outcome.KEPT)


def _undo_cancel(walk: Walk, state: SessionState, command: UndoCancel) -> Decision:
    if not can_undo_cancel(walk, state):
        return Decision(state)
    return _start(walk, state, change=Uncancel(), outcome=Outcome.UNCANCELED)


def _resume_now(walk: Walk, state: SessionState, command: ResumeNow) -> Decision:
    return _start(walk, state, change=Resume(), outcome=Outcome.RESUMED)


def _retry(walk: Walk, state: SessionState, command: Retry) -> Decision:
    trouble = state.trouble
    if trouble is None or not trouble.can_retry:
        return Decision(state)
    cleared = state.model_copy(update={"trouble": None, "phase": trouble.came_from})
    if record := state.offer(trouble.decision_id):
        option = record.shown.find_option(record.option_id)
        assert option is not None  # noqa: S101 - it was found when the offer was accepted
        return _start(
            walk,
            _with_offer(cleared, record, status=OfferStatus.ACCEPTED, answered_at=walk.now),
            change=option.change,
            outcome=trouble.outcome,
            decision_id=record.decision_id,
        )
    change = Resume() if trouble.outcome is Outcome.RESUMED else Uncancel()
    return _start(walk, cleared, change=change, outcome=trouble.outcome)


def _go_on(walk: Walk, state: SessionState, command: GoOn) -> Decision:
    if state.phase is Phase.PAUSED:
        return Decision(_walk_on(walk, state))
    assert state.trouble is not None, "only trouble and a pause can be left behind"  # noqa: S101 - phase invariant
    return Decision(state.model_copy(update={"trouble": None, "phase": state.trouble.came_from}))


def _settle(walk: Walk, state: SessionState, command: Settle) -> Decision:
    record = next((o for o in state.offers if o.effect_id == command.effect_id), None)
    if record is not None:
        status = OfferStatus.APPLIED if command.is_applied else OfferStatus.FAILED
        state = _with_offer(state, record, status=status)
    pending = state.pending
    told = effect_event(
        effect_id=command.effect_id,
        is_applied=command.is_applied,
        change=pending.change if pending and pending.effect_id == command.effect_id else None,
        reference=command.reference,
        reason=command.reason or None,
    )
    if pending is None or pending.effect_id != command.effect_id:
        return Decision(state, events=(told,))
    state = state.model_copy(update={"pending": None})
    if command.is_applied:
        if state.subscription_id is None:
            state = state.model_copy(update={"subscription_id": command.subscription_id})
        return _finish(walk, state, pending.outcome, before=(told,))
    if pending.outcome is Outcome.CANCELED:
        return _ask_merchant(walk, state, (command.reason,), before=(told,))
    trouble = Trouble(
        outcome=pending.outcome,
        reason=command.reason,
        message=command.message,
        decision_id=pending.decision_id,
        can_retry=command.can_retry,
        came_from=pending.came_from,
    )
    return Decision(state.model_copy(update={"phase": Phase.TROUBLE, "trouble": trouble}), events=(told,))


_HANDLERS: Final[dict[type, Any]] = {
    ChooseSubscription: _choose_subscription,
    AnswerStep: _answer_step,
    AcceptOffer: _accept_offer,
    DeclineOffer: _decline_offer,
    CancelNow: _cancel_now,
    ConfirmCancel: _confirm_cancel,
    Keep: _keep,
    UndoCancel: _undo_cancel,
    ResumeNow: _resume_now,
    Retry: _retry,
    GoOn: _go_on,
    Settle: _settle,
}


# --- Questions about a state ----------------------------------------------------------------------------------------


def can_undo_cancel(walk: Walk, state: SessionState) -> bool:
    """Whether *keep my subscription* is still possible: the end is scheduled and has not come."""
    if state.phase is Phase.FINISHED and state.outcome is not Outcome.CANCELED:
        return False
    subscription = walk.world.find_subscription(state.subscription_id)
    return subscription is not None and subscription.is_scheduled_to_end(walk.now)


def resting_outcome(state: SessionState) -> Outcome:
    """What a session that was left alone counts as."""
    applied = next((o for o in state.offers if o.status is OfferStatus.APPLIED), None)
    if applied is not None:
        return OUTCOME_OF_OFFER[applied.shown.kind]
    return Outcome.CANCEL_ALREADY_SCHEDULED if state.phase is Phase.SCHEDULED else Outcome.DISMISSED


def ending(type: EventType, state: SessionState, outcome: Outcome, **more: Any) -> Event:
    """What merchants are told of a session that comes to `outcome`, or is on its way there."""
    said = state.reason_answer
    return ending_event(
        type,
        outcome=str(outcome),
        subscription_id=state.subscription_id,
        reason=said.reason if said else None,
        follow_up=said.follow_up if said else None,
        feedback=next((a.text for a in state.answers.values() if a.text), None),
        used_exit=state.used_exit,
        more=more,
    )


# --- Parts ----------------------------------------------------------------------------------------------------------


def _enter(walk: Walk, state: SessionState, subscription_id: str) -> SessionState:
    """Begin the walk for one subscription, in the phase that its own state asks for."""
    state = state.model_copy(update={"subscription_id": subscription_id})
    subscription = walk.world.find_subscription(subscription_id)
    if subscription is not None and subscription.is_scheduled_to_end(walk.now):
        return state.model_copy(update={"phase": Phase.SCHEDULED})
    is_paused = subscription is not None and subscription.status.name == "paused"
    if is_paused and walk.world.history_of(subscription_id).paused_by_us:
        return state.model_copy(update={"phase": Phase.PAUSED})
    return _walk_on(walk, state)


def _walk_on(walk: Walk, state: SessionState) -> SessionState:
    subscription = walk.world.find_subscription(state.subscription_id)
    history = walk.world.history_of(state.subscription_id)
    reasons = automation_blockers(subscription, history, walk.now) if subscription else ()
    return state.model_copy(update={"phase": Phase.WALKING, "manual_reasons": tuple(str(r) for r in reasons)})


def _start(
    walk: Walk,
    state: SessionState,
    *,
    change: Change,
    outcome: Outcome,
    decision_id: str | None = None,
    events: tuple[Event, ...] = (),
) -> Decision:
    """Ask for a change at the provider and wait for it."""
    effect_id = _derive("eff", walk.session_id, str(state.effects_made))
    if record := state.offer(decision_id):
        state = _with_offer(state, record, effect_id=effect_id)
    pending = Pending(
        effect_id=effect_id,
        change=change,
        outcome=outcome,
        requested_at=walk.now,
        decision_id=decision_id,
        came_from=state.phase,
    )
    working = state.model_copy(
        update={"phase": Phase.WORKING, "pending": pending, "effects_made": state.effects_made + 1}
    )
    effect = NewEffect(effect_id, change, state.subscription_id, decision_id)
    return Decision(working, effects=(effect,), events=events)


def _finish(walk: Walk, state: SessionState, outcome: Outcome, *, before: tuple[Event, ...] = ()) -> Decision:
    done = state.model_copy(
        update={
            "phase": Phase.FINISHED,
            "outcome": outcome,
            "finished_at": walk.now,
            "pending": None,
            "trouble": None,
        }
    )
    events = [*before]
    if outcome is Outcome.CANCELED:
        events.append(ending(EventType.CANCELLATION_CONFIRMED, done, outcome))
    events.append(ending(EventType.SESSION_COMPLETED, done, outcome))
    return Decision(done, events=tuple(events))


def _ask_merchant(
    walk: Walk, state: SessionState, reasons: tuple[str, ...], *, before: tuple[Event, ...] = ()
) -> Decision:
    """Record a cancellation that a person has to carry out; never said to be done."""
    state = state.model_copy(update={"manual_reasons": reasons})
    outcome = Outcome.MANUAL_CANCELLATION_REQUESTED
    required = ending(EventType.CANCELLATION_MANUAL_REQUIRED, state, outcome, blockers=list(reasons))
    return _finish(walk, state, outcome, before=(*before, required))


def _land(walk: Walk, before: SessionState, state: SessionState) -> Decision:
    """Bring a changed state to the screen it now stands on: show the offer that is due, note what is seen."""
    events: tuple[Event, ...] = ()
    considered: dict[str, Any] = {}
    screen, kind = str(state.phase), str(state.phase)
    if state.phase is Phase.WALKING:
        path = find_path(walk, state)
        stop, considered = path.current, path.considered
        screen, kind = stop.id, stop.kind
        if stop.offer is not None:
            record = _present(walk, state, stop, path)
            state = state.model_copy(update={"offers": (*state.offers, record)})
            events = (_offer_event(EventType.OFFER_PRESENTED, record),)
    return Decision(_viewed(state, screen, kind, walk.now), events=events, considered=considered)


def _present(walk: Walk, state: SessionState, stop: Stop, path: Path) -> OfferRecord:
    assert stop.offer is not None  # noqa: S101 - the caller looked
    subscription = walk.world.find_subscription(state.subscription_id)
    assert subscription is not None  # noqa: S101 - an offer stop exists only with a subscription
    decision_id = _derive("dec", walk.session_id, stop.placement)
    shown = offers.present(
        stop.offer,
        decision_id=decision_id,
        placement=stop.placement,
        subscription=subscription,
        customer=walk.world.customer,
        catalog=walk.world.catalog,
        facts=path.facts,
        now=walk.now,
    )
    return OfferRecord(
        decision_id=decision_id,
        placement=stop.placement,
        shown=shown,
        status=OfferStatus.PRESENTED,
        presented_at=walk.now,
    )


def _viewed(state: SessionState, screen: str, kind: str, now: datetime) -> SessionState:
    views = state.views
    if views and views[-1].step == screen:
        return state
    if views:
        views = (*views[:-1], views[-1].model_copy(update={"ended_at": now}))
    views = (*views, View(step=screen, kind=kind, started_at=now))
    return state.model_copy(update={"views": views[-MAX_VIEWS:]})


def _reachable_offer(walk: Walk, state: SessionState, decision_id: str) -> OfferRecord | None:
    """The offer of that decision, if it still stands on the customer's path; none once any offer has been taken."""
    if any(o.status in (OfferStatus.ACCEPTED, OfferStatus.APPLIED) for o in state.offers):
        return None
    stops = find_path(walk, state).stops
    return next((s.record for s in stops if s.record and s.record.decision_id == decision_id), None)


def _with_offer(state: SessionState, record: OfferRecord, **changes: Any) -> SessionState:
    changed = tuple(
        o.model_copy(update=changes) if o.decision_id == record.decision_id else o for o in state.offers
    )
    return state.model_copy(update={"offers": changed})


def _offer_event(type: EventType, record: OfferRecord, option_id: str | None = None) -> Event:
    return offer_event(
        type,
        decision_id=record.decision_id,
        offer_id=record.shown.offer_id,
        kind=str(record.shown.kind),
        placement=record.placement,
        option_id=option_id,
    )


def _derive(prefix: str, *parts: str) -> str:
    return f"{prefix}_{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:24]}"
