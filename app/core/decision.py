"""What a command leads to: the new state, the changes to be made, what merchants are told; and how walks end. Pure."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.core.answers import Mistake
from app.core.billing import Change
from app.core.calendar import iso
from app.core.direct import Canceled
from app.core.events import Event, EventType, ending_event
from app.core.state import OfferRecord, Outcome, Pending, Phase, SessionState
from app.core.world import Walk


@dataclass(frozen=True, slots=True)
class NewEffect:
    """A change to be carried out. The id is derived, so that the same decision, taken twice, makes the same one."""

    effect_id: str
    change: Change
    subscription_id: str | None
    decision_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a command led to. With mistakes, nothing has changed. `withdrawn` names an effect that is no longer wanted
    if it has not been sent yet. `considered` says, place by place, why each rule came out as it did."""

    state: SessionState
    effects: tuple[NewEffect, ...] = ()
    events: tuple[Event, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    withdrawn: str | None = None
    considered: dict[str, Any] = field(default_factory=dict)


def start(
    walk: Walk,
    state: SessionState,
    *,
    change: Change,
    outcome: Outcome,
    decision_id: str | None = None,
    events: tuple[Event, ...] = (),
) -> Decision:
    """Ask for a change at the provider and wait for it."""
    effect_id = derived_id("eff", walk.session_id, str(state.effects_made))
    if record := state.offer(decision_id):
        state = with_offer(state, record, effect_id=effect_id)
    pending = Pending(
        effect_id=effect_id,
        change=change,
        outcome=outcome,
        requested_at=walk.now,
        decision_id=decision_id,
        came_from=state.phase,
    )
    working = state.model_copy(
        update={
            "phase": Phase.WORKING,
            "pending": pending,
            "outcome": None,
            "finished_at": None,
            "effects_made": state.effects_made + 1,
        }
    )
    effect = NewEffect(effect_id, change, state.subscription_id, decision_id)
    return Decision(working, effects=(effect,), events=events)


def finish(walk: Walk, state: SessionState, outcome: Outcome, *, before: tuple[Event, ...] = ()) -> Decision:
    """End the walk, and tell of it after the events `before`."""
    is_canceled = outcome is Outcome.CANCELED
    done = state.model_copy(
        update={
            "phase": Phase.FINISHED,
            "outcome": outcome,
            "finished_at": walk.now,
            "canceled_at": walk.now if is_canceled else state.canceled_at,
            "pending": None,
            "trouble": None,
        }
    )
    events = [*before]
    if is_canceled:
        ends_at = _end_of(walk, done)
        events.append(
            ending(EventType.CANCELLATION_CONFIRMED, done, outcome, endsAt=ends_at and iso(ends_at))
        )
    events.append(ending(EventType.SESSION_COMPLETED, done, outcome))
    return Decision(done, events=tuple(events))


def ask_merchant(
    walk: Walk, state: SessionState, reasons: tuple[str, ...], *, before: tuple[Event, ...] = ()
) -> Decision:
    """Record a cancellation that a person has to carry out; never said to be done."""
    state = state.model_copy(update={"manual_reasons": reasons})
    outcome = Outcome.MANUAL_CANCELLATION_REQUESTED
    required = ending(EventType.CANCELLATION_MANUAL_REQUIRED, state, outcome, blockers=list(reasons))
    return finish(walk, state, outcome, before=(*before, required))


def ending(type: EventType, state: SessionState, outcome: Outcome, **more: Any) -> Event:
    """What merchants are told of a session that comes to `outcome`, or is on its way there."""
    said = state.reason_answer
    return ending_event(
        type,
        outcome=str(outcome),
        subscription_id=state.subscription_id,
        reason=said.reason if said else None,
        follow_up=said.follow_up if said else None,
        feedback=state.feedback,
        used_exit=state.used_exit,
        more=more,
    )


def with_offer(state: SessionState, record: OfferRecord, **changes: Any) -> SessionState:
    """The state with that offer's record changed."""
    changed = tuple(
        o.model_copy(update=changes) if o.decision_id == record.decision_id else o for o in state.offers
    )
    return state.model_copy(update={"offers": changed})


def derived_id(prefix: str, *parts: str) -> str:
    return f"{prefix}_{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:24]}"


def _end_of(walk: Walk, state: SessionState) -> datetime | None:
    """When the canceled subscription ends, as the provider has it."""
    subscription = walk.world.find_subscription(state.subscription_id)
    if subscription is None:
        return None
    status = subscription.status
    return status.canceled_at if isinstance(status, Canceled) else subscription.end
