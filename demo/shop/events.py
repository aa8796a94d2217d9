"""What lately happened at the billing service, as one sentence each. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from demo.shop.formats import day, instant, money

_PLAIN: Final[Mapping[str, str]] = {
    "uncancel": "Cancellation taken back",
    "resume": "Plan started again",
    "change-plan": "Plan changed",
}


@dataclass(frozen=True)
class Happening:
    """One line of the history."""

    at: datetime
    text: str
    plan: str


def tell(event: Mapping[str, Any], *, plan: str) -> Happening:
    """A billing event in the customer's words."""
    return Happening(instant(event["at"]), _sentence(str(event["type"]), event.get("request") or {}), plan)


def _sentence(kind: str, request: Mapping[str, Any]) -> str:
    match kind, request:
        case "cancel", {"timing": "now"}:
            return "Canceled at once"
        case "cancel", _:
            return "Cancellation scheduled"
        case "pause", {"resumesAt": str() as until, "renewsAt": str() as renews}:
            return f"Break until {day(instant(until))}, renewal moved to {day(instant(renews))}"
        case "pause", {"resumesAt": str() as until}:
            return f"Paused until {day(instant(until))}"
        case "extend-trial", {"endsAt": str() as until}:
            return f"Trial extended to {day(instant(until))}"
        case "discount", {"percentOff": int() | float() as percent}:
            return f"Discount of {percent:g}% added"
        case "discount", {"amountOff": int() as amount, "currency": str() as currency}:
            return f"Discount of {money(amount, currency)} added"
        case "discount", _:
            return "Discount added"
    return _PLAIN.get(kind, kind.replace("-", " ").capitalize())
