"""Chargebee's objects from canonical ones and back: what a test puts there, and the truth that it reads."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from app.core.money import exponent
from demo.billing.timeline import read_moment, write_moment
from tests.support.simulator.books import Document

_DURATIONS: Final = {"once": "one_time", "repeating": "limited_period", "forever": "forever"}
_WORDS: Final = {theirs: ours for ours, theirs in _DURATIONS.items()}


def seconds(moment: datetime | str) -> int:
    return int((read_moment(moment) if isinstance(moment, str) else moment).timestamp())


def moment(value: int) -> str:
    return write_moment(datetime.fromtimestamp(value, UTC))


def priced(minor: int, currency: str, name: str) -> Document:
    """`{"price": 2900}`, or `{"price_in_decimal": "2.995"}` for what two decimals do not hold."""
    places = exponent(currency)
    if places == 0:
        return {name: minor}
    amount, rest = divmod(minor, 10 ** (places - 2))
    return {f"{name}_in_decimal": str(Decimal(minor).scaleb(-places))} if rest else {name: amount}


def minor_of(thing: Document, name: str, currency: str) -> int:
    """The reverse."""
    places = exponent(currency)
    if (text := thing.get(f"{name}_in_decimal")) is not None:
        return int(Decimal(text).scaleb(places))
    value: int = thing[name]
    return value if places == 0 else value * 10 ** (places - 2)


def item_price(price: Document, now: int) -> Document:
    currency = price["amount"]["currency"]
    duration = price["duration"]
    return {
        "id": price["id"],
        "name": price["id"],
        "external_name": price.get("name", price["id"]),
        "item_family_id": "northwind",
        "item_id": price.get("productId", price["id"]),
        "item_type": "plan",
        "status": "active" if price.get("active", True) else "archived",
        "pricing_model": "per_unit",
        **priced(price["amount"]["value"], currency, "price"),
        "currency_code": currency,
        "period": duration.get("intervalCount", 1),
        "period_unit": duration["interval"],
        "free_quantity": 0,
        "is_taxable": True,
        "channel": "web",
        "created_at": now,
        "updated_at": now,
        "resource_version": now * 1000,
        "object": "item_price",
    }


def coupon(given: Document, now: int) -> Document:
    made = {
        "id": given["id"],
        "name": given["name"],
        "invoice_name": given["name"],
        "status": "active",
        "apply_on": "invoice_amount",
        "duration_type": _DURATIONS[given["duration"]],
        "redemptions": 0,
        "created_at": now,
        "updated_at": now,
        "resource_version": now * 1000,
        "object": "coupon",
    }
    if given["duration"] == "repeating":
        made |= {"period": given["durationInMonths"], "period_unit": "month"}
    if "percentOff" in given:
        return made | {"discount_type": "percentage", "discount_percentage": float(given["percentOff"])}
    currency = given["currency"]
    amount = priced(given["amountOff"], currency, "discount_amount")
    return made | {"discount_type": "fixed_amount", "currency_code": currency, **amount}


def customer(given: Document, now: int) -> Document:
    made = {
        "id": given["id"],
        "auto_collection": "on",
        "net_term_days": 0,
        "allow_direct_debit": False,
        "taxability": "taxable",
        "pii_cleared": "active",
        "channel": "web",
        "deleted": False,
        "promotional_credits": 0,
        "refundable_credits": 0,
        "excess_payments": 0,
        "unbilled_charges": 0,
        "created_at": now,
        "updated_at": now,
        "resource_version": now * 1000,
        "object": "customer",
    }
    renamed = {
        "email": "email",
        "name": "first_name",
        "lastName": "last_name",
        "phone": "phone",
        "currency": "preferred_currency_code",
        "metadata": "meta_data",
    }
    made |= {theirs: given[ours] for ours, theirs in renamed.items() if ours in given}
    for address in given.get("addresses", [])[:1]:
        renamed = {"city": "city", "state": "state", "country": "country", "postalCode": "zip"}
        made["billing_address"] = {
            "object": "billing_address",
            "validation_status": "not_validated",
            **{theirs: address[ours] for ours, theirs in renamed.items() if ours in address},
        }
    return made


def subscription(given: Document, now: int) -> Document:
    """The vendor's shape of a canonical subscription; discounts are put there by the caller."""
    price = given["items"][0]["price"]
    duration = given.get("duration") or price["duration"]
    made: Document = {
        "id": given["id"],
        "customer_id": given["customerId"],
        "currency_code": price["amount"]["currency"],
        "billing_period": duration.get("intervalCount", 1),
        "billing_period_unit": duration["interval"],
        "created_at": seconds(given["start"]),
        "started_at": seconds(given["start"]),
        "subscription_items": [item(each["price"], each.get("quantity", 1)) for each in given["items"]],
        "coupons": [],
        "due_invoices_count": 0,
        "has_scheduled_changes": False,
        "has_scheduled_advance_invoices": False,
        "deleted": False,
        "mrr": 0,
        "channel": "web",
        "updated_at": now,
        "resource_version": now * 1000,
        "object": "subscription",
        **({"meta_data": given["metadata"]} if given.get("metadata") else {}),
    }
    made |= _standing(given["status"], now)
    if "end" in given and given["status"]["name"] != "canceled":
        made["cancelled_at"] = seconds(given["end"])
        if made["status"] == "active":
            made["status"] = "non_renewing"
            made.pop("next_billing_at", None)
    return made


def item(price: Document, quantity: int) -> Document:
    amount = priced(price["amount"]["value"], price["amount"]["currency"], "unit_price")
    line = {
        "item_price_id": price["id"],
        "item_type": "plan",
        "quantity": quantity,
        **amount,
        "free_quantity": 0,
        "object": "subscription_item",
    }
    return line | ({"amount": amount["unit_price"] * quantity} if "unit_price" in amount else {})


def _standing(status: Document, now: int) -> Document:
    period = status.get("currentPeriod")
    term = {}
    if period:
        start, end = seconds(period["start"]), seconds(period["end"])
        term = {"current_term_start": start, "current_term_end": end, "next_billing_at": end}
    match status:
        case {"name": "active"}:
            return {"status": "active", "activated_at": term["current_term_start"], **term}
        case {"name": "unpaid"}:
            owed = {"due_invoices_count": 1, "due_since": now - 86_400, "total_dues": 2900}
            return {"status": "active", **term, **owed}
        case {"name": "trial", "trial": trial}:
            start, end = seconds(trial["start"]), seconds(trial["end"])
            begun = {"status": "in_trial", "trial_start": start, "trial_end": end, "next_billing_at": end}
            return {**begun, "current_term_start": start, "current_term_end": end}
        case {"name": "paused", "pause": pause}:
            dates = {"pause_date": seconds(pause["start"])}
            if "end" in pause:
                dates |= {"resume_date": seconds(pause["end"]), "next_billing_at": seconds(pause["end"])}
            return {"status": "active" if dates["pause_date"] > now else "paused", **term, **dates}
        case {"name": "canceled", "canceledAt": at}:
            return {"status": "cancelled", **term, "cancelled_at": seconds(at)}
        case _:
            return {"status": "future", "start_date": now + 86_400}


# --- The truth, in canonical form -----------------------------------------------------------------


def canonical_customer(found: Document) -> Document:
    renamed = {
        "id": "id",
        "email": "email",
        "first_name": "name",
        "last_name": "lastName",
        "preferred_currency_code": "currency",
    }
    customer = {ours: found[theirs] for theirs, ours in renamed.items() if theirs in found}
    if "billing_address" in found:
        customer["addresses"] = [{"country": found["billing_address"].get("country")}]
    return customer


def canonical_subscription(found: Document, state: Document, now: datetime) -> Document:
    truth: Document = {
        "id": found["id"],
        "customerId": found["customer_id"],
        "start": moment(found.get("started_at", found["created_at"])),
        "status": _canonical_status(found, seconds(now)),
        "items": [_canonical_item(each, found, state["item_prices"]) for each in found["subscription_items"]],
        "duration": _canonical_duration(found),
        "discounts": [_canonical_discount(each, state["coupons"]) for each in found["coupons"]],
    }
    if "cancelled_at" in found:
        truth["end"] = moment(found["cancelled_at"])
    return truth


def _canonical_status(found: Document, now: int) -> Document:
    period: Any = None
    if "current_term_start" in found:
        period = {"start": moment(found["current_term_start"]), "end": moment(found["current_term_end"])}
    pause = {"start": moment(found["pause_date"])} if "pause_date" in found else {}
    if pause and "resume_date" in found:
        pause["end"] = moment(found["resume_date"])
    match found["status"]:
        case "cancelled":
            return {"name": "canceled", "canceledAt": moment(found["cancelled_at"])}
        case "in_trial":
            return {
                "name": "trial",
                "trial": {"start": moment(found["trial_start"]), "end": moment(found["trial_end"])},
            }
        case "future":
            return {"name": "future"}
        case "paused":
            return {"name": "paused", "pause": pause, "currentPeriod": period}
        case _ if pause:
            return {"name": "paused", "pause": pause, "currentPeriod": period}
        case _:
            return {"name": "active", "currentPeriod": period}


def _canonical_duration(found: Document) -> Document:
    return {"interval": found["billing_period_unit"], "intervalCount": found["billing_period"]}


def _canonical_item(each: Document, found: Document, prices: Document) -> Document:
    currency = found["currency_code"]
    amount = {"value": minor_of(each, "unit_price", currency), "currency": currency}
    listed = prices.get(each["item_price_id"])
    return {
        "id": each["item_price_id"],
        "price": {
            "id": each["item_price_id"],
            **({"name": listed["external_name"]} if listed else {}),
            "amount": amount,
            "duration": _canonical_duration(found),
        },
        "quantity": each["quantity"],
    }


def _canonical_discount(each: Document, coupons: Document) -> Document:
    found = coupons[each["coupon_id"]]
    reduction: Document = {"id": found["id"], "duration": _WORDS[found["duration_type"]]}
    if found["discount_type"] == "percentage":
        reduction["percentOff"] = found["discount_percentage"]
    else:
        currency = found["currency_code"]
        reduction |= {"amountOff": minor_of(found, "discount_amount", currency), "currency": currency}
    if "period" in found:
        reduction["durationInMonths"] = found["period"]
    end = {"end": moment(each["apply_till"])} if "apply_till" in each else {}
    return {"id": found["id"], "coupon": reduction, **end}
