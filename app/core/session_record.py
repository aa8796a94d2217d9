"""The record of a session: what is told of it once it is closed, with the reference's names and ours beside them.

Pure. Everything it says was known when the session closed; a customer's name and phone are not in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.core.billing import Discount, Pause, PlanChange, TrialExtension
from app.core.calendar import iso, months_between
from app.core.direct import DirectCustomer, DirectSubscription, Paused, Trial
from app.core.email_address import address_key
from app.core.flow import FlowDefinition, OfferKind, Reason, SurveyStep, TextFollowUp
from app.core.regions import has_exit_everywhere
from app.core.renewals import next_renewal
from app.core.request_reasons import REASONS, own_reasons
from app.core.state import Answer, OfferRecord, OfferStatus, Outcome, SessionState, View
from app.core.world import Walk, World

ABANDON: Final = "ABANDON"
# The subscription ends, as far as the session goes, or is known to end.
CANCELED: Final = frozenset(
    {Outcome.CANCELED, Outcome.MANUAL_CANCELLATION_REQUESTED, Outcome.CANCEL_ALREADY_SCHEDULED}
)
TAKEN: Final = (OfferStatus.ACCEPTED, OfferStatus.APPLIED)
_STEP_TYPES: Final = {"survey": "SURVEY", "offer": "OFFER", "feedback": "FREEFORM", "confirm": "CONFIRM"}
_UNRECORDED: Final = frozenset({"finished", "working"})  # screens of ours, after the customer's last word
_COUPON_TYPES: Final = {"percent": "PERCENT", "amount": "AMOUNT"}


@dataclass(frozen=True, slots=True)
class EffectResult:
    """What became of one change at the billing system."""

    id: str
    type: str
    status: str
    decision_id: str | None
    reason: str | None
    reference: str | None
    requested_at: datetime
    applied_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": self.type,
            "status": self.status,
            "decisionId": self.decision_id,
            "reason": self.reason,
            "reference": self.reference,
            "requestedAt": iso(self.requested_at),
            "appliedAt": _iso(self.applied_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What is known of a closed session beside its walk. `recipient` is the address that the customer proved, if one
    was; `explanations` say which rules were considered, and how."""

    organization_id: str
    provider: str
    exit_policy: str
    customer_id: str
    recipient: str | None
    entry: str
    flow_version_id: str
    flow_version: int
    created_at: datetime
    closed_at: datetime
    outcome: Outcome
    explanations: Sequence[Mapping[str, Any]] = ()
    effects: Sequence[EffectResult] = ()


@dataclass(frozen=True, slots=True)
class BuiltRecord:
    """The record as it is told, and the columns that it is found and counted by."""

    told: dict[str, Any]
    columns: dict[str, Any]


def build_record(walk: Walk, state: SessionState, closing: Closing) -> BuiltRecord:
    """The record of a session that has come to `closing.outcome`; `walk.now` is when it was written."""
    world = walk.world
    subscription = world.subscription_at_start(state.subscription_id)
    taken = next((o for o in state.offers if o.status in TAKEN), None)
    accepted = _accepted_offer(taken) if taken else None
    is_canceled = closing.outcome in CANCELED
    offer_type = _offer_type(taken) if taken else None
    save_type = None if is_canceled else offer_type or ABANDON
    survey = _survey(walk.flow, state)
    customer = _customer(world, closing, subscription)
    cooled = _cooled_kinds(walk.flow, closing.explanations)
    country = world.customer.country if world.customer else None
    told = {
        "_id": walk.session_id,
        "org": closing.organization_id,
        "mode": world.mode.upper(),
        "provider": closing.provider,
        "blueprintId": closing.flow_version_id,
        "flowVersion": closing.flow_version,
        "segmentId": None,
        "abtest": None,
        **survey,
        "feedback": state.feedback,
        "outcome": str(closing.outcome),
        "aborted": save_type == ABANDON,
        "canceled": is_canceled,
        "saveType": save_type,
        "bounced": is_bounced(state),
        "usedClickToCancel": state.used_exit,
        "clickToCancelEnabled": has_exit_everywhere(closing.exit_policy, country),
        "exitPolicy": closing.exit_policy,
        "region": {"country": country},
        "entry": closing.entry,
        "locale": world.locale,
        "lang": world.locale,
        "billingKnown": world.is_verified,
        "manualReasons": list(state.manual_reasons),
        "discountCooldown": walk.flow.cooldowns.get(OfferKind.DISCOUNT),
        "discountCooldownApplied": OfferKind.DISCOUNT in cooled,
        "pauseCooldown": walk.flow.cooldowns.get(OfferKind.PAUSE),
        "pauseCooldownApplied": OfferKind.PAUSE in cooled,
        "customer": customer,
        "stepsViewed": [
            _step(view, walk.flow, state) for view in state.views if view.kind not in _UNRECORDED
        ],
        "presentedOffers": [_presented(offer) for offer in state.offers],
        "acceptedOffer": accepted,
        "effects": [effect.to_json() for effect in closing.effects],
        "rules": rules_considered(closing.explanations),
        "createdAt": iso(closing.created_at),
        "closedAt": iso(closing.closed_at),
        "updatedAt": iso(walk.now),
    }
    renewal = next_renewal(subscription, closing.created_at) if subscription else None
    total = subscription.price_total() if subscription else None
    email = customer["email"]
    columns = {
        "session_id": walk.session_id,
        "created_at": closing.created_at,
        "begun_s": int(closing.created_at.timestamp()),
        "outcome": str(closing.outcome),
        "save_type": save_type,
        "offer_type": offer_type,
        "reason_id": survey["surveyChoiceId"],
        "response": survey["surveyChoiceValue"],
        "is_aborted": save_type == ABANDON,
        "is_canceled": is_canceled,
        "is_bounced": told["bounced"],
        "is_trial": customer["onTrial"],
        "is_cooled_down": bool(cooled),
        "entry": closing.entry,
        "flow_version_id": closing.flow_version_id,
        "segment_id": None,
        "test_id": None,
        "plan_id": customer["planId"],
        "billing_interval": customer["billingInterval"],
        "currency": (world.customer.currency if world.customer else None) or customer["currency"],
        "session_currency": subscription.currency if subscription else None,
        "price_minor": total.minor if total else None,
        "invoice_month": renewal.strftime("%Y-%m") if renewal else None,
        "age_months": months_between(subscription.start, closing.created_at) if subscription else None,
        "coupon_id": accepted["couponId"] if accepted else None,
        "pause_duration": accepted["pauseDuration"] if accepted else None,
        "customer_id": closing.customer_id,
        "customer_email": address_key(email) if email else None,
        "updated_at": walk.now,
    }
    return BuiltRecord(told, columns)


def is_bounced(state: SessionState) -> bool:
    """Whether the customer saw the first screen and did nothing."""
    has_acted = state.answers or state.used_exit or state.effects_made or state.finished_at
    return not has_acted and len(state.views) <= 1


def redact(told: Mapping[str, Any]) -> dict[str, Any]:
    """The record without its personal data: address, free text, and what the merchant knows of the customer.

    Why a change was not made is said where that is a reason of ours: billing systems and merchants word theirs freely.
    """
    customer = {**told["customer"], "email": None, "customAttributes": {}, "metadata": {}}
    is_own_words = told["followupOptionId"] is None
    return {
        **told,
        "customer": customer,
        "feedback": None,
        "followupResponse": None if is_own_words else told["followupResponse"],
        "manualReasons": list(own_reasons(told["manualReasons"])),
        "effects": [
            {**effect, "reason": effect["reason"] if effect["reason"] in REASONS else None}
            for effect in told["effects"]
        ],
    }


def rules_considered(explanations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each rule's verdict and each offer's, place by place; not what they saw of the customer."""
    told = []
    for entry in explanations:
        why = entry["why"]
        for one in why if isinstance(why, list) else (why,):
            verdict = one.get("when") if "offer" in one else one
            told.append(
                {
                    "at": entry["at"],
                    "offer": one.get("offer"),
                    "verdict": verdict["verdict"] if verdict else None,
                    "shown": one.get("shown"),
                    "blockers": list(one.get("blockers", ())),
                }
            )
    return told


# --- What was said --------------------------------------------------------------------------------


def _survey(flow: FlowDefinition, state: SessionState) -> dict[str, Any]:
    told = dict.fromkeys(
        (
            "surveyId",
            "surveyChoiceId",
            "surveyChoiceValue",
            "followupQuestion",
            "followupOptionId",
            "followupResponse",
        )
    )
    given = state.reason_answer
    step_id = next((name for name, answer in state.answers.items() if answer is given), None)
    if given is None or step_id is None:
        return told
    reason = _find_reason(flow, step_id, given.reason)
    said = {
        "surveyId": step_id,
        "surveyChoiceId": given.reason,
        "surveyChoiceValue": reason.label if reason else given.reason,
    }
    return {**told, **said, **_follow_up(reason, given)}


def _find_reason(flow: FlowDefinition, step_id: str, reason_id: str | None) -> Reason | None:
    surveys = (step for step in flow.steps if isinstance(step, SurveyStep) and step.id == step_id)
    return next((r for survey in surveys for r in survey.reasons if r.id == reason_id), None)


def _follow_up(reason: Reason | None, given: Answer) -> dict[str, Any]:
    asked = reason.follow_up if reason else None
    if asked is None:
        return {}
    if isinstance(asked, TextFollowUp):
        return {"followupQuestion": asked.question, "followupResponse": given.follow_up}
    chosen = next((o for o in asked.options if o.id == given.follow_up), None)
    return {
        "followupQuestion": asked.question,
        "followupOptionId": given.follow_up,
        "followupResponse": chosen.label if chosen else None,
    }


# --- Who it was -----------------------------------------------------------------------------------


def _customer(world: World, closing: Closing, subscription: DirectSubscription | None) -> dict[str, Any]:
    known = world.customer
    return {
        "id": closing.customer_id,
        "email": (known.email if known else None) or closing.recipient,
        **_plan(known, subscription, closing.created_at),
        "metadata": dict(known.metadata) if known and known.metadata else {},
        "customAttributes": {**world.mint_attributes, **world.attributes},
    }


def _plan(
    customer: DirectCustomer | None, subscription: DirectSubscription | None, now: datetime
) -> dict[str, Any]:
    """Amounts are in the smallest unit of `currency`, the price's; the customer's stands in where it names none.
    Without billing data all is null."""
    if subscription is None:
        nothing = dict.fromkeys(_PLAN_FIELDS)
        return {**nothing, "currency": customer.currency if customer else None}
    item, status, every = subscription.items[0], subscription.status, subscription.interval
    price, total = item.price.money, subscription.price_total()
    period = getattr(status, "current_period", None)
    discount = subscription.active_discount(now)
    coupon = discount.coupon if discount else None
    trial = status.trial if isinstance(status, Trial) else None
    pause = status.pause if isinstance(status, Paused) else None
    return {
        "subscriptionId": subscription.id,
        "subscriptionStatus": status.name,
        "subscriptionStart": iso(subscription.start),
        "subscriptionPeriodStart": iso(period.start) if period else None,
        "subscriptionPeriodEnd": _iso(subscription.period_end),
        "planId": item.price.id,
        "planPrice": price.minor if price else None,
        "subscriptionPrice": total.minor if total else None,
        "currency": item.price.amount.currency or (customer.currency if customer else None),
        "itemQuantity": item.quantity,
        "billingInterval": every.interval if every else None,
        "billingIntervalCount": every.interval_count if every else None,
        "onTrial": trial is not None,
        "trialStart": iso(trial.start) if trial else None,
        "trialEnd": iso(trial.end) if trial else None,
        "paused": pause is not None,
        "pauseEnd": _iso(pause.end) if pause else None,
        "subscriptionDiscount": {
            "id": discount.id,
            "end": _iso(discount.end),
            "coupon": {
                "id": coupon.id,
                "couponType": _COUPON_TYPES["percent" if coupon.percent_off is not None else "amount"],
                "couponAmount": _figure(
                    coupon.percent_off if coupon.percent_off is not None else coupon.amount_off
                ),
                "couponDuration": coupon.duration_in_months or coupon.duration,
            },
        }
        if discount and coupon
        else None,
        "latestDiscountExpiration": _iso(
            max((d.end for d in subscription.discounts or () if d.end), default=None)
        ),
    }


_PLAN_FIELDS: Final = (
    *("subscriptionId", "subscriptionStatus", "subscriptionStart"),
    *("subscriptionPeriodStart", "subscriptionPeriodEnd", "planId", "planPrice", "subscriptionPrice"),
    *("currency", "itemQuantity", "billingInterval", "billingIntervalCount"),
    *("onTrial", "trialStart", "trialEnd", "paused", "pauseEnd", "subscriptionDiscount"),
    "latestDiscountExpiration",
)


# --- What was shown -------------------------------------------------------------------------------


def _step(view: View, flow: FlowDefinition, state: SessionState) -> dict[str, Any]:
    """One screen. `duration` in milliseconds; the last one of a session that was left alone has no end."""
    step_type = _STEP_TYPES.get(view.kind, "CUSTOM")
    ended_at = view.ended_at or state.finished_at
    took = round((ended_at - view.started_at).total_seconds() * 1000) if ended_at else None
    return {
        "stepType": step_type,
        "customStepType": view.kind if step_type == "CUSTOM" else None,
        "guid": view.step,
        "numChoices": _choices(view, flow, state),
        "start": iso(view.started_at),
        "end": _iso(ended_at),
        "duration": took,
    }


def _choices(view: View, flow: FlowDefinition, state: SessionState) -> int:
    """How many reasons the survey has, or how many ways to take the offer there were."""
    if view.kind == "survey":
        return next(
            (len(s.reasons) for s in flow.steps if isinstance(s, SurveyStep) and s.id == view.step), 0
        )
    if view.kind == "offer":
        shown = (o for o in state.offers if o.placement.partition(":")[0] == view.step)
        return next((len(o.shown.options) for o in shown), 0)
    return 0


def _offer_type(offer: OfferRecord) -> str:
    return offer.shown.kind.upper()


def _presented(offer: OfferRecord) -> dict[str, Any]:
    is_declined = offer.status is OfferStatus.DECLINED
    is_taken = offer.status in (*TAKEN, OfferStatus.FAILED)
    answered_at = _iso(offer.answered_at)
    return {
        "guid": offer.shown.offer_id,
        "decisionId": offer.decision_id,
        "placement": offer.placement,
        "offerType": _offer_type(offer),
        "status": str(offer.status),
        "accepted": offer.status in TAKEN,
        "surveyOffer": ":" in offer.placement,
        "presentedAt": iso(offer.presented_at),
        "acceptedAt": answered_at if is_taken else None,
        "declinedAt": answered_at if is_declined else None,
        **_config(offer),
    }


def _config(offer: OfferRecord) -> dict[str, Any]:
    """What was on offer, under the name that the reference has for each kind."""
    shown = offer.shown
    match shown.kind:
        case OfferKind.DISCOUNT:
            change = shown.options[0].change if shown.options else None
            return {"discountConfig": _discount(change) if isinstance(change, Discount) else None}
        case OfferKind.PAUSE:
            window, units = shown.terms.pause_window, [o.unit for o in shown.options if o.unit]
            return {
                "pauseConfig": {
                    "maxPauseLength": max((o.count or 0 for o in shown.options), default=None),
                    "pauseInterval": units[0].upper() if units else None,
                    "datePicker": window is not None,
                    "latest": iso(window.latest) if window else None,
                }
            }
        case OfferKind.PLAN_CHANGE:
            return {"planChangeConfig": {"options": [option.id for option in shown.options]}}
        case OfferKind.TRIAL_EXTENSION:
            change = shown.options[0].change if shown.options else None
            days = change.days if isinstance(change, TrialExtension) else None
            return {"trialExtensionConfig": {"trialExtensionDays": days}}
        case OfferKind.REDIRECT:
            url, _, label = _link(offer)
            return {"redirectConfig": {"redirectUrl": url, "redirectLabel": label}}
        case _:
            url, email, label = _link(offer)
            return {"contactConfig": {"url": url, "email": email, "label": label}}


def _link(offer: OfferRecord) -> tuple[str | None, str | None, str | None]:
    """Where an offer leads, and what is written there: URL, address, label."""
    link = offer.shown.link
    return (link.url, link.email, link.label) if link else (None, None, None)


def _discount(change: Discount) -> dict[str, Any]:
    is_percent = change.percent_off is not None
    amount = change.percent_off if is_percent else change.amount_off_minor
    return {
        "couponId": change.coupon_id,
        "couponType": (_COUPON_TYPES["percent" if is_percent else "amount"] if amount is not None else None),
        "couponAmount": _figure(amount),
        "couponDuration": change.months or change.duration,
    }


def _accepted_offer(offer: OfferRecord) -> dict[str, Any]:
    """The offer that was taken, and how. `pauseDuration` counts `pauseInterval`s; of a picked date there is the date
    alone."""
    option = offer.shown.find_option(offer.option_id) if offer.option_id else None
    change = option.change if option else None
    told: dict[str, Any] = {
        "guid": offer.shown.offer_id,
        "decisionId": offer.decision_id,
        "offerType": _offer_type(offer),
        "status": str(offer.status),
        **dict.fromkeys(("couponId", "couponType", "couponAmount", "couponDuration")),
        **dict.fromkeys(("pauseDuration", "pauseInterval", "pauseEnd")),
        **dict.fromkeys(("newPlanId", "newPlanPrice", "trialExtensionDays", "redirectUrl")),
    }
    match change:
        case Discount():
            told |= _discount(change)
        case Pause():
            unit = option.unit if option else None
            told["pauseDuration"] = option.count if option else None
            told["pauseInterval"] = unit.upper() if unit else None
            told["pauseEnd"] = iso(change.resumes_at)
        case PlanChange():
            money = change.price.money
            told["newPlanId"] = change.price.id
            told["newPlanPrice"] = money.minor if money else None
        case TrialExtension():
            told["trialExtensionDays"] = change.days
        case _ if offer.shown.kind is OfferKind.REDIRECT:
            told["redirectUrl"], _, _ = _link(offer)
    return told


def _cooled_kinds(flow: FlowDefinition, explanations: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The kinds of which an offer was held back because one was taken too recently."""
    held = {
        one["offer"]
        for entry in explanations
        if isinstance(entry["why"], list)
        for one in entry["why"]
        if "cooldown" in one.get("blockers", ())
    }
    return frozenset(offer.kind for offer in _offers_of(flow) if offer.id in held) if held else frozenset()


def _offers_of(flow: FlowDefinition) -> list[Any]:
    found: list[Any] = []
    for step in flow.steps:
        if step.kind == "offer":
            found += step.offers
        elif isinstance(step, SurveyStep):
            found += (offer for reason in step.reasons for offer in reason.offers)
    return found


def _figure(amount: Any) -> int | float | None:
    """A percentage as JSON has it: whole where it is."""
    if amount is None:
        return None
    return int(amount) if amount == int(amount) else float(amount)


def _iso(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None
