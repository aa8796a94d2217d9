"""A session as a machine: it opens, a command advances it, and each time it stands on a screen. Pure: the same command
on the same state gives the same decision, ids included; nothing here asks a clock, a database or a provider."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from app.core import offers
from app.core.commands import TRANSITIONS, Command
from app.core.decision import Decision, NewEffect, derived_id, ending
from app.core.events import Event, EventType
from app.core.flow import Offer
from app.core.moves import (
    MOVES,
    can_cancel_now,
    can_undo_cancel,
    enter,
    resting_outcome,
    told_of_offer,
    walk_on,
)
from app.core.path import Stop, find_path
from app.core.state import OfferRecord, OfferStatus, Phase, SessionState, View
from app.core.world import Walk

__all__ = [
    "MAX_VIEWS",
    "Decision",
    "NewEffect",
    "advance",
    "can_cancel_now",
    "can_undo_cancel",
    "ending",
    "open_walk",
    "resting_outcome",
]

MAX_VIEWS: Final = 200


def open_walk(walk: Walk, *, subscription_id: str | None) -> Decision:
    """The first decision of a session.

    `subscription_id` narrows it to one subscription. If the customer does not have that one, or it is over, the
    customer is asked: nobody's other subscription is ended because a wrong one was named. Without billing data
    (`world.is_verified` False) the walk goes on without offers.
    """
    world = walk.world
    live = world.live_subscriptions()
    state = SessionState(phase=Phase.CHOOSING, opened_at=walk.now)
    if subscription_id is None and len(live) == 1:
        state = enter(walk, state, live[0].id)
    elif any(s.id == subscription_id for s in live):
        state = enter(walk, state, subscription_id or "")
    elif not world.is_verified:
        state = walk_on(walk, state.model_copy(update={"subscription_id": subscription_id}))
    return _land(walk, state)


def advance(walk: Walk, state: SessionState, command: Command) -> Decision:
    """Carry out one command. A command that does not fit the phase changes nothing: the customer is simply shown where
    the session stands (stale tab, double click, back button)."""
    if type(command) not in TRANSITIONS[state.phase]:
        return Decision(state)
    decision = MOVES[type(command)](walk, state, command)
    if decision.mistakes or decision.state is state:
        return decision
    landed = _land(walk, decision.state)
    return Decision(
        landed.state,
        effects=decision.effects,
        events=decision.events + landed.events,
        withdrawn=decision.withdrawn,
        considered=landed.considered,
    )


def _land(walk: Walk, state: SessionState) -> Decision:
    """Bring a changed state to the screen it now stands on: show the offer that is due, note what is seen."""
    if state.phase is not Phase.WALKING:
        return Decision(_viewed(state, str(state.phase), str(state.phase), walk.now))
    path = find_path(walk, state)
    stop = path.current
    events: tuple[Event, ...] = ()
    here = path
    if stop.offer is not None:
        record = _present(walk, state, stop, stop.offer)
        state = state.model_copy(update={"offers": (*state.offers, record)})
        events = (told_of_offer(EventType.OFFER_PRESENTED, record),)
        here = replace(path, current=replace(stop, offer=None, record=record))
    state = _viewed(state, stop.id, stop.kind, walk.now)
    walk.paths.append((state, here))  # what find_path would find again
    return Decision(state, events=events, considered=path.considered)


def _present(walk: Walk, state: SessionState, stop: Stop, offer: Offer) -> OfferRecord:
    subscription = walk.world.find_subscription(state.subscription_id)
    if subscription is None:
        raise ValueError("an offer is made only for a subscription")
    decision_id = derived_id("dec", walk.session_id, stop.placement)
    shown = offers.present(
        offer,
        decision_id=decision_id,
        placement=stop.placement,
        subscription=subscription,
        customer=walk.world.customer,
        catalog=walk.world.catalog,
        facts=stop.facts,
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
    update: dict[str, Any] = {"views": (*views, View(step=screen, kind=kind, started_at=now))[-MAX_VIEWS:]}
    return state.model_copy(update=update)
