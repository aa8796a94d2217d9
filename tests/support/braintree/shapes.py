"""Braintree's objects as its API shows them."""

from typing import Any

from tests.support.braintree.cycles import amount, due
from tests.support.braintree.markup import Day, Many, Time

Document = dict[str, Any]


def customer(state: Document, raw: Document) -> Document:
    """A customer, with the payment method that his subscriptions are charged to and everything that hangs on it."""
    held = [each for each in state["subscriptions"].values() if each["customer_id"] == raw["id"]]
    address = {
        "customer_id": raw["id"],
        "id": "g6",
        "street_address": raw.get("street_address"),
        "extended_address": None,
        "locality": None,
        "region": None,
        "postal_code": None,
        "country_code_alpha2": raw["country"],
        "country_name": None,
    }
    card = {
        "bin": "411111",
        "card_type": "Visa",
        "cardholder_name": None,
        "created_at": Time(raw["created_at"]),
        "customer_id": raw["id"],
        "default": True,
        "expiration_month": "12",
        "expiration_year": "2031",
        "expired": False,
        "last_4": "1111",
        "prepaid": "Unknown",
        "subscriptions": Many("subscription", [subscription(state, each) for each in held]),
        "token": raw["token"],
        "updated_at": Time(raw["created_at"]),
        "verifications": Many("verification", []),
        "billing_address": address,
    }
    return {
        "id": raw["id"],
        "merchant_id": raw["merchant_id"],
        "first_name": raw["first_name"],
        "last_name": raw["last_name"],
        "company": None,
        "email": raw["email"],
        "phone": raw["phone"],
        "fax": None,
        "website": None,
        "created_at": Time(raw["created_at"]),
        "updated_at": Time(raw["created_at"]),
        "custom_fields": raw["custom_fields"] or "",
        **_payment_methods(raw.get("method", "credit_card"), card),
        "addresses": Many("address", [address]),
    }


def _payment_methods(kind: str, card: Document) -> Document:
    """A list of each kind, the customer's one in its own; also of kinds that a library may not know."""
    bare = ("created_at", "customer_id", "default", "subscriptions", "token", "updated_at")
    shown = card if kind == "credit_card" else {name: card[name] for name in bare}
    kinds = dict.fromkeys(("credit_card", "paypal_account", kind))
    return {f"{each}s": Many(each.replace("_", "-"), [shown] if each == kind else []) for each in kinds}


def subscription(state: Document, raw: Document) -> Document:
    currency = raw["currency"]
    owner = state["customers"][raw["customer_id"]]
    return {
        "add_ons": Many("add-on", [modification(each) for each in raw["add_ons"]]),
        "balance": raw["balance"],
        "billing_day_of_month": raw["billing_day_of_month"],
        "billing_period_end_date": Day(raw["billing_period_end_date"]),
        "billing_period_start_date": Day(raw["billing_period_start_date"]),
        "created_at": Time(raw["created_at"]),
        "updated_at": Time(raw["updated_at"]),
        "current_billing_cycle": raw["current_billing_cycle"],
        "days_past_due": raw["days_past_due"],
        "discounts": Many("discount", [modification(each) for each in raw["discounts"]]),
        "failure_count": 0,
        "first_billing_date": Day(raw["first_billing_date"]),
        "id": raw["id"],
        "merchant_account_id": f"{currency.lower()}_account",
        "never_expires": raw["number_of_billing_cycles"] is None,
        "next_bill_amount": amount(due(raw), currency),
        "next_billing_period_amount": amount(due(raw), currency),
        "next_billing_date": Day(raw["next_billing_date"]),
        "number_of_billing_cycles": raw["number_of_billing_cycles"],
        "paid_through_date": Day(raw["paid_through_date"]),
        "payment_method_token": raw["payment_method_token"],
        "plan_id": raw["plan_id"],
        "price": raw["price"],
        "status": raw["status"],
        "trial_duration": raw["trial_duration"],
        "trial_duration_unit": "day" if raw["trial_period"] else None,
        "trial_period": raw["trial_period"],
        "descriptor": {"name": None, "phone": None, "url": None},
        "description": None,
        "transactions": Many(
            "transaction", [_transaction(raw, owner, each) for each in raw["transactions"]][:20]
        ),
        "status_history": Many("status-event", [_event(raw, each) for each in raw["status_history"]]),
    }


def _transaction(raw: Document, owner: Document, charge: Document) -> Document:
    return {
        "id": charge["id"],
        "status": "settled",
        "type": "sale",
        "currency_iso_code": raw["currency"],
        "amount": charge["amount"],
        "merchant_account_id": f"{raw['currency'].lower()}_account",
        "order_id": None,
        "customer": {"id": owner["id"], "first_name": owner["first_name"], "email": owner["email"]},
        "plan_id": raw["plan_id"],
        "subscription_id": raw["id"],
        "subscription": {
            "billing_period_end_date": Day(charge["billing_period_end_date"]),
            "billing_period_start_date": Day(charge["billing_period_start_date"]),
        },
        "add_ons": Many("add-on", []),
        "discounts": Many("discount", [modification(each) for each in charge["discounts"]]),
        "recurring": True,
    }


def _event(raw: Document, event: Document) -> Document:
    return {
        "timestamp": Time(event["timestamp"]),
        "status": event["status"],
        "user": None,
        "subscription_source": "api",
        "balance": raw["balance"],
        "price": raw["price"],
        "currency_iso_code": raw["currency"],
        "plan_id": raw["plan_id"],
    }


def modification(raw: Document) -> Document:
    return {
        "amount": raw["amount"],
        "current_billing_cycle": raw["current_billing_cycle"],
        "description": None,
        "id": raw["id"],
        "kind": raw["kind"],
        "name": raw["name"],
        "never_expires": raw["number_of_billing_cycles"] is None,
        "number_of_billing_cycles": raw["number_of_billing_cycles"],
        "quantity": raw["quantity"],
    }


def template(raw: Document) -> Document:
    """A Discount as the merchant made it in the Control Panel."""
    shown = {
        **modification({**raw, "current_billing_cycle": None, "quantity": 1}),
        "merchant_id": raw["merchant_id"],
    }
    return {**shown, "created_at": Time(raw["created_at"]), "updated_at": Time(raw["created_at"])}


def plan(raw: Document) -> Document:
    return {
        "add_ons": Many("add-on", []),
        "billing_day_of_month": None,
        "billing_frequency": raw["billing_frequency"],
        "created_at": Time(raw["created_at"]),
        "currency_iso_code": raw["currency"],
        "description": None,
        "discounts": Many("discount", []),
        "id": raw["id"],
        "merchant_id": raw["merchant_id"],
        "name": raw["name"],
        "number_of_billing_cycles": raw["number_of_billing_cycles"],
        "price": raw["price"],
        "trial_duration": None,
        "trial_duration_unit": None,
        "trial_period": False,
        "updated_at": Time(raw["created_at"]),
    }
