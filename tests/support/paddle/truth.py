"""The canonical truth about customers and subscriptions, from Paddle's own entities. Knows nothing of our adapter."""

from collections.abc import Mapping
from typing import Any

from tests.support.paddle.shapes import Entity

Document = dict[str, Any]


def customer(customer_id: str, raw: Entity, home: Entity | None) -> Document:
    found = {"id": customer_id, "email": raw["email"], "name": raw["name"]}
    return _present({**found, "addresses": [{"country": home["country_code"]}] if home else None})


def subscription(raw: Entity, discounts: Mapping[str, Entity]) -> Document:
    waiting = raw["scheduled_change"]
    end = None
    if raw["status"] == "canceled":
        end = raw["canceled_at"]
    elif waiting is not None and waiting["action"] == "cancel":
        end = waiting["effective_at"]
    return _present(
        {
            "id": raw["id"],
            "customerId": raw["customer_id"],
            "start": raw["started_at"],
            "status": _status(raw),
            "items": [
                {"price": _price(each["price"]), "quantity": each["quantity"]} for each in raw["items"]
            ],
            "duration": _duration(raw["billing_cycle"]),
            "end": end,
            "discounts": [_discount(raw, discounts)] if raw["discount"] else [],
        }
    )


def _status(raw: Entity) -> Document:
    waiting, period = raw["scheduled_change"], raw["current_billing_period"]
    runs_until = waiting["effective_at"] if waiting and raw["status"] != "paused" else raw["next_billed_at"]
    current = {"start": period["starts_at"], "end": runs_until or period["ends_at"]} if period else None
    match raw["status"], waiting:
        case "canceled", _:
            return {"name": "canceled", "canceledAt": raw["canceled_at"]}
        case "paused", None:
            return {"name": "paused", "pause": {"start": raw["paused_at"]}}
        case "paused", _:
            return {"name": "paused", "pause": {"start": raw["paused_at"], "end": waiting["effective_at"]}}
        case _, {"action": "pause", "effective_at": start, "resume_at": resume_at}:
            pause = _present({"start": start, "end": resume_at})
            return _present({"name": "paused", "pause": pause, "currentPeriod": current})
        case "past_due", _:
            return _present({"name": "unpaid", "currentPeriod": current})
        case "trialing", _:
            return {"name": "trial", "trial": current}
        case _:
            return {"name": "active", "currentPeriod": current}


def _price(raw: Entity) -> Document:
    amount = {"value": int(raw["unit_price"]["amount"]), "currency": raw["unit_price"]["currency_code"]}
    return _present(
        {"id": raw["id"], "name": raw["name"], "amount": amount, "duration": _duration(raw["billing_cycle"])}
    )


def _duration(raw: Entity | None) -> Document | None:
    return {"interval": raw["interval"], "intervalCount": raw["frequency"]} if raw else None


def _discount(raw: Entity, discounts: Mapping[str, Entity]) -> Document:
    given, entity = raw["discount"], discounts[raw["discount"]["id"]]
    periods, every = entity["maximum_recurring_intervals"], raw["billing_cycle"]
    months = {"month": 1, "year": 12}[every["interval"]] * every["frequency"]
    duration = "forever" if periods is None else "once" if periods == 1 else "repeating"
    coupon = {
        "id": entity["id"],
        "percentOff": float(entity["amount"]) if entity["type"] == "percentage" else None,
        "amountOff": int(entity["amount"]) if entity["type"] == "flat" else None,
        "currency": entity["currency_code"],
        "duration": duration,
        "durationInMonths": periods * months if duration == "repeating" else None,
    }
    since = raw.get("_attached_at", given["starts_at"])
    return _present({"id": given["id"], "coupon": _present(coupon), "start": since, "end": given["ends_at"]})


def _present(document: Document) -> Document:
    return {name: value for name, value in document.items() if value is not None}
