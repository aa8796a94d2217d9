"""Maxio's own objects, made from canonical documents; and the canonical truth read back out of them."""

import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from demo.billing.timeline import read_moment, write_moment
from tests.support.maxio.clockwork import must, period_of, read, uses_allowed, write
from tests.support.simulator.books import Document

SITE_CURRENCY: Final = "USD"
FAMILY: Final = 4001
_STATES: Final = {
    "active": "active",
    "trial": "trialing",
    "paused": "on_hold",
    "canceled": "canceled",
    "unpaid": "past_due",
    "future": "awaiting_signup",
}


def id_of(name: str) -> str:
    """Numbers for everything but coupons, which go by their code."""
    if name.lower().startswith("coupon"):
        return re.sub(r"[^A-Z0-9%@+_.-]", "_", name.upper())
    return str(number_of(name))


def number_of(name: str) -> int:
    if name.isdecimal():
        return int(name)
    return 10_000_000 + int(sha256(name.encode()).hexdigest()[:12], 16) % 900_000_000


def empty(mode: str) -> Document:
    site = {
        "id": 77001 if mode == "test" else 77002,
        "name": "Northwind Notes",
        "subdomain": f"northwind-{mode}",
        "currency": SITE_CURRENCY,
        "non_primary_currencies": [],
        "relationship_invoicing_enabled": True,
        "schedule_subscription_cancellation_enabled": False,
        "auto_renewals_enabled": False,
        "test": mode == "test",
    }
    names = ("products", "price_points", "coupons", "customers", "subscriptions", "components", "renewals")
    return {
        "site": site,
        **{name: {} for name in names},
        "metadata": {"customers": {}, "subscriptions": {}},
        "marks": {},
    }


def put_price(state: Document, price: Document) -> Document:
    """A product for each product, and a price point for each price of it."""
    product_id = number_of(price.get("productId") or f"prod_of_{price['id']}")
    price_id = number_of(price["id"])
    duration = price["duration"]
    unit = "day" if duration["interval"] in ("day", "week") else "month"
    span = {"day": 1, "week": 7, "month": 1, "year": 12}[duration["interval"]]
    product = state["products"].setdefault(
        str(product_id),
        {
            "id": product_id,
            "name": price.get("name"),
            "handle": f"product-{product_id}",
            "description": "",
            "archived_at": None,
            "default_product_price_point_id": price_id,
            "product_family": {"id": FAMILY, "name": "Northwind", "handle": "northwind"},
        },
    )
    kept: Document = {
        "id": price_id,
        "name": price.get("name"),
        "handle": f"price-{price_id}",
        "type": "default" if product["default_product_price_point_id"] == price_id else "catalog",
        "price_in_cents": price["amount"].get("value", 0),
        "interval": span * duration.get("intervalCount", 1),
        "interval_unit": unit,
        "trial_interval": None,
        "expiration_interval": None,
        "expiration_interval_unit": "never",
        "initial_charge_in_cents": None,
        "product_id": product_id,
        "archived_at": None,
        "use_site_exchange_rate": True,
        "created_at": "2026-01-01T00:00:00-05:00",
    }
    state["price_points"][str(price_id)] = kept
    return kept


def put_coupon(state: Document, coupon: Document) -> Document:
    code = id_of(coupon["id"]) if coupon["id"].lower().startswith("coupon") else coupon["id"].upper()
    found = next((each for each in state["coupons"].values() if each["code"] == code), None)
    coupon_id = found["id"] if found else 3_000_000 + len(state["coupons"])
    duration = coupon.get("duration") or "once"
    percent = coupon.get("percentOff")
    kept: Document = {
        "id": coupon_id,
        "name": coupon.get("name") or code,
        "code": code,
        "description": coupon.get("name") or code,
        "amount_in_cents": coupon.get("amountOff"),
        "percentage": None if percent is None else str(percent),
        "product_family_id": FAMILY,
        "recurring": duration != "once",
        "recurring_scheme": {
            "once": "do_not_recur",
            "repeating": "recur_with_duration",
            "forever": "recur_indefinitely",
        }[duration],
        "duration_period_count": coupon.get("durationInMonths"),
        "duration_interval": None,
        "duration_interval_unit": None,
        "end_date": None,
        "conversion_limit": None,
        "stackable": False,
        "archived_at": None,
        "conversions": 0,
        "created_at": "2026-01-01T00:00:00-05:00",
    }
    state["coupons"][str(coupon_id)] = kept
    return kept


def put_customer(
    state: Document, customer: Document, subscriptions: Sequence[Document], now: datetime
) -> None:
    customer_id = number_of(customer["id"])
    address = next(iter(customer.get("addresses") or []), {})
    state["customers"][str(customer_id)] = {
        "id": customer_id,
        "first_name": customer.get("name") or "",
        "last_name": customer.get("lastName") or "",
        "email": customer.get("email"),
        "organization": None,
        "reference": None if customer["id"].isdecimal() else customer["id"],
        "address": address.get("line1"),
        "address_2": address.get("line2"),
        "city": address.get("city"),
        "state": address.get("state"),
        "zip": address.get("postalCode"),
        "country": address.get("country"),
        "phone": customer.get("phone"),
        "created_at": write(now),
    }
    own = {name: str(value) for name, value in (customer.get("metadata") or {}).items()}
    state["metadata"]["customers"][str(customer_id)] = own
    for old in [s for s in state["subscriptions"].values() if s["customer_id"] == customer_id]:
        del state["subscriptions"][str(old["id"])]
    for subscription in subscriptions:
        _put_subscription(state, customer_id, subscription, now)


def _put_subscription(state: Document, customer_id: int, given: Document, now: datetime) -> None:
    subscription_id = number_of(given["id"])
    price = put_price(state, given["items"][0]["price"])
    status = given["status"]
    period = status.get("trial") or status.get("currentPeriod") or {}
    starts, ends = (write(read_moment(period[name])) if period else None for name in ("start", "end"))
    is_trial = status["name"] == "trial"
    pause = status.get("pause") or {}
    end = given.get("end")
    kept: Document = {
        "id": subscription_id,
        "state": _STATES[status["name"]],
        "customer_id": customer_id,
        "product_id": price["product_id"],
        "product_price_point_id": price["id"],
        "product_price_in_cents": price["price_in_cents"],
        "balance_in_cents": price["price_in_cents"] if status["name"] == "unpaid" else 0,
        "created_at": write(read_moment(given["start"])),
        "activated_at": None if is_trial else write(read_moment(given["start"])),
        "updated_at": write(now),
        "current_period_started_at": starts,
        "current_period_ends_at": ends,
        "next_assessment_at": ends,
        "trial_started_at": starts if is_trial else None,
        "trial_ended_at": ends if is_trial else None,
        "expires_at": None,
        "canceled_at": write(read_moment(status["canceledAt"])) if status["name"] == "canceled" else None,
        "cancellation_message": None,
        "cancel_at_end_of_period": bool(end) and status["name"] != "canceled",
        "delayed_cancel_at": write(read_moment(end)) if end and status["name"] != "canceled" else None,
        "scheduled_cancellation_at": None,
        "automatically_resume_at": write(read_moment(pause["end"])) if pause.get("end") else None,
        "on_hold_at": write(read_moment(pause["start"])) if pause else None,
        "payment_collection_method": "automatic",
        "snap_day": None,
        "next_product_id": None,
        "next_product_price_point_id": None,
        "currency": given["items"][0]["price"]["amount"].get("currency") or SITE_CURRENCY,
        "group": None,
        "reference": None,
        "_coupons": [],
    }
    for discount in given.get("discounts") or []:
        coupon = put_coupon(
            state, {**discount["coupon"], "id": discount["coupon"].get("id") or discount["id"]}
        )
        kept["_coupons"].append({"coupon_id": coupon["id"], "use_count": 0})
    state["subscriptions"][str(subscription_id)] = kept
    own = {name: str(value) for name, value in (given.get("metadata") or {}).items()}
    state["metadata"]["subscriptions"][str(subscription_id)] = own
    state["components"][str(subscription_id)] = [_component(item) for item in given["items"][1:]]


def _component(item: Document) -> Document:
    return {
        "component_id": number_of(f"component_{item['price']['id']}"),
        "name": item["price"].get("name") or "Seats",
        "kind": "quantity_based_component",
        "allocated_quantity": item.get("quantity", 1),
        "enabled": None,
        "unit_balance": 0,
        "pricing_scheme": "per_unit",
        "price_point_id": number_of(item["price"]["id"]),
    }


# --- As the API shows them ------------------------------------------------------------------------


def shown_subscription(state: Document, subscription: Document, *, with_coupons: bool) -> Document:
    price = state["price_points"][str(subscription["product_price_point_id"])]
    product = state["products"][str(subscription["product_id"])]
    given = [(each, state["coupons"][str(each["coupon_id"])]) for each in subscription["_coupons"]]
    hidden = ("_coupons", "customer_id", "product_id")
    shown = {name: value for name, value in subscription.items() if name not in hidden}
    shown["previous_state"] = subscription["state"]
    shown["customer"] = state["customers"][str(subscription["customer_id"])]
    shown["product"] = {
        **product,
        "price_in_cents": price["price_in_cents"],
        "interval": price["interval"],
        "interval_unit": price["interval_unit"],
        "product_price_point_id": price["id"],
        "product_price_point_handle": price["handle"],
    }
    shown["coupon_codes"] = [coupon["code"] for _, coupon in given]
    shown["coupon_code"] = shown["coupon_codes"][0] if given else None
    if with_coupons:
        shown["coupons"] = [
            {
                "code": coupon["code"],
                "use_count": each["use_count"],
                "uses_allowed": uses_allowed(coupon),
                "expires_at": None,
                "recurring": coupon["recurring"],
                "amount_in_cents": coupon["amount_in_cents"],
                "percentage": coupon["percentage"],
            }
            for each, coupon in given
        ]
    return shown


# --- The truth ------------------------------------------------------------------------------------


def true_customer(state: Document, customer_id: str) -> Document | None:
    found = state["customers"].get(customer_id)
    if found is None:
        return None
    return {
        "id": customer_id,
        "email": found["email"],
        "name": found["first_name"],
        "lastName": found["last_name"],
        "addresses": [{"country": found["country"]}] if found["country"] else [],
    }


def true_subscription(state: Document, subscription_id: str) -> Document | None:
    found = state["subscriptions"].get(subscription_id)
    if found is None:
        return None
    price = state["price_points"][str(found["product_price_point_id"])]
    every = {"interval": price["interval_unit"], "intervalCount": price["interval"]}
    if price["interval_unit"] == "month" and price["interval"] % 12 == 0:
        every = {"interval": "year", "intervalCount": price["interval"] // 12}
    unit = {
        "id": str(price["id"]),
        "type": "product",
        "productId": str(price["product_id"]),
        "name": state["products"][str(price["product_id"])]["name"],
        "duration": every,
        "amount": {"value": found["product_price_in_cents"], "currency": found["currency"]},
    }
    document: Document = {
        "id": subscription_id,
        "customerId": str(found["customer_id"]),
        "start": _utc(found["created_at"]),
        "status": _true_status(found),
        "items": [{"id": subscription_id, "price": unit, "quantity": 1}],
        "duration": every,
        "discounts": [_true_discount(state, found, each) for each in found["_coupons"]],
        "metadata": {},
    }
    if found["state"] == "canceled":
        document["end"] = _utc(found["canceled_at"])
    elif found["cancel_at_end_of_period"] and found["state"] != "on_hold":
        document["end"] = _utc(found["delayed_cancel_at"] or found["current_period_ends_at"])
    return document


def _true_status(found: Document) -> Document:
    starts, ends = found["current_period_started_at"], found["current_period_ends_at"]
    period = {"start": _utc(starts), "end": _utc(ends)} if starts and ends else None
    match found["state"]:
        case "trialing":
            return {
                "name": "trial",
                "trial": {"start": _utc(found["trial_started_at"]), "end": _utc(found["trial_ended_at"])},
            }
        case "on_hold":
            pause = {"start": _utc(found["on_hold_at"])}
            if found["automatically_resume_at"]:
                pause["end"] = _utc(found["automatically_resume_at"])
            return {"name": "paused", "pause": pause, "currentPeriod": period}
        case "canceled" | "expired":
            return {"name": "canceled", "canceledAt": _utc(found["canceled_at"] or found["expires_at"])}
        case "active":
            return {"name": "active", "currentPeriod": period}
        case "awaiting_signup":
            return {"name": "future", **({"currentPeriod": period} if period else {})}
        case _:
            return {"name": "unpaid", **({"currentPeriod": period} if period else {})}


def _true_discount(state: Document, found: Document, given: Document) -> Document:
    coupon = state["coupons"][str(given["coupon_id"])]
    allowed = uses_allowed(coupon)
    figures: Document = {"id": coupon["code"], "duration": "forever" if allowed is None else "repeating"}
    if not coupon["recurring"]:
        figures["duration"] = "once"
    if coupon["percentage"] is not None:
        figures["percentOff"] = float(coupon["percentage"])
    else:
        figures |= {"amountOff": coupon["amount_in_cents"], "currency": SITE_CURRENCY}
    interval, unit = period_of(state, found)
    if allowed and coupon["recurring"] and unit == "month":
        figures["durationInMonths"] = allowed * interval
    return {"id": coupon["code"], "coupon": figures}


def _utc(text: str | None) -> str:
    return write_moment(must(text))


def is_over(subscription: Document) -> bool:
    return subscription["state"] in ("canceled", "expired", "failed_to_create")


def newest_first(subscriptions: list[Document]) -> list[Document]:
    return sorted(subscriptions, key=lambda each: read(each["created_at"]) or must(None), reverse=True)
