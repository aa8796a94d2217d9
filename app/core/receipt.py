"""What a receipt says: the content that is kept, signed, mailed and printed, the same for all four. Pure.

The content is plain JSON (camelCase, integers, no floats; what is not known is null) and never changes once made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from app.core.billing import Cancel, Capability, Change
from app.core.calendar import iso, parse_moment
from app.core.money import Money
from app.core.state import OfferRecord, Outcome, Pending, SessionState
from app.core.summary import (
    WITHOUT_OFFER,
    Charge,
    Price,
    Summary,
    plan_of,
    promise,
    reference_of,
    summary_of,
    taken_offer,
)
from app.core.world import Walk

VERSION: Final = 1


class ReceiptType(StrEnum):
    """What was asked for. A `cancellation_request` is one that a person at the merchant has to carry out."""

    CANCELLATION = "cancellation"
    CANCELLATION_REQUEST = "cancellation_request"
    DISCOUNT = "discount"
    PAUSE = "pause"
    PLAN_CHANGE = "plan_change"
    TRIAL_EXTENSION = "trial_extension"
    UNCANCEL = "uncancel"
    RESUME = "resume"


class ReceiptStatus(StrEnum):
    """`requested`: received, not done yet. `failed`: asked for, and in the end not done; nothing was changed."""

    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    FAILED = "failed"


TYPE_OF_CHANGE: Final = {
    "cancel": ReceiptType.CANCELLATION,
    "uncancel": ReceiptType.UNCANCEL,
    "discount": ReceiptType.DISCOUNT,
    "pause": ReceiptType.PAUSE,
    "resume": ReceiptType.RESUME,
    "plan_change": ReceiptType.PLAN_CHANGE,
    "trial_extension": ReceiptType.TRIAL_EXTENSION,
}
TYPE_OF_OUTCOME: Final = {
    Outcome.CANCELED: ReceiptType.CANCELLATION,
    Outcome.MANUAL_CANCELLATION_REQUESTED: ReceiptType.CANCELLATION_REQUEST,
    Outcome.DISCOUNT_ACCEPTED: ReceiptType.DISCOUNT,
    Outcome.PAUSE_ACCEPTED: ReceiptType.PAUSE,
    Outcome.PLAN_SWITCHED: ReceiptType.PLAN_CHANGE,
    Outcome.TRIAL_EXTENDED: ReceiptType.TRIAL_EXTENSION,
    Outcome.UNCANCELED: ReceiptType.UNCANCEL,
    Outcome.RESUMED: ReceiptType.RESUME,
}


@dataclass(frozen=True, slots=True)
class Merchant:
    """Whose subscription it is, and how to reach them."""

    name: str
    app_id: str
    mode: str
    email: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What every receipt of a session says beside what happened."""

    receipt_id: str
    merchant: Merchant
    customer_id: str | None
    locale: str
    time_zone: str | None
    flow_version: str | None
    email: str | None = None  # of who left a request; nobody has proven it


def of_outcome(
    frame: Frame, walk: Walk, state: SessionState, *, asked: Pending | None, reference: str | None = None
) -> dict[str, Any] | None:
    """The receipt of a walk that has just ended; None where nothing was changed and nothing is to be.

    `asked` is the change that led to the end, `reference` the provider's own id for it.
    """
    kind = TYPE_OF_OUTCOME.get(state.outcome) if state.outcome else None
    if state.outcome is None or kind is None or state.finished_at is None:
        return None
    taken = taken_offer(state) if state.outcome not in WITHOUT_OFFER else None
    is_request = kind is ReceiptType.CANCELLATION_REQUEST
    subscription = walk.world.find_subscription(state.subscription_id)
    summary = summary_of(walk, state, state.outcome, taken)
    can_undo = kind is ReceiptType.CANCELLATION and Capability.UNCANCEL in walk.world.capabilities
    is_ahead = subscription is not None and subscription.is_scheduled_to_end(walk.now)
    answered_at = taken.answered_at if taken else None
    return _content(
        frame,
        walk,
        state,
        kind=kind,
        status=ReceiptStatus.REQUESTED if is_request else ReceiptStatus.CONFIRMED,
        summary=summary,
        taken=taken,
        requested_at=(asked.requested_at if asked else answered_at) or state.finished_at,
        confirmed_at=None if is_request else state.finished_at,
        ends_now=kind is ReceiptType.CANCELLATION and not is_ahead,
        undo_until=summary.ends_at if can_undo and is_ahead else None,
        provider_reference=reference,
        reasons=state.manual_reasons if is_request else (),
    )


def of_change(
    frame: Frame,
    walk: Walk,
    state: SessionState,
    asked: Pending,
    status: ReceiptStatus,
    *,
    reasons: Sequence[str] = (),
) -> dict[str, Any]:
    """The receipt of a change that was asked for and is not done: still to be made, or in the end not made."""
    record = state.offer(asked.decision_id)
    change: Change = asked.change
    summary = Summary(plan=plan_of(walk.world.find_subscription(state.subscription_id)))
    if record is not None:
        summary = promise(record.shown, record.option_id, summary.plan, summary)
    is_now = isinstance(change, Cancel) and change.timing == "now"
    return _content(
        frame,
        walk,
        state,
        kind=TYPE_OF_CHANGE[change.type],
        status=status,
        summary=summary,
        taken=record,
        requested_at=asked.requested_at,
        confirmed_at=None,
        ends_at=change.at if isinstance(change, Cancel) and not is_now else None,
        ends_now=is_now,
        reasons=reasons,
    )


def of_unverified_request(
    frame: Frame, *, request_id: str, requested_at: datetime, issued_at: datetime
) -> dict[str, Any]:
    """The receipt of a request that somebody left: it names the address as it was typed, and no plan."""
    return {
        **_head(frame, ReceiptType.CANCELLATION_REQUEST, ReceiptStatus.REQUESTED, request_id, issued_at),
        "sessionId": None,
        "subscriptionId": None,
        "requestedAt": iso(requested_at),
        "confirmedAt": None,
        "plan": None,
        "facts": _facts(Summary(), ends_at=None, ends_now=False),
        "offer": None,
        "undoUntil": None,
        "providerReference": None,
        "reasons": ["unverified"],
    }


def _content(
    frame: Frame,
    walk: Walk,
    state: SessionState,
    *,
    kind: ReceiptType,
    status: ReceiptStatus,
    summary: Summary,
    taken: OfferRecord | None,
    requested_at: datetime,
    confirmed_at: datetime | None,
    ends_at: datetime | None = None,
    ends_now: bool = False,
    undo_until: datetime | None = None,
    provider_reference: str | None = None,
    reasons: Sequence[str] = (),
) -> dict[str, Any]:
    return {
        **_head(frame, kind, status, walk.session_id, walk.now),
        "sessionId": walk.session_id,
        "subscriptionId": state.subscription_id,
        "requestedAt": iso(requested_at),
        "confirmedAt": iso(confirmed_at) if confirmed_at else None,
        "plan": summary.plan,
        "facts": _facts(summary, ends_at=ends_at or summary.ends_at, ends_now=ends_now),
        "offer": _offer(taken) if taken else None,
        "undoUntil": iso(undo_until) if undo_until else None,
        "providerReference": provider_reference,
        "reasons": list(reasons),
    }


def _head(
    frame: Frame, kind: ReceiptType, status: ReceiptStatus, about: str, issued_at: datetime
) -> dict[str, Any]:
    merchant = frame.merchant
    return {
        "version": VERSION,
        "id": frame.receipt_id,
        "reference": reference_of(about),
        "type": str(kind),
        "status": str(status),
        "merchant": {
            "name": merchant.name,
            "appId": merchant.app_id,
            "mode": merchant.mode,
            "email": merchant.email,
            "url": merchant.url,
        },
        "customerId": frame.customer_id,
        "email": frame.email,
        "locale": frame.locale,
        "timeZone": frame.time_zone,
        "issuedAt": iso(issued_at),
        "flowVersion": frame.flow_version,
    }


def _offer(record: OfferRecord) -> dict[str, Any]:
    said = record.shown.wording
    return {
        "id": record.shown.offer_id,
        "decisionId": record.decision_id,
        "kind": str(record.shown.kind),
        "headline": said.headline,
        "body": said.body,
        "option": record.option_id,
    }


# --- Figures as JSON, and back --------------------------------------------------------------------------------------


def _facts(summary: Summary, *, ends_at: datetime | None, ends_now: bool) -> dict[str, Any]:
    return {
        "newPlan": summary.new_plan,
        "priceBefore": price_to_wire(summary.price_before),
        "price": price_to_wire(summary.price),
        "nextCharge": charge_to_wire(summary.next_charge),
        "backTo": charge_to_wire(summary.back_to),
        "renewsBefore": _moment(summary.renews_before),
        "renewsAt": _moment(summary.renews_at),
        "tax": summary.tax,
        "resumesAt": _moment(summary.resumes_at),
        "trialEndsAt": _moment(summary.trial_ends_at),
        "endsAt": _moment(ends_at),
        "endsNow": ends_now,
    }


def price_to_wire(price: Price | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {
        "amount": price.money.minor,
        "currency": price.money.currency,
        "interval": price.interval,
        "intervalCount": price.interval_count,
    }


def charge_to_wire(charge: Charge | None) -> dict[str, Any] | None:
    if charge is None:
        return None
    return {"at": iso(charge.at), "amount": charge.money.minor, "currency": charge.money.currency}


def _moment(at: datetime | None) -> str | None:
    return iso(at) if at else None


def summary_in(content: Mapping[str, Any]) -> Summary:
    """The figures of a receipt's content, to be printed as those of a result page are; its times are not in it.

    Members that came later than a receipt are missing in it.
    """
    facts = content["facts"]
    return Summary(
        plan=content["plan"],
        new_plan=facts["newPlan"],
        price_before=price_from_wire(facts["priceBefore"]),
        price=price_from_wire(facts["price"]),
        next_charge=charge_from_wire(facts["nextCharge"]),
        back_to=charge_from_wire(facts["backTo"]),
        renews_before=_read_moment(facts.get("renewsBefore")),
        renews_at=_read_moment(facts.get("renewsAt")),
        tax=facts.get("tax"),
        resumes_at=_read_moment(facts["resumesAt"]),
        trial_ends_at=_read_moment(facts["trialEndsAt"]),
        ends_at=_read_moment(facts["endsAt"]),
        undo_until=_read_moment(content["undoUntil"]),
        reference=content["reference"],
    )


def price_from_wire(price: Mapping[str, Any] | None) -> Price | None:
    if price is None:
        return None
    return Price(Money(price["amount"], price["currency"]), price["interval"], price["intervalCount"])


def charge_from_wire(charge: Mapping[str, Any] | None) -> Charge | None:
    if charge is None:
        return None
    return Charge(parse_moment(charge["at"]), Money(charge["amount"], charge["currency"]))


def _read_moment(at: str | None) -> datetime | None:
    return parse_moment(at) if at else None
