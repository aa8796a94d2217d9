"""Entities in Paddle's shape, made from the demo's canonical documents."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from demo.billing.timeline import add_interval
from tests.support.paddle.ids import moment, named, stamp, translated

Entity = dict[str, Any]


def price(canonical: Mapping[str, Any], at: datetime) -> Entity:
    duration = canonical.get("duration")
    return {
        "id": translated(canonical["id"]),
        "product_id": translated(canonical.get("productId") or "prod_none"),
        "type": "standard",
        "name": canonical.get("name"),
        "description": canonical.get("description") or canonical.get("name") or "A price",
        "billing_cycle": cycle(duration) if duration else None,
        "trial_period": None,
        "tax_mode": "external",
        "unit_price": {
            "amount": str(canonical["amount"]["value"]),
            "currency_code": canonical["amount"]["currency"],
        },
        "unit_price_overrides": [],
        "quantity": {"minimum": 1, "maximum": 100},
        "status": "active" if canonical.get("active", True) else "archived",
        "custom_data": canonical.get("metadata") or None,
        "import_meta": None,
        "created_at": stamp(at),
        "updated_at": stamp(at),
    }


def cycle(duration: Mapping[str, Any]) -> Entity:
    return {"interval": duration["interval"], "frequency": duration.get("intervalCount", 1)}


def discount(canonical: Mapping[str, Any], at: datetime, period_months: int = 1) -> Entity:
    """Paddle puts only recurring discounts on subscriptions: one that is given once recurs for one period."""
    percent = canonical.get("percentOff")
    duration = canonical.get("duration") or "forever"
    months = canonical.get("durationInMonths") or 1
    periods = {"once": 1, "repeating": -(-months // period_months), "forever": None}[duration]
    return {
        "id": translated(canonical["id"]),
        "status": "active",
        "description": canonical.get("name") or "A discount",
        "enabled_for_checkout": True,
        "code": None,
        "type": "percentage" if percent is not None else "flat",
        "mode": "standard",
        "amount": str(percent if percent is not None else canonical["amountOff"]),
        "currency_code": None if percent is not None else canonical.get("currency", "USD"),
        "recur": True,
        "maximum_recurring_intervals": periods,
        "usage_limit": None,
        "restrict_to": None,
        "expires_at": None,
        "times_used": 0,
        "discount_group_id": None,
        "custom_data": canonical.get("metadata") or None,
        "import_meta": None,
        "created_at": stamp(at),
        "updated_at": stamp(at),
    }


def customer(canonical: Mapping[str, Any], at: datetime) -> Entity:
    names = [canonical.get("name"), canonical.get("lastName")]
    return {
        "id": translated(canonical["id"]),
        "status": "active",
        "name": " ".join(name for name in names if name) or None,
        "email": canonical["email"],
        "marketing_consent": False,
        "locale": "en",
        "custom_data": canonical.get("metadata") or None,
        "import_meta": None,
        "created_at": stamp(at),
        "updated_at": stamp(at),
    }


def address(canonical: Mapping[str, Any], at: datetime) -> Entity:
    given = (canonical.get("addresses") or [{"country": "US"}])[0]
    return {
        "id": named("add", canonical["id"]),
        "customer_id": translated(canonical["id"]),
        "description": None,
        "first_line": given.get("line1"),
        "second_line": given.get("line2"),
        "city": given.get("city"),
        "postal_code": given.get("postalCode"),
        "region": given.get("state"),
        "country_code": given["country"],
        "custom_data": None,
        "status": "active",
        "import_meta": None,
        "created_at": stamp(at),
        "updated_at": stamp(at),
    }


def subscription(canonical: Mapping[str, Any], owner: Entity, home: Entity, now: datetime) -> Entity:
    """Raises KeyError for a status that Paddle has no word for."""
    status = canonical["status"]
    prices = [(price(item["price"], now), item["quantity"]) for item in canonical["items"]]
    period = status.get("trial") or status.get("currentPeriod")
    starts_at, ends_at = (moment(period["start"]), moment(period["end"])) if period else (None, None)
    begun = moment(canonical["start"])
    raw: Entity = {
        "id": translated(canonical["id"]),
        "status": {"trial": "trialing", "unpaid": "past_due"}.get(status["name"], status["name"]),
        "customer_id": owner["id"],
        "address_id": home["id"],
        "business_id": None,
        "currency_code": prices[0][0]["unit_price"]["currency_code"],
        "created_at": stamp(begun),
        "updated_at": stamp(now),
        "started_at": stamp(begun),
        "first_billed_at": None if status["name"] == "trial" else stamp(begun),
        "next_billed_at": stamp(ends_at) if ends_at and status["name"] != "paused" else None,
        "paused_at": None,
        "canceled_at": None,
        "discount": None,
        "collection_mode": "automatic",
        "billing_details": None,
        "current_billing_period": {"starts_at": stamp(starts_at), "ends_at": stamp(ends_at)}
        if starts_at and ends_at
        else None,
        "billing_cycle": prices[0][0]["billing_cycle"],
        "scheduled_change": None,
        "items": [item(each, count, status["name"] == "trial", period, now) for each, count in prices],
        "custom_data": canonical.get("metadata") or None,
        "management_urls": {
            "update_payment_method": None,
            "cancel": "https://buyer-portal.paddle.com/cancel",
        },
        "consent_requirements": [],
        "import_meta": None,
    }
    _KNOWN[status["name"]](raw, status)
    if canonical.get("end") and status["name"] in ("active", "trial"):
        raw["scheduled_change"] = change("cancel", canonical["end"])
        raw["next_billed_at"] = None
    return raw


def item(of: Entity, count: int, is_trial: bool, period: Mapping[str, Any] | None, now: datetime) -> Entity:
    dates = {"starts_at": period["start"], "ends_at": period["end"]} if is_trial and period else None
    return {
        "status": "trialing" if is_trial else "active",
        "quantity": count,
        "recurring": True,
        "created_at": stamp(now),
        "updated_at": stamp(now),
        "previously_billed_at": None,
        "next_billed_at": period["end"] if period else None,
        "trial_dates": dates,
        "price": of,
        "product": {"id": of["product_id"], "name": of["name"], "status": "active"},
    }


def change(action: str, at: str, resume_at: str | None = None) -> Entity:
    return {"action": action, "effective_at": at, "resume_at": resume_at}


def after(at: datetime, billing_cycle: Entity, times: int = 1) -> datetime:
    duration = {"interval": billing_cycle["interval"], "intervalCount": billing_cycle["frequency"]}
    return add_interval(at, duration, times)


def _paused(raw: Entity, status: Mapping[str, Any]) -> None:
    pause = status["pause"]
    raw["paused_at"] = pause["start"]
    if pause.get("end"):
        raw["scheduled_change"] = change("resume", pause["end"])


def _canceled(raw: Entity, status: Mapping[str, Any]) -> None:
    raw["canceled_at"] = status["canceledAt"]
    raw["current_billing_period"] = raw["next_billed_at"] = None


def _nothing(raw: Entity, status: Mapping[str, Any]) -> None:
    return None


_KNOWN = {
    "active": _nothing,
    "trial": _nothing,
    "unpaid": _nothing,
    "paused": _paused,
    "canceled": _canceled,
}
