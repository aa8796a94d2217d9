"""The envelope of Churnkey's webhook, `{event: "session", data: {customer, session}}`, for programs that know it. Pure.

Names are theirs (reference: churnkey.md, 13 and 15); what we know and they have no name for is not in it but `outcome`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from app.core.calendar import iso

_RESULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "canceled": "cancel",
        "manual_cancellation_requested": "cancel",
        "cancel_already_scheduled": "cancel",
        "discount_accepted": "discount",
        "pause_accepted": "pause",
        "plan_switched": "plan_change",
        "trial_extended": "trial_extension",
        "support_requested": "contact",
        "redirected": "redirect",
    }
)
_ABORT: Final = "abort"
_TAKEN: Final = frozenset({"accepted", "applied"})


def envelope(
    *, session: Mapping[str, Any], offers: Sequence[Mapping[str, Any]], ended: Mapping[str, Any], at: datetime
) -> dict[str, Any]:
    """A session that has come to an end, as its row and its offers' rows have it; `ended` is its event's data."""
    world = session["snapshot"]
    customer = {"id": session["customer_id"], **(world.get("customer") or {})}
    for private in ("name", "lastName", "phone"):
        customer.pop(private, None)
    result = _RESULTS.get(ended["outcome"], _ABORT)
    taken = next((offer for offer in offers if offer["status"] in _TAKEN), None)
    return {
        "event": "session",
        "data": {
            "customer": {**customer, "subscriptionId": ended["subscriptionId"]},
            "session": {
                "_id": session["id"],
                "org": session["app_id"],
                "mode": session["mode"].upper(),
                "blueprintId": session["flow_version_id"],
                "result": result,
                "canceled": result == "cancel",
                "aborted": result == _ABORT,
                "saveType": _save_type(result, taken),
                "outcome": ended["outcome"],
                "surveyChoiceId": ended["reason"],
                "surveyResponse": ended["reason"],
                "followupResponse": ended["followUp"],
                "feedback": ended["feedback"],
                "usedClickToCancel": ended["usedExit"],
                "presentedOffers": [_presented(offer) for offer in offers],
                "acceptedOffer": _accepted(taken, session["state"]) if taken else None,
                "createdAt": iso(session["created_at"]),
                "updatedAt": iso(at),
            },
        },
    }


def example_envelope(*, app_id: str, mode: str, at: datetime) -> dict[str, Any]:
    """One that tells of nobody, to try an endpoint with; `test` marks it."""
    return {
        "event": "session",
        "data": {
            "customer": {"id": "cus_test", "email": "test@example.com", "subscriptionId": None},
            "session": {
                "_id": "cs_test",
                "org": app_id,
                "mode": mode.upper(),
                "test": True,
                "blueprintId": None,
                "result": _ABORT,
                "canceled": False,
                "aborted": True,
                "saveType": "ABANDON",
                "outcome": "dismissed",
                "surveyChoiceId": None,
                "surveyResponse": None,
                "followupResponse": None,
                "feedback": None,
                "usedClickToCancel": False,
                "presentedOffers": [],
                "acceptedOffer": None,
                "createdAt": iso(at),
                "updatedAt": iso(at),
            },
        },
    }


def _save_type(result: str, taken: Mapping[str, Any] | None) -> str | None:
    if result == "cancel":
        return None
    return str(taken["kind"]).upper() if taken else "ABANDON"


def _presented(offer: Mapping[str, Any]) -> dict[str, Any]:
    accepted, declined = offer["accepted_at"], offer["declined_at"]
    return {
        "guid": offer["id"],
        "offerType": str(offer["kind"]).upper(),
        "accepted": offer["status"] in _TAKEN,
        "presentedAt": iso(offer["presented_at"]),
        "acceptedAt": iso(accepted) if accepted else None,
        "declinedAt": iso(declined) if declined else None,
    }


def _accepted(offer: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    change = _change_of(offer, state)
    price = change.get("price") or {}
    percent, amount = change.get("percentOff"), change.get("amountOffMinor")
    known = {
        "couponId": change.get("couponId"),
        "couponType": "PERCENT" if percent is not None else "AMOUNT" if amount is not None else None,
        "couponAmount": percent if percent is not None else amount,
        "couponDuration": change.get("months") or change.get("duration"),
        "pauseEnd": change.get("resumesAt"),
        "newPlanId": price.get("id"),
        "newPlanPrice": (price.get("amount") or {}).get("value"),
        "trialExtensionDays": change.get("days"),
        "redirectUrl": (offer["shown"].get("link") or {}).get("url"),
    }
    return {
        "guid": offer["id"],
        "offerType": str(offer["kind"]).upper(),
        **{name: value for name, value in known.items() if value is not None},
    }


def _change_of(offer: Mapping[str, Any], state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The change that was taken, as it was shown; empty for an offer that only leads somewhere."""
    options = (offer["shown"].get("terms") or {}).get("options") or []
    records = state.get("offers") or []
    chosen = next((one.get("option_id") for one in records if one.get("decision_id") == offer["id"]), None)
    found = next((option for option in options if option.get("id") == chosen), None)
    if found is None and len(options) == 1:
        found = options[0]
    return (found or {}).get("change") or {}
