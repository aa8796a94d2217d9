"""The moves of a walk: one function a command, each from a state to a decision. Pure.

Whether a command fits the phase has been asked before (TRANSITIONS); the screen it leads to is session.py's to find.
"""

from collections.abc import Callable
from typing import Any, Final

from app.core.answers import Mistake, mistakes_in, tidy, with_answer, with_draft
from app.core.billing import Cancel, Capability, Resume, Uncancel
from app.core.calendar import iso
from app.core.commands import (
    AcceptOffer,
    AnswerStep,
    CancelNow,
    ChooseSubscription,
    ConfirmCancel,
    DeclineOffer,
    GoOn,
    Keep,
    LookAgain,
    ResumeNow,
    Retry,
    Settle,
    UndoCancel,
)
from app.core.decision import Decision, ask_merchant, ending, finish, start, with_offer
from app.core.eligibility import automation_blockers
from app.core.events import Event, EventType, effect_event, offer_event
from app.core.flow import ConfirmStep, OfferKind
from app.core.path import find_path
from app.core.state import (
    OUTCOME_OF_OFFER,
    OfferRecord,
    OfferStatus,
    Outcome,
    Phase,
    SessionState,
    Trouble,
)
from app.core.world import Walk

_CHOOSE: Final = {OfferKind.PAUSE: "errors.option.pause", OfferKind.PLAN_CHANGE: "errors.option.plan"}
_CHOOSE_ONE: Final = "errors.option.missing"
MAX_CHANGES: Final = 20  # asked for in one session, whatever became of them; a cancellation is always taken

# --- Which subscription ---------------------------------------------------------------------------------------------


def enter(walk: Walk, state: SessionState, subscription_id: str) -> SessionState:
    """Begin the walk for one subscription, in the phase that its own state asks for."""
    state = state.model_copy(update={"subscription_id": subscription_id})
    subscription = walk.world.find_subscription(subscription_id)
    if subscription is not None and subscription.is_scheduled_to_end(walk.now):
        return state.model_copy(update={"phase": Phase.SCHEDULED})
    is_paused = subscription is not None and subscription.status.name == "paused"
    if is_paused and walk.world.history_of(subscription_id).paused_by_us:
        return state.model_copy(update={"phase": Phase.PAUSED})
    return walk_on(walk, state)


def walk_on(walk: Walk, state: SessionState) -> SessionState:
    """Take up the flow's steps, knowing why a person may have to carry the cancellation out."""
    subscription = walk.world.find_subscription(state.subscription_id)
    history = walk.world.history_of(state.subscription_id)
    reasons = automation_blockers(subscription, history, walk.now) if subscription else ()
    return state.model_copy(update={"phase": Phase.WALKING, "manual_reasons": tuple(str(r) for r in reasons)})


def _choose_subscription(walk: Walk, state: SessionState, command: ChooseSubscription) -> Decision:
    chosen = walk.world.find_subscription(command.subscription_id)
    if chosen is None or chosen.status.name == "canceled":
        return Decision(state, mistakes=(Mistake("subscription", "errors.subscription.missing"),))
    return Decision(enter(walk, state, chosen.id))


def _look_again(walk: Walk, state: SessionState, command: LookAgain) -> Decision:
    """Begin where the subscription now stands; what was answered and shown stays, and offers are checked once more
    before they are carried out anyway."""
    if state.subscription_id is None or state.has_taken_offer:
        return Decision(state)
    anew = enter(walk, state, state.subscription_id)
    if state.phase is Phase.WALKING and anew.phase is Phase.PAUSED:
        anew = walk_on(walk, state)  # they have gone past that screen
    return Decision(state if anew == state else anew)


# --- Steps and offers -----------------------------------------------------------------------------------------------


def _answer_step(walk: Walk, state: SessionState, command: AnswerStep) -> Decision:
    stop = find_path(walk, state).find(command.step)
    if stop is None or stop.kind in ("offer", "confirm"):
        return Decision(state)
    command = tidy(stop, command)
    mistakes = mistakes_in(walk, stop, command)
    if mistakes:
        return Decision(state, mistakes=mistakes)
    return Decision(with_answer(walk, state, stop, command))


def _accept_offer(walk: Walk, state: SessionState, command: AcceptOffer) -> Decision:
    record = _open_offer(walk, state, command.decision_id)
    if record is None:
        return Decision(state)
    outcome = OUTCOME_OF_OFFER[record.shown.kind]
    if not record.shown.has_change:
        taken = with_offer(state, record, status=OfferStatus.APPLIED, answered_at=walk.now)
        return finish(walk, taken, outcome, before=(told_of_offer(EventType.OFFER_ACCEPTED, record),))
    if not _may_ask(state):
        return Decision(state)
    option = record.shown.find_option(command.option_id)
    if option is None:
        return Decision(state, mistakes=(Mistake("option", _CHOOSE.get(record.shown.kind, _CHOOSE_ONE)),))
    return start(
        walk,
        with_offer(state, record, status=OfferStatus.ACCEPTED, option_id=option.id, answered_at=walk.now),
        change=option.change,
        outcome=outcome,
        decision_id=record.decision_id,
        events=(told_of_offer(EventType.OFFER_ACCEPTED, record, option.id),),
    )


def _decline_offer(walk: Walk, state: SessionState, command: DeclineOffer) -> Decision:
    if state.trouble is not None:
        is_meant = command.decision_id == (state.trouble.decision_id or "")
        return _go_on(walk, state, GoOn()) if is_meant else Decision(state)
    record = _open_offer(walk, state, command.decision_id)
    if record is None or record.status is OfferStatus.DECLINED:
        return Decision(state)
    return Decision(
        with_offer(state, record, status=OfferStatus.DECLINED, answered_at=walk.now),
        events=(told_of_offer(EventType.OFFER_DECLINED, record),),
    )


def _open_offer(walk: Walk, state: SessionState, decision_id: str) -> OfferRecord | None:
    """The offer of that decision, if it still stands on the customer's path; none once any offer has been taken."""
    if state.has_taken_offer:
        return None
    stops = find_path(walk, state).stops
    return next((s.record for s in stops if s.record and s.record.decision_id == decision_id), None)


def told_of_offer(type: EventType, record: OfferRecord, option_id: str | None = None) -> Event:
    return offer_event(
        type,
        decision_id=record.decision_id,
        offer_id=record.shown.offer_id,
        kind=str(record.shown.kind),
        placement=record.placement,
        option_id=option_id,
    )


# --- Leaving and staying --------------------------------------------------------------------------------------------


def can_cancel_now(state: SessionState) -> bool:
    """Whether the exit leads anywhere: not where the end is settled already, or being settled."""
    if state.phase in (Phase.WALKING, Phase.PAUSED):
        return True
    is_leaving = state.pending is not None and isinstance(state.pending.change, Cancel)
    return not is_leaving and state.standing in (Phase.WALKING, Phase.PAUSED)


def _cancel_now(walk: Walk, state: SessionState, command: CancelNow) -> Decision:
    if not can_cancel_now(state):
        return Decision(state)
    if command.draft is not None and state.phase is Phase.WALKING:
        state = with_draft(walk, state, command.draft)
    if state.standing is Phase.PAUSED:
        state = walk_on(walk, state)
    dropped = (state.pending,) if state.pending else ()
    return Decision(
        state.model_copy(
            update={
                "phase": Phase.WALKING,
                "used_exit": True,
                "trouble": None,
                "pending": None,
                "withdrawn": (*state.withdrawn, *dropped),
            }
        ),
        withdrawn=dropped[0].effect_id if dropped else None,
    )


def _confirm_cancel(walk: Walk, state: SessionState, command: ConfirmCancel) -> Decision:
    step = find_path(walk, state).current.step
    if not isinstance(step, ConfirmStep):
        return Decision(state)
    if step.acknowledge and not command.has_acknowledged:
        return Decision(state, mistakes=(Mistake("acknowledge", "errors.acknowledge.missing"),))
    if state.manual_reasons:
        return ask_merchant(walk, state, state.manual_reasons)
    subscription = walk.world.find_subscription(state.subscription_id)
    ends_at = walk.now if step.timing == "now" else (subscription.period_end if subscription else None)
    asked = ending(
        EventType.CANCELLATION_REQUESTED, state, Outcome.CANCELED, endsAt=iso(ends_at) if ends_at else None
    )
    change = Cancel(timing=step.timing, at=ends_at)
    return start(walk, state, change=change, outcome=Outcome.CANCELED, events=(asked,))


def _keep(walk: Walk, state: SessionState, command: Keep) -> Decision:
    if state.phase is Phase.CHOOSING and not walk.world.live_subscriptions():
        return Decision(state)
    if state.standing is Phase.FINISHED:
        return _go_on(walk, state, GoOn())
    return finish(walk, state, _what_stands(state) or Outcome.KEPT)


def resting_outcome(state: SessionState) -> Outcome:
    """What a session that was left alone counts as."""
    return state.outcome or _what_stands(state) or Outcome.DISMISSED


def _what_stands(state: SessionState) -> Outcome | None:
    """What is true whatever else the customer does: an offer that was applied, an end that is scheduled."""
    if state.standing is Phase.FINISHED:
        return Outcome.CANCELED  # the end was to be taken back, and was not
    if state.standing is Phase.SCHEDULED:
        return Outcome.CANCEL_ALREADY_SCHEDULED
    applied = next((o for o in state.offers if o.status is OfferStatus.APPLIED), None)
    return OUTCOME_OF_OFFER[applied.shown.kind] if applied else None


def _may_ask(state: SessionState) -> bool:
    """Whether one more change can be asked for: each is rows to keep and a call to make."""
    return state.effects_made < MAX_CHANGES


# --- Taking back ----------------------------------------------------------------------------------------------------


def can_undo_cancel(walk: Walk, state: SessionState) -> bool:
    """Whether *keep my subscription* is still possible: the end is scheduled, has not come, and can be taken back."""
    if state.phase is Phase.FINISHED and state.outcome is not Outcome.CANCELED:
        return False
    subscription = walk.world.find_subscription(state.subscription_id)
    is_scheduled = subscription is not None and subscription.is_scheduled_to_end(walk.now)
    return is_scheduled and Capability.UNCANCEL in walk.world.capabilities and _may_ask(state)


def _undo_cancel(walk: Walk, state: SessionState, command: UndoCancel) -> Decision:
    if not can_undo_cancel(walk, state):
        return Decision(state)
    return start(walk, state, change=Uncancel(), outcome=Outcome.UNCANCELED)


def _resume_now(walk: Walk, state: SessionState, command: ResumeNow) -> Decision:
    if Capability.RESUME not in walk.world.capabilities or not _may_ask(state):
        return Decision(state)
    return start(walk, state, change=Resume(), outcome=Outcome.RESUMED)


# --- What became of a change ----------------------------------------------------------------------------------------


def _settle(walk: Walk, state: SessionState, command: Settle) -> Decision:
    asked = state.unsettled(command.effect_id)
    if asked is None:
        return Decision(state)
    told = effect_event(
        effect_id=command.effect_id,
        is_applied=command.is_applied,
        change=asked.change,
        reference=command.reference,
        reason=command.reason or None,
    )
    if record := state.offer(asked.decision_id):
        status = OfferStatus.APPLIED if command.is_applied else OfferStatus.FAILED
        state = with_offer(state, record, status=status)
    if asked in state.withdrawn:
        left = tuple(p for p in state.withdrawn if p is not asked)
        return Decision(state.model_copy(update={"withdrawn": left}), events=(told,))
    state = state.model_copy(update={"pending": None})
    if command.is_applied:
        if state.subscription_id is None:
            state = state.model_copy(update={"subscription_id": command.subscription_id})
        return finish(walk, state, asked.outcome, before=(told,))
    if isinstance(asked.change, Cancel):
        return ask_merchant(walk, state, (command.reason or "not_made",), before=(told,))
    trouble = Trouble(
        change=asked.change,
        outcome=asked.outcome,
        reason=command.reason,
        message=command.message,
        decision_id=asked.decision_id,
        can_retry=command.can_retry and _may_ask(state),
        came_from=asked.came_from,
    )
    return Decision(state.model_copy(update={"phase": Phase.TROUBLE, "trouble": trouble}), events=(told,))


def _retry(walk: Walk, state: SessionState, command: Retry) -> Decision:
    trouble = state.trouble
    if trouble is None or not trouble.can_retry:
        return Decision(state)
    again = state.model_copy(update={"trouble": None, "phase": trouble.came_from})
    if record := state.offer(trouble.decision_id):
        again = with_offer(again, record, status=OfferStatus.ACCEPTED, answered_at=walk.now)
    return start(walk, again, change=trouble.change, outcome=trouble.outcome, decision_id=trouble.decision_id)


def _go_on(walk: Walk, state: SessionState, command: GoOn) -> Decision:
    if state.phase is Phase.PAUSED:
        return Decision(walk_on(walk, state))
    back = state.model_copy(update={"trouble": None, "phase": state.standing})
    if back.phase is Phase.FINISHED:
        still = {"outcome": Outcome.CANCELED, "finished_at": state.canceled_at}
        back = back.model_copy(update=still)
    return Decision(back)


MOVES: Final[dict[type, Callable[[Walk, SessionState, Any], Decision]]] = {
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
    LookAgain: _look_again,
}
