"""Stripe's objects as stored here, how canonical ones become such, and how they are sent: expanded as asked.

Objects refer to each other by id. Names that begin with `_` are the simulator's own and are never sent.
"""

import copy
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from demo.billing.timeline import add_interval, add_months
from tests.support.simulator.books import Document
from tests.support.stripe.params import Refusal

TABLES: Final = (
    "customers",
    "subscriptions",
    "prices",
    "products",
    "coupons",
    "discounts",
    "invoices",
    "keys",
)
DEEPEST: Final = 4
NEVER: Final = 1 << 60
# Stripe's decimals where they are not ISO 4217's: https://docs.stripe.com/currencies
_FACTORS: Final = {"ISK": 100, "UGX": 100}
_DIVISORS: Final = {"MGA": 100}
_ONLY_WHEN_ASKED: Final = {
    "price": ("currency_options", "tiers"),
    "coupon": ("applies_to", "currency_options"),
}
_STATUSES: Final = {
    "active": "active",
    "trial": "trialing",
    "paused": "active",
    "canceled": "canceled",
    "unpaid": "past_due",
}
_REFERENCES: Final = {
    "customer": "customers",
    "product": "products",
    "coupon": "coupons",
    "discounts": "discounts",
    "latest_invoice": "invoices",
    "subscription": "subscriptions",
}


def tables(state: Document) -> Document:
    """The state with every table there."""
    for name in TABLES:
        state.setdefault(name, {})
    state.setdefault("next", 1)
    state.setdefault("indexed", {})
    return state


def fresh_id(state: Document, prefix: str) -> str:
    state["next"] = state.get("next", 1) + 1
    return f"{prefix}_sim{state['next']:012d}"


def stamp(moment: datetime | str) -> int:
    """Seconds since 1970; canonical moments come as ISO 8601."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return int(moment.timestamp())


def moment(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def to_stripe(minor: int, currency: str) -> int:
    return minor * _FACTORS.get(currency.upper(), 1) // _DIVISORS.get(currency.upper(), 1)


def to_minor(amount: int, currency: str) -> int:
    return amount * _DIVISORS.get(currency.upper(), 1) // _FACTORS.get(currency.upper(), 1)


# --- From canonical documents ----------------------------------------------------------------------


def put_price(state: Document, price: Document, livemode: bool) -> Document:
    product_id = price.get("productId", f"prod_{price['id']}")
    state["products"].setdefault(
        product_id,
        {"id": product_id, "object": "product", "active": True, "name": price.get("name"), "livemode": livemode,
         "metadata": {}, "description": None},
    )  # fmt: skip
    amount, duration = price["amount"], price["duration"]
    currency = amount["currency"]
    value = to_stripe(amount["value"], currency)
    state["prices"][price["id"]] = {
        "id": price["id"],
        "object": "price",
        "active": price.get("active", True),
        "billing_scheme": "per_unit",
        "created": len(state["prices"]) + 1_600_000_000,
        "currency": currency.lower(),
        "currency_options": {
            currency.lower(): {
                "unit_amount": value,
                "unit_amount_decimal": str(value),
                "tax_behavior": "unspecified",
            }
        },
        "custom_unit_amount": None,
        "livemode": livemode,
        "lookup_key": None,
        "metadata": {},
        "nickname": price.get("name"),
        "product": product_id,
        "recurring": {
            "interval": duration["interval"],
            "interval_count": duration.get("intervalCount", 1),
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": value,
        "unit_amount_decimal": str(value),
    }
    found: Document = state["prices"][price["id"]]
    return found


def put_coupon(state: Document, coupon: Document, livemode: bool) -> Document:
    currency = coupon.get("currency")
    off = coupon.get("amountOff")
    coupon_id = coupon.get("id") or fresh_id(state, "co")
    state["coupons"][coupon_id] = new_coupon(
        coupon_id,
        name=coupon.get("name"),
        percent_off=coupon.get("percentOff"),
        amount_off=None if off is None else to_stripe(off, str(currency)),
        currency=currency.lower() if off is not None and currency else None,
        duration=coupon.get("duration", "once"),
        months=coupon.get("durationInMonths"),
        livemode=livemode,
    )
    found: Document = state["coupons"][coupon_id]
    return found


def new_coupon(
    coupon_id: str,
    *,
    name: str | None,
    percent_off: float | None,
    amount_off: int | None,
    currency: str | None,
    duration: str,
    months: int | None,
    livemode: bool,
    max_redemptions: int | None = None,
    redeem_by: int | None = None,
    metadata: Document | None = None,
    created: int = 1_600_000_000,
) -> Document:
    return {
        "id": coupon_id,
        "object": "coupon",
        "amount_off": amount_off,
        "applies_to": None,
        "created": created,
        "currency": currency,
        "currency_options": {currency: {"amount_off": amount_off}} if currency else {},
        "duration": duration,
        "duration_in_months": months,
        "livemode": livemode,
        "max_redemptions": max_redemptions,
        "metadata": metadata or {},
        "name": name,
        "percent_off": percent_off,
        "redeem_by": redeem_by,
        "times_redeemed": 0,
        "valid": True,
    }


def new_customer(customer: Document, livemode: bool, now: datetime) -> Document:
    address = next(iter(customer.get("addresses", [])), {})
    name = " ".join(part for part in (customer.get("name"), customer.get("lastName")) if part)
    return {
        "id": customer["id"],
        "object": "customer",
        "address": {
            "city": address.get("city"),
            "country": address.get("country"),
            "line1": address.get("line1"),
            "line2": address.get("line2"),
            "postal_code": address.get("postalCode"),
            "state": address.get("state"),
        },
        "balance": 0,
        "business_name": None,
        "created": stamp(now),
        "currency": customer["currency"].lower() if customer.get("currency") else None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": customer.get("email"),
        "individual_name": None,
        "livemode": livemode,
        "metadata": {key: str(value) for key, value in customer.get("metadata", {}).items()},
        "name": name or None,
        "phone": customer.get("phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
    }


def new_subscription(state: Document, given: Document, livemode: bool, now: datetime) -> Document:
    status = given["status"]
    name = status["name"]
    start = stamp(given["start"])
    duration = given["items"][0]["price"]["duration"]
    trial = status.get("trial")
    period = status.get("currentPeriod") or trial or _period_around(start, duration, now)
    begins, ends = stamp(period["start"]), stamp(period["end"])
    items = [_new_item(state, item, given, begins, ends, livemode) for item in given["items"]]
    cancel_at = stamp(given["end"]) if given.get("end") and name != "canceled" else None
    pause = {"behavior": "void", "resumes_at": stamp(status["pause"]["end"])} if name == "paused" else None
    canceled_at = stamp(status["canceledAt"]) if name == "canceled" else None
    invoice_id = fresh_id(state, "in")
    amount = sum(item["price"]["unit_amount"] * item["quantity"] for item in items)
    state["invoices"][invoice_id] = new_invoice(
        invoice_id, given["id"], given.get("customerId"), 0 if trial else amount, items[0]["price"]["currency"],
        begins, status="open" if name == "unpaid" else "paid",
    )  # fmt: skip
    made = {
        "id": given["id"],
        "object": "subscription",
        "application": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": start if _is_aligned(start, duration, ends) else ends,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"type": "classic"},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": cancel_at,
        "cancel_at_period_end": cancel_at is not None and cancel_at == ends,
        "canceled_at": canceled_at or (stamp(now) if cancel_at else None),
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": start,
        "currency": items[0]["price"]["currency"],
        "customer": given.get("customerId"),
        "days_until_due": None,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": canceled_at,
        "items": {
            "object": "list",
            "data": items,
            "has_more": False,
            "total_count": len(items),
            "url": f"/v1/subscription_items?subscription={given['id']}",
        },
        "latest_invoice": invoice_id,
        "livemode": livemode,
        "metadata": {key: str(value) for key, value in given.get("metadata", {}).items()},
        "pause_collection": pause,
        "pending_update": None,
        "schedule": None,
        "start_date": start,
        "status": _STATUSES[name],
        "test_clock": None,
        "trial_end": stamp(trial["end"]) if trial else None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": stamp(trial["start"]) if trial else None,
        "_was_paid_for": trial is None,
    }
    for discount in given.get("discounts") or []:
        coupon = put_coupon(state, discount["coupon"], livemode)
        made["discounts"].append(
            add_discount(state, made, coupon, stamp(discount["start"]), discount.get("end"))
        )
    return made


def add_discount(
    state: Document, subscription: Document, coupon: Document, start: int, end: str | None = None
) -> str:
    """Redeem a coupon for a subscription. A repeating one runs from now, whenever the next invoice is."""
    discount_id = fresh_id(state, "di")
    until = stamp(end) if end else None
    if until is None and coupon["duration"] == "repeating":
        until = stamp(add_months(moment(start), coupon["duration_in_months"]))
    coupon["times_redeemed"] += 1
    state["discounts"][discount_id] = {
        "id": discount_id,
        "object": "discount",
        "checkout_session": None,
        "customer": subscription["customer"],
        "end": until,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": None,
        "source": {"coupon": coupon["id"], "type": "coupon"},
        "start": start,
        "subscription": subscription["id"],
        "subscription_item": None,
        "_coupon": {key: value for key, value in coupon.items() if not key.startswith("_")},
    }
    return discount_id


def new_invoice(
    invoice_id: str,
    subscription_id: str,
    customer_id: str | None,
    amount: int,
    currency: str,
    at: int,
    *,
    status: str,
) -> Document:
    return {
        "id": invoice_id,
        "object": "invoice",
        "amount_due": amount,
        "amount_paid": amount if status == "paid" else 0,
        "attempt_count": 1,
        "attempted": True,
        "collection_method": "charge_automatically",
        "created": at,
        "currency": currency,
        "customer": customer_id,
        "due_date": None,
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": subscription_id},
        },
        "status": status,
        "total": amount,
    }


def next_period_end(subscription: Document, after: int) -> int:
    """The first billing date after that one, counted from the anchor: the 31st comes back after a short month."""
    price = subscription["items"]["data"][0]["price"]
    every = {
        "interval": price["recurring"]["interval"],
        "intervalCount": price["recurring"]["interval_count"],
    }
    anchor, number = moment(subscription["billing_cycle_anchor"]), 0
    while stamp(add_interval(anchor, every, number)) <= after:
        number += 1
    return stamp(add_interval(anchor, every, number))


def period_end(subscription: Document) -> int:
    return max((item["current_period_end"] for item in subscription["items"]["data"]), default=NEVER)


def _new_item(
    state: Document, item: Document, given: Document, begins: int, ends: int, livemode: bool
) -> Document:
    price = state["prices"].get(item["price"]["id"]) or put_price(state, item["price"], livemode)
    return {
        "id": f"si_{item.get('id', given['id'])}",
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": stamp(given["start"]),
        "current_period_end": ends,
        "current_period_start": begins,
        "discounts": [],
        "metadata": {},
        "price": copy.deepcopy(price),
        "quantity": item.get("quantity", 1),
        "subscription": given["id"],
        "tax_rates": [],
    }


def _period_around(start: int, duration: Document, now: datetime) -> Document:
    begins, number = moment(start), 0
    while add_interval(begins, duration, number + 1) <= now:
        number += 1
    ends = add_interval(begins, duration, number + 1)
    return {"start": add_interval(begins, duration, number).isoformat(), "end": ends.isoformat()}


def _is_aligned(start: int, duration: Document, ends: int) -> bool:
    at, number = start, 0
    while at < ends:
        number += 1
        at = stamp(add_interval(moment(start), duration, number))
    return at == ends


# --- As sent ---------------------------------------------------------------------------------------


def sent(state: Document, stored: Document, expand: Sequence[str] = ()) -> Document:
    """The object as Stripe sends it. Raises Refusal for what cannot be expanded."""
    answer = _bare(stored)
    for path in expand:
        steps = path.split(".")
        if len(steps) > DEEPEST:
            raise Refusal(
                f"You cannot expand more than {DEEPEST} levels of properties: {path}.", param="expand"
            )
        _expand(state, answer, steps, path)
    return answer


def _bare(stored: Any) -> Any:
    match stored:
        case dict():
            hidden = _ONLY_WHEN_ASKED.get(str(stored.get("object")), ())
            return {
                key: _bare(value)
                for key, value in stored.items()
                if key not in hidden and not key.startswith("_")
            }
        case list():
            return [_bare(one) for one in stored]
        case _:
            return stored


def _expand(state: Document, node: Any, steps: Sequence[str], path: str) -> None:
    if isinstance(node, list):
        for one in node:
            _expand(state, one, steps, path)
        return
    if not isinstance(node, dict):
        raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
    name, rest = steps[0], steps[1:]
    if name in _ONLY_WHEN_ASKED.get(str(node.get("object")), ()):
        table = "prices" if node["object"] == "price" else "coupons"
        node[name] = copy.deepcopy(state[table].get(node["id"], {}).get(name))
    elif name not in node:
        raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
    elif isinstance(node[name], str):
        node[name] = _referred(state, name, node[name], path)
    elif isinstance(node[name], list) and name == "discounts":
        node[name] = [
            _referred(state, name, one, path) if isinstance(one, str) else one for one in node[name]
        ]
    if rest and node[name] is not None:
        _expand(state, node[name], rest, path)


def _referred(state: Document, name: str, given: str, path: str) -> Document:
    table = _REFERENCES.get(name)
    if table is None:
        raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
    found = state[table].get(given)
    if found is None and name == "coupon":  # deleted since: discounts that it made live on
        found = next(
            (one["_coupon"] for one in state["discounts"].values() if one["source"]["coupon"] == given), None
        )
    if found is None:
        return {"id": given, "object": name.rstrip("s"), "deleted": True}
    bare: Document = _bare(found)
    return bare
