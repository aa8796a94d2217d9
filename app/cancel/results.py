"""Draws what is under way and what came of it: of an offer what was promised, of a cancellation what is so."""

from datetime import timedelta
from typing import Final, cast

from app.cancel import screens as sc
from app.cancel.canvas import Drawing
from app.cancel.cards import onward
from app.cancel.words import ResultKind
from app.core.billing import Cancel, Capability
from app.core.session import can_undo_cancel
from app.core.state import Outcome
from app.core.summary import WITHOUT_OFFER, plan_of, reference_of, summary_of, taken_offer

# How long a change may take before the page says that it takes longer.
PATIENCE: Final = timedelta(seconds=8)


def draw_working(drawing: Drawing) -> sc.Screen:
    """A cancellation that takes long is told as what it is: received, and ours to finish."""
    pending = drawing.state.pending
    if pending is None:
        raise ValueError("what is worked on is known")
    is_late = drawing.walk.now - pending.requested_at >= PATIENCE
    if isinstance(pending.change, Cancel) and is_late:
        facts = sc.Facts(
            plan=plan_of(drawing.subscription),
            requested_at=pending.requested_at,
            reference=reference_of(drawing.walk.session_id),
        )
        words = drawing.wording.result("canceled_requested", facts)
        return sc.Result(
            words.title,
            words.lead,
            "waiting",
            facts,
            return_link=drawing.return_link,
            proof=drawing.proof,
        )
    return sc.Working(drawing.t("working.title"), pending.change.type)


def draw_trouble(drawing: Drawing) -> sc.Screen:
    trouble = drawing.state.trouble
    if trouble is None:
        raise ValueError("trouble has a reason")
    return sc.Trouble(
        title=drawing.t("trouble.title"),
        reason=trouble.message,
        decision=trouble.decision_id,
        can_retry=trouble.can_retry,
        way_on="cancel" if trouble.decision_id else "back",
    )


def draw_result(drawing: Drawing) -> sc.Screen:
    state, subscription = drawing.state, drawing.subscription
    outcome = state.outcome
    if outcome is None:
        raise ValueError("a finished session has an outcome")
    taken = taken_offer(state) if outcome not in WITHOUT_OFFER else None
    shown = taken.shown if taken else None
    facts = summary_of(drawing.walk, state, outcome, taken)
    kind: ResultKind = cast("ResultKind", str(outcome))
    if outcome is Outcome.CANCELED and not (
        subscription and subscription.is_scheduled_to_end(drawing.walk.now)
    ):
        kind = "canceled_now"
    if outcome is Outcome.PAUSE_ACCEPTED and facts.renews_at is not None:
        kind = "pause_of_paid_time"
    words = drawing.wording.result(kind, facts)
    waiting = outcome is Outcome.MANUAL_CANCELLATION_REQUESTED
    plain = outcome in (Outcome.KEPT, Outcome.SUPPORT_REQUESTED, Outcome.REDIRECTED)
    return sc.Result(
        title=words.title,
        lead=words.lead,
        tone="waiting" if waiting else "plain" if plain else "done",
        facts=facts,
        onward=onward(drawing, shown) if shown is not None and not shown.has_change else None,
        return_link=drawing.return_link,
        proof=drawing.proof,
        can_uncancel=can_undo_cancel(drawing.walk, state)
        and Capability.UNCANCEL in drawing.walk.world.capabilities,
    )
