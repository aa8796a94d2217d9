"""Draws what is under way and what came of it: of an offer what was promised, of a cancellation what is so."""

from datetime import timedelta
from typing import Final, cast

from app.cancel import screens as sc
from app.cancel.canvas import Drawing, charge_of, plan_of, price_of, shown_price
from app.cancel.cards import onward
from app.cancel.words import ResultKind
from app.core.billing import Cancel, Capability, PlanChange
from app.core.offers import Option, ShownOffer
from app.core.renewals import next_renewal, price_at
from app.core.session import can_undo_cancel
from app.core.state import OfferStatus, Outcome

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
        return sc.Result(words.title, words.lead, "waiting", facts, return_link=drawing.return_link)
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
    taken = next((o for o in state.offers if o.status is OfferStatus.APPLIED), None)
    shown = taken.shown if taken and outcome not in _WITHOUT_OFFER else None
    facts = _result_facts(drawing, outcome, shown, taken.option_id if taken else None)
    kind: ResultKind = cast("ResultKind", str(outcome))
    if outcome is Outcome.CANCELED and not (
        subscription and subscription.is_scheduled_to_end(drawing.walk.now)
    ):
        kind = "canceled_now"
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
        can_uncancel=can_undo_cancel(drawing.walk, state)
        and Capability.UNCANCEL in drawing.walk.world.capabilities,
    )


_WITHOUT_OFFER: Final = frozenset(
    {
        Outcome.CANCELED,
        Outcome.KEPT,
        Outcome.UNCANCELED,
        Outcome.RESUMED,
        Outcome.MANUAL_CANCELLATION_REQUESTED,
        Outcome.CANCEL_ALREADY_SCHEDULED,
    }
)


def _result_facts(
    drawing: Drawing, outcome: Outcome, shown: ShownOffer | None, option_id: str | None
) -> sc.Facts:
    """What now holds: of an offer exactly what was promised, of a cancellation what the provider has."""
    state, subscription = drawing.state, drawing.subscription
    reference = reference_of(drawing.walk.session_id)
    plan, done_at = plan_of(subscription), state.finished_at
    if outcome in (Outcome.SUPPORT_REQUESTED, Outcome.REDIRECTED):
        return sc.Facts()
    if outcome is Outcome.MANUAL_CANCELLATION_REQUESTED:
        return sc.Facts(plan=plan, requested_at=done_at, reference=reference)
    if outcome in (Outcome.CANCELED, Outcome.CANCEL_ALREADY_SCHEDULED):
        ends_at = subscription.end if subscription else None
        return sc.Facts(plan=plan, ends_at=ends_at, done_at=done_at, reference=reference)
    if shown is not None:
        option = shown.find_option(option_id)
        return _promised(shown, option, plan, sc.Facts(done_at=done_at, reference=reference))
    next_at = next_renewal(subscription, drawing.walk.now) if subscription else None
    money = price_at(subscription, next_at) if subscription and next_at else None
    return sc.Facts(
        plan=plan,
        price=price_of(drawing, subscription),
        next_charge=sc.Charge(next_at, money) if next_at and money else None,
        done_at=done_at if outcome is not Outcome.KEPT else None,
        reference=reference if outcome is not Outcome.KEPT else None,
    )


def _promised(shown: ShownOffer, option: Option | None, plan: str | None, base: sc.Facts) -> sc.Facts:
    terms = shown.terms
    is_plan = option is not None and isinstance(option.change, PlanChange)
    new_price = (option.price if option and is_plan else None) or terms.price_after
    return sc.Facts(
        plan=None if is_plan else plan,
        new_plan=(option.name or option.id) if option and is_plan else None,
        price_before=shown_price(shown, terms.price_now) if new_price and terms.price_now else None,
        price=shown_price(shown, new_price) if new_price else None,
        next_charge=charge_of((option.next_charge if option else None) or terms.next_charge),
        back_to=charge_of(terms.back_to),
        resumes_at=option.resumes_at if option else None,
        trial_ends_at=terms.trial_ends_after,
        done_at=base.done_at,
        reference=base.reference,
    )


def reference_of(session_id: str) -> str:
    """What a customer can quote: short, made of the session's id, worth nothing by itself."""
    code = session_id.rpartition("_")[2].upper()[:8]
    return f"LW-{code[:4]}-{code[4:]}"
