"""A customer's subscriptions as the billing page tells them. Pure: billing's JSON in, words and facts out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Literal

from demo.shop.formats import day, instant, money, period

Json = Mapping[str, Any]
Tone = Literal["good", "calm", "warn"]

_ENDING: Final[tuple[str, Tone]] = ("Cancels soon", "warn")
_AWAY: Final[tuple[str, Tone]] = ("On a break", "calm")
_BADGES: Final[Mapping[str, tuple[str, Tone]]] = {
    "active": ("Active", "good"),
    "trial": ("Free trial", "good"),
    "paused": ("Paused", "calm"),
    "canceled": ("Ended", "calm"),
    "unpaid": ("Payment due", "warn"),
    "future": ("Starts soon", "calm"),
}


@dataclass(frozen=True)
class Plan:
    """One subscription on the page."""

    id: str
    name: str
    price: str
    price_before: str | None
    period: str
    badge: str
    tone: Tone
    summary: str
    facts: tuple[tuple[str, str], ...]
    can_undo: bool
    can_resume: bool
    has_ended: bool


def describe(subscription: Json, *, now: datetime) -> Plan:
    """What the customer should know about a subscription: what it costs, what happens next and when."""
    status: Json = subscription["status"]
    name = str(status["name"])
    items: Sequence[Json] = subscription["items"]
    full, currency = _total(items)
    discount = _running_discount(subscription, now)
    reduced = _reduced(full, discount)
    end = instant(subscription["end"]) if subscription.get("end") else None
    is_ending = end is not None and end > now and name in ("active", "trial", "paused", "unpaid")
    price = items[0]["price"]
    away_until = None if is_ending else _break(subscription, now)
    badge, tone = _BADGES.get(name, (name.capitalize(), "calm"))
    if is_ending or away_until:
        badge, tone = _ENDING if is_ending else _AWAY
    return Plan(
        id=str(subscription["id"]),
        name=str(price.get("name") or price["id"]),
        price=money(reduced, currency),
        price_before=money(full, currency) if reduced != full else None,
        period=period(price.get("duration") or subscription.get("duration")),
        badge=badge,
        tone=tone,
        summary=_summary(status, end if is_ending else None, away_until),
        facts=tuple(_facts(subscription, money(reduced, currency), discount, is_ending=is_ending)),
        can_undo=is_ending,
        can_resume=name == "paused" and not is_ending,
        has_ended=name == "canceled",
    )


def _total(items: Sequence[Json]) -> tuple[int, str]:
    minor = sum(int(item["price"]["amount"]["value"]) * int(item.get("quantity") or 1) for item in items)
    return minor, str(items[0]["price"]["amount"].get("currency") or "USD")


def _running_discount(subscription: Json, now: datetime) -> Json | None:
    for discount in subscription.get("discounts") or ():
        has_begun = not discount.get("start") or instant(discount["start"]) <= now
        if has_begun and (not discount.get("end") or instant(discount["end"]) > now):
            return dict(discount)
    return None


def _reduced(full: int, discount: Json | None) -> int:
    coupon: Json = (discount or {}).get("coupon") or {}
    if coupon.get("percentOff"):
        off = Decimal(full) * Decimal(str(coupon["percentOff"])) / 100
        return full - int(off.quantize(Decimal(1), ROUND_HALF_UP))
    return max(0, full - int(coupon.get("amountOff") or 0))


def _break(subscription: Json, now: datetime) -> datetime | None:
    """Until when somebody is away who has paid for the time; it is added to what they have paid for."""
    match subscription:
        case {"status": {"name": "active"}, "metadata": {"breakUntil": str() as until}} if (
            instant(until) > now
        ):
            return instant(until)
    return None


def _summary(status: Json, ends: datetime | None, away_until: datetime | None) -> str:
    if ends is not None:
        return f"Ends on {day(ends)}. You have everything until then, and you are not charged again."
    if away_until is not None:
        return f"On a break until {day(away_until)}. The time off is added to what you have paid for."
    match status:
        case {"name": "trial", "trial": {"end": end}}:
            return f"Free until {day(instant(end))}, then it becomes a paid plan."
        case {"name": "paused", "pause": {"end": str() as end}}:
            return (
                f"Paused until {day(instant(end))}. Your notes are safe, and nothing is charged until then."
            )
        case {"name": "paused"}:
            return "Paused. Your notes are safe, and nothing is charged."
        case {"name": "canceled", "canceledAt": at}:
            return f"Ended on {day(instant(at))}. You can still read and export every note."
        case {"name": "unpaid"}:
            return "Your last payment did not go through."
    return ""


def _facts(
    subscription: Json, price: str, discount: Json | None, *, is_ending: bool
) -> list[tuple[str, str]]:
    status: Json = subscription["status"]
    facts: list[tuple[str, str]] = []
    match status:
        case {"name": "active", "currentPeriod": {"end": end}} if is_ending:
            facts.append(("Paid until", day(instant(end))))
        case {"name": "active", "currentPeriod": {"end": end}}:
            facts.append(("Next charge", f"{price} on {day(instant(end))}"))
        case {"name": "trial", "trial": {"end": end}}:
            facts.append(("Trial ends", day(instant(end))))
            if not is_ending:
                facts.append(("First charge", f"{price} on {day(instant(end))}"))
        case {"name": "paused", "pause": {"end": str() as end}}:
            facts.append(("Starts again", day(instant(end))))
    if discount is not None and status["name"] != "canceled":
        coupon: Json = discount.get("coupon") or {}
        until = (
            f"until {day(instant(discount['end']))}" if discount.get("end") else _discount_without_end(coupon)
        )
        facts.append(("Discount", f"{_off(coupon)}, {until}"))
    facts.append(("Member since", day(instant(subscription["start"]))))
    return facts


def _discount_without_end(coupon: Json) -> str:
    return "on the next charge" if coupon.get("duration") == "once" else "for as long as you stay"


def _off(coupon: Json) -> str:
    if coupon.get("percentOff"):
        return f"{Decimal(str(coupon['percentOff'])).normalize():f}% off"
    if coupon.get("amountOff"):
        return f"{money(int(coupon['amountOff']), str(coupon.get('currency') or 'USD'))} off"
    return str(coupon.get("name") or "A discount")
