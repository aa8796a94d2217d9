"""How time passes for Braintree's subscriptions: cycles, charges, discounts that are used up, ends."""

import calendar
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

Document = dict[str, Any]
_A_DAY: Final = timedelta(days=1)
# Amounts in these have no decimals; everything else has two.
_WHOLE: Final = frozenset({"JPY", "KRW", "VND", "CLP"})


def later(day: date, months: int, billing_day: int) -> date:
    """The billing day `months` later; 31 is the last day of any month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(billing_day, calendar.monthrange(year, month + 1)[1]))


def amount(value: Decimal, currency: str) -> str:
    return format(value.quantize(Decimal(1) if currency in _WHOLE else Decimal("0.01")), "f")


def is_used_up(modification: Document) -> bool:
    number = modification["number_of_billing_cycles"]
    return number is not None and modification["current_billing_cycle"] >= number


def due(subscription: Document) -> Decimal:
    """Price and add-ons less discounts, of the next cycle; below zero where the discounts are larger."""
    total = Decimal(subscription["price"])
    for kind, sign in (("add_ons", 1), ("discounts", -1)):
        for each in subscription[kind]:
            if not is_used_up(each):
                total += sign * Decimal(each["amount"]) * each["quantity"]
    return total


def renew_until(subscription: Document, frequency: int, now: datetime, *, keeps_used_up: bool) -> bool:
    """Let every cycle begin that has begun by now; whether anything changed."""
    changed = False
    for _ in range(600):
        if (
            not _is_running(subscription)
            or date.fromisoformat(subscription["next_billing_date"]) > now.date()
        ):
            break
        _begin_cycle(subscription, frequency, now, keeps_used_up)
        changed = True
    return changed


def _is_running(subscription: Document) -> bool:
    return subscription["status"] in ("Active", "Pending")


def _begin_cycle(subscription: Document, frequency: int, now: datetime, keeps_used_up: bool) -> None:
    number, had = subscription["number_of_billing_cycles"], subscription["current_billing_cycle"]
    if number is not None and had >= number:
        enter(subscription, "Expired", now)
        return
    begins = date.fromisoformat(subscription["next_billing_date"])
    ends = later(begins, frequency, subscription["billing_day_of_month"])
    if not keeps_used_up:
        for kind in ("add_ons", "discounts"):
            subscription[kind] = [each for each in subscription[kind] if not is_used_up(each)]
    owed = due(subscription) + Decimal(subscription["balance"])
    at_work = [
        each for kind in ("add_ons", "discounts") for each in subscription[kind] if not is_used_up(each)
    ]
    if owed > 0:
        subscription["transactions"].insert(0, charge(subscription, owed, begins, ends - _A_DAY))
        subscription["paid_through_date"] = (ends - _A_DAY).isoformat()
    currency = subscription["currency"]
    subscription["balance"] = amount(min(owed, Decimal(0)), currency)
    for each in at_work:
        each["current_billing_cycle"] += 1
    subscription |= {
        "status": "Active",
        "current_billing_cycle": had + 1,
        "billing_period_start_date": begins.isoformat(),
        "billing_period_end_date": (ends - _A_DAY).isoformat(),
        "next_billing_date": ends.isoformat(),
    }


def charge(subscription: Document, owed: Decimal, begins: date, last_day: date) -> Document:
    """A transaction of a cycle, with the discounts that it was reduced by."""
    return {
        "id": f"{subscription['id'][:20]}{begins:%y%m%d}".replace("_", ""),
        "amount": amount(owed, subscription["currency"]),
        "billing_period_start_date": begins.isoformat(),
        "billing_period_end_date": last_day.isoformat(),
        "discounts": [dict(each) for each in subscription["discounts"] if not is_used_up(each)],
    }


def enter(subscription: Document, status: str, now: datetime) -> None:
    """Change the status, and write it into the history, newest first."""
    subscription["status"] = status
    subscription["status_history"].insert(0, {"status": status, "timestamp": stamp(now)})


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def frequencies(state: Document) -> Iterator[tuple[Document, int]]:
    """Each subscription with its plan's months."""
    for each in state.get("subscriptions", {}).values():
        yield each, state["plans"][each["plan_id"]]["billing_frequency"]
