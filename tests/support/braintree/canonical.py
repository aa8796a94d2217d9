"""Between the demo's words and Braintree's: what is put there, and what is truly there. Knows no adapter of ours."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from tests.support.braintree.cycles import amount, charge, due, is_used_up, later, stamp

Document = dict[str, Any]
OFFER_ID: Final = "leavewell-discount"  # the Discounts that the merchant has made for offers and for pauses
PAUSE_ID: Final = "leavewell-pause"
_A_DAY: Final = timedelta(days=1)
_PLACES: Final = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0}
_STATUSES: Final = {
    "active": "Active",
    "trial": "Active",
    "paused": "Active",
    "unpaid": "Past Due",
    "future": "Pending",
    "canceled": "Canceled",
}


# --- In -------------------------------------------------------------------------------------------


def major(minor: int, currency: str) -> str:
    return amount(Decimal(minor).scaleb(-_PLACES.get(currency, 2)), currency)


def plan_of(price: Document, merchant_id: str, created_at: str) -> Document:
    every = price.get("duration") or {"interval": "month"}
    months = {"month": 1, "year": 12}[every["interval"]] * every.get("intervalCount", 1)
    currency = price["amount"]["currency"]
    return {
        "id": price["id"],
        "merchant_id": merchant_id,
        "name": price.get("name") or price["id"],
        "billing_frequency": months,
        "currency": currency,
        "price": major(price["amount"]["value"], currency),
        "number_of_billing_cycles": None,
        "created_at": created_at,
    }


def modification(
    name: str, off: str, number: int | None, *, kind: str = "discount", quantity: int = 1, had: int = 0
) -> Document:
    return {
        "id": name,
        "kind": kind,
        "name": name,
        "amount": off,
        "quantity": quantity,
        "current_billing_cycle": had,
        "number_of_billing_cycles": number,
    }


def customer_of(document: Document, merchant_id: str, now: datetime) -> Document:
    addresses = document.get("addresses") or [{}]
    return {
        "id": document["id"],
        "merchant_id": merchant_id,
        "first_name": document.get("name"),
        "last_name": document.get("lastName"),
        "email": document.get("email"),
        "phone": document.get("phone"),
        "country": addresses[0].get("country"),
        "street_address": addresses[0].get("line1"),
        "custom_fields": {name: str(value) for name, value in (document.get("metadata") or {}).items()},
        "token": f"pm_{document['id']}",
        "created_at": stamp(now),
    }


def subscription_of(document: Document, plans: Document, now: datetime) -> Document:
    first, *extra = document["items"]
    plan = plans[first["price"]["id"]]
    currency, frequency = plan["currency"], plan["billing_frequency"]
    start = datetime.fromisoformat(document["start"])
    status = document["status"]
    raw: Document = {
        "id": document["id"],
        "customer_id": document["customerId"],
        "payment_method_token": f"pm_{document['customerId']}",
        "plan_id": plan["id"],
        "price": major(first["price"]["amount"]["value"], currency),
        "currency": currency,
        "status": _STATUSES[status["name"]],
        "created_at": stamp(start),
        "updated_at": stamp(start),
        "balance": amount(Decimal(0), currency),
        "days_past_due": None,
        "trial_period": False,
        "trial_duration": None,
        "number_of_billing_cycles": None,
        "add_ons": [],
        "discounts": [],
        "transactions": [],
        "status_history": [{"status": _STATUSES[status["name"]], "timestamp": stamp(start)}],
        "billing_day_of_month": start.day,
    }
    for each in extra:
        value = major(each["price"]["amount"]["value"], currency)
        raw["add_ons"].append(
            modification(each["price"]["id"], value, None, kind="add_on", quantity=each.get("quantity", 1))
        )
    for number, given in enumerate(document.get("discounts") or ()):
        raw["discounts"].append(_discount_of(given["coupon"], raw, frequency, number))
    _place_in_time(raw, status, frequency, start, now)
    if status["name"] == "paused":
        _pause(raw, status["pause"], frequency)
    if document.get("end") and status["name"] in ("active", "paused"):
        raw["number_of_billing_cycles"] = raw["current_billing_cycle"]
    return raw


def _discount_of(coupon: Document, raw: Document, frequency: int, number: int) -> Document:
    off = coupon.get("amountOff")
    value = major(off, raw["currency"]) if off is not None else None
    if value is None:
        value = amount(Decimal(raw["price"]) * Decimal(str(coupon["percentOff"])) / 100, raw["currency"])
    lasts = {"once": 1, "forever": None}.get(
        coupon["duration"], coupon.get("durationInMonths", 0) // frequency
    )
    return modification(coupon.get("id") or (OFFER_ID if number == 0 else f"discount-{number}"), value, lasts)


def _place_in_time(raw: Document, status: Document, frequency: int, start: datetime, now: datetime) -> None:
    if status["name"] == "trial":
        begins, ends = (datetime.fromisoformat(status["trial"][each]).date() for each in ("start", "end"))
        raw |= {
            "trial_period": True,
            "trial_duration": max((ends - begins).days, 1),
            "billing_day_of_month": ends.day,
        }
        raw |= _not_begun(ends)
        return
    if status["name"] == "future":
        raw |= _not_begun(max(start.date(), now.date() + _A_DAY))
        return
    period = status.get("currentPeriod")
    begins = datetime.fromisoformat(period["start"]).date() if period else start.date()
    ends = datetime.fromisoformat(period["end"]).date() if period else later(begins, frequency, start.day)
    while not period and ends <= now.date():
        begins, ends = ends, later(ends, frequency, start.day)
    had = max(round((ends - start.date()).days / 30.44 / frequency), 1)
    raw |= {
        "first_billing_date": start.date().isoformat(),
        "billing_period_start_date": begins.isoformat(),
        "billing_period_end_date": (ends - _A_DAY).isoformat(),
        "next_billing_date": ends.isoformat(),
        "paid_through_date": (ends - _A_DAY).isoformat(),
        "current_billing_cycle": had,
    }
    if raw["status"] == "Past Due":
        raw |= {
            "balance": raw["price"],
            "days_past_due": 3,
            "paid_through_date": (begins - _A_DAY).isoformat(),
        }
    else:
        raw["transactions"] = [charge({**raw, "discounts": []}, due(raw), begins, ends - _A_DAY)]


def _not_begun(first: date) -> Document:
    return {
        "first_billing_date": first.isoformat(),
        "billing_period_start_date": None,
        "billing_period_end_date": None,
        "next_billing_date": first.isoformat(),
        "paid_through_date": None,
        "current_billing_cycle": 0,
    }


def _pause(raw: Document, pause: Document, frequency: int) -> None:
    first = date.fromisoformat(raw["next_billing_date"])
    number: int | None = None
    if pause.get("end"):
        days = (datetime.fromisoformat(pause["end"]).date() - first).days
        number = max(round(days / 30.44 / frequency), 1)
    raw["discounts"].append(modification(PAUSE_ID, raw["price"], number))


# --- Out ------------------------------------------------------------------------------------------


def customer_shown(raw: Document) -> Document:
    shown = {
        "id": raw["id"],
        "email": raw["email"],
        "name": raw["first_name"],
        "lastName": raw["last_name"],
        "phone": raw["phone"],
        "addresses": [{"country": raw["country"]}] if raw["country"] else [],
        "metadata": raw["custom_fields"],
    }
    return {name: value for name, value in shown.items() if value is not None}


def subscription_shown(raw: Document, plan: Document, now: datetime) -> Document:
    """The truth, for one that is charged, discounted, paused or ended only as the demo's can be."""
    every = _every(plan)
    status, end = _status(raw, plan, now)
    shown: Document = {
        "id": raw["id"],
        "customerId": raw["customer_id"],
        "start": raw["created_at"],
        "status": status,
        "items": _items(raw, plan, every),
        "duration": every,
        "discounts": [_discount(raw, each, plan) for each in raw["discounts"] if each["id"] != PAUSE_ID],
    }
    return {**shown, "end": end} if end else shown


def _items(raw: Document, plan: Document, every: Document) -> list[Document]:
    currency = raw["currency"]
    lines: Sequence[tuple[str, str, int]] = [
        (plan["id"], raw["price"], 1),
        *((each["id"], each["amount"], each["quantity"]) for each in raw["add_ons"]),
    ]
    return [
        {
            "price": {
                "id": name,
                **({"name": plan["name"]} if name == plan["id"] else {}),
                "amount": {"model": "fixed", "value": minor(value, currency), "currency": currency},
                "duration": every,
            },
            "quantity": quantity,
        }
        for name, value, quantity in lines
    ]


def minor(value: str, currency: str) -> int:
    return int(Decimal(value).scaleb(_PLACES.get(currency, 2)).to_integral_value(ROUND_HALF_UP))


def _every(plan: Document) -> Document:
    months = plan["billing_frequency"]
    whole_years = months % 12 == 0
    return {
        "interval": "year" if whole_years else "month",
        "intervalCount": months // 12 if whole_years else months,
    }


def _status(raw: Document, plan: Document, now: datetime) -> tuple[Document, str | None]:
    period = None
    if raw["billing_period_start_date"]:
        period = {
            "start": midnight(raw["billing_period_start_date"]),
            "end": midnight(raw["next_billing_date"]),
        }
    number = raw["number_of_billing_cycles"]
    is_last = number is not None and number <= max(raw["current_billing_cycle"], 1)
    match raw["status"]:
        case "Canceled":
            at = raw["status_history"][0]["timestamp"]
            return {"name": "canceled", "canceledAt": at}, at
        case "Expired":
            at = midnight(raw["next_billing_date"])
            return {"name": "canceled", "canceledAt": at}, at
        case "Past Due":
            return {"name": "unpaid", "currentPeriod": period}, period["end"] if is_last and period else None
        case "Pending":
            return {"name": "future"}, None
    if raw["current_billing_cycle"] == 0:
        first = midnight(raw["first_billing_date"])
        is_free = due(raw) <= 0
        return {"name": "trial", "trial": {"start": raw["created_at"], "end": first}}, first if (
            is_last and is_free
        ) else None
    unpaid_first = raw["trial_period"] and raw["current_billing_cycle"] == 1 and not raw["transactions"]
    if unpaid_first and is_last:
        first = midnight(raw["first_billing_date"])
        return {"name": "canceled", "canceledAt": first}, first
    pause = next((each for each in raw["discounts"] if each["id"] == PAUSE_ID), None)
    if pause is not None and not is_last:
        had = pause["current_billing_cycle"]
        return {
            "name": "paused",
            "pause": {
                "start": _charge_day(raw, plan, -had),
                "end": _charge_day(raw, plan, pause["number_of_billing_cycles"] - had),
            },
            "currentPeriod": period,
        }, None
    return {"name": "active", "currentPeriod": period}, period["end"] if is_last and period else None


def _discount(raw: Document, each: Document, plan: Document) -> Document:
    number, currency = each["number_of_billing_cycles"], raw["currency"]
    coupon = {
        "id": each["id"],
        "amountOff": minor(each["amount"], currency) * each["quantity"],
        "currency": currency,
    }
    if number is None:
        return {"id": each["id"], "coupon": {**coupon, "duration": "forever"}}
    left = 0 if is_used_up(each) else number - each["current_billing_cycle"]
    return {"id": each["id"], "coupon": coupon, "end": _charge_day(raw, plan, left)}


def _charge_day(raw: Document, plan: Document, number: int) -> str:
    first = date.fromisoformat(raw["next_billing_date"])
    return midnight(later(first, number * plan["billing_frequency"], raw["billing_day_of_month"]).isoformat())


def midnight(day: str) -> str:
    at = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    return stamp(at)
