"""A change as Leavewell asks for it, in the words of the merchant's own billing service. Pure."""

from collections.abc import Mapping
from typing import Any


class UnknownChange(Exception):
    """Leavewell asked for something that this shop has no action for."""


def to_billing(change: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The action of the billing service and its body. Raises UnknownChange."""
    match change:
        case {"type": "cancel", "timing": "period_end" | "now" as timing}:
            return "cancel", {"timing": timing}
        case {"type": "uncancel"}:
            return "uncancel", {}
        case {"type": "pause", "resumesAt": str() as resumes_at, "renewsAt": str() as renews_at}:
            return "pause", {"resumesAt": resumes_at, "renewsAt": renews_at}
        case {"type": "pause", "resumesAt": str() as resumes_at}:
            return "pause", {"resumesAt": resumes_at}
        case {"type": "resume"}:
            return "resume", {}
        case {"type": "plan_change", "price": {"id": str() as price_id}}:
            return "change-plan", {"priceId": price_id}
        case {"type": "trial_extension", "endsAt": str() as ends_at}:
            return "extend-trial", {"endsAt": ends_at}
        case {"type": "discount", "couponId": str() as coupon_id}:
            return "discount", {"couponId": coupon_id}
        case {"type": "discount", "duration": str() as duration}:
            return "discount", {"duration": duration} | _described(change)
    raise UnknownChange


def _described(change: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if change.get("percentOff") is not None:
        percent = float(change["percentOff"])
        body["percentOff"] = int(percent) if percent.is_integer() else percent
    if change.get("amountOffMinor") is not None:
        body |= {"amountOff": change["amountOffMinor"], "currency": change.get("currency")}
    if change.get("months") is not None:
        body["durationInMonths"] = change["months"]
    return body
