"""What is true of Stripe's objects, in canonical form. Knows nothing of our adapter."""

from datetime import datetime

from demo.billing.timeline import write_moment
from tests.support.simulator.books import Document
from tests.support.stripe.objects import moment, period_end, to_minor


def customer(stored: Document) -> Document:
    first, _, last = (stored["name"] or "").partition(" ")
    found = {
        "id": stored["id"],
        "email": stored["email"],
        "name": first or None,
        "lastName": last or None,
        "phone": stored["phone"],
        "currency": stored["currency"].upper() if stored["currency"] else None,
        "addresses": [{"country": stored["address"]["country"]}] if stored["address"]["country"] else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def subscription(state: Document, stored: Document, now: datetime) -> Document:
    status = _status(stored, now)
    found = {
        "id": stored["id"],
        "customerId": stored["customer"],
        "start": _iso(stored["start_date"]),
        "status": status,
        "items": [
            {"id": item["id"], "price": _price(item["price"]), "quantity": item["quantity"]}
            for item in stored["items"]["data"]
        ],
        "duration": _duration(stored["items"]["data"][0]["price"]),
        "discounts": [_discount(state["discounts"][name]) for name in stored["discounts"]],
        "metadata": {},
    }
    end = stored["ended_at"] if stored["status"] == "canceled" else stored["cancel_at"]
    obstacles = list(_obstacles(stored))
    return found | ({"end": _iso(end)} if end else {}) | ({"obstacles": obstacles} if obstacles else {})


def _status(stored: Document, now: datetime) -> Document:
    first = stored["items"]["data"][0]
    period = {"start": _iso(first["current_period_start"]), "end": _iso(period_end(stored))}
    pause = stored["pause_collection"]
    match stored["status"]:
        case "canceled":
            return {"name": "canceled", "canceledAt": _iso(stored["ended_at"])}
        case "past_due" | "unpaid" | "incomplete":
            return {"name": "unpaid", "currentPeriod": period}
        case "paused":
            return {"name": "paused", "pause": {"start": period["start"]}, "currentPeriod": period}
    until = pause["resumes_at"] if pause else None
    is_moot = stored["cancel_at"] is not None and (until is None or stored["cancel_at"] <= until)
    if pause and not is_moot:
        span = {"start": min(period["start"], _iso(until)) if until else period["start"]}
        return {
            "name": "paused",
            "pause": span | ({"end": _iso(until)} if until else {}),
            "currentPeriod": period,
        }
    # Who has paid before and is "trialing" again has only had the renewal moved.
    if stored["status"] == "trialing" and not stored["_was_paid_for"]:
        return {
            "name": "trial",
            "trial": {"start": _iso(stored["trial_start"]), "end": _iso(stored["trial_end"])},
        }
    return {"name": "active", "currentPeriod": period}


def _obstacles(stored: Document) -> list[str]:
    behavior = (stored["pause_collection"] or {}).get("behavior", "void")
    found = {
        "schedule": stored["schedule"] is not None,
        "pending_update": stored["pending_update"] is not None,
        "several_items": stored["items"]["has_more"],
        "foreign_pause": stored["status"] == "paused" or behavior != "void",
    }
    return [name for name, is_so in found.items() if is_so]


def _price(stored: Document) -> Document:
    return {
        "id": stored["id"],
        "productId": stored["product"],
        **({"name": stored["nickname"]} if stored.get("nickname") else {}),
        "duration": _duration(stored),
        "amount": {
            "value": to_minor(stored["unit_amount"], stored["currency"]),
            "currency": stored["currency"].upper(),
        },
    }


def _duration(stored: Document) -> Document:
    return {
        "interval": stored["recurring"]["interval"],
        "intervalCount": stored["recurring"]["interval_count"],
    }


def _discount(stored: Document) -> Document:
    coupon = stored["_coupon"]
    currency = coupon["currency"]
    described = {
        "id": coupon["id"],
        "percentOff": coupon["percent_off"],
        "amountOff": None if coupon["amount_off"] is None else to_minor(coupon["amount_off"], currency),
        "currency": currency.upper() if currency else None,
        "duration": coupon["duration"],
        "durationInMonths": coupon["duration_in_months"],
    }
    found = {
        "id": stored["id"],
        "coupon": {key: value for key, value in described.items() if value is not None},
        "start": _iso(stored["start"]),
        "end": _iso(stored["end"]) if stored["end"] else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _iso(timestamp: int) -> str:
    return write_moment(moment(timestamp))
