"""What a subscription's update may say, and what it does. Codes as in Braintree's list of validation errors."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from tests.support.braintree.canonical import PAUSE_ID, modification
from tests.support.braintree.cycles import amount, charge, due

Document = dict[str, Any]
_PARAMS: Final = {
    "id", "merchant_account_id", "never_expires", "number_of_billing_cycles", "payment_method_nonce",
    "payment_method_token", "plan_id", "price", "descriptor", "options", "add_ons", "discounts",
}  # fmt: skip
_OPTIONS: Final = {
    "prorate_charges", "replace_all_add_ons_and_discounts", "revert_subscription_on_proration_failure", "paypal",
}  # fmt: skip
_ADD: Final = {"amount", "inherited_from_id", "never_expires", "number_of_billing_cycles", "quantity"}
_UPDATE: Final = (_ADD - {"inherited_from_id"}) | {"existing_id"}
_AMOUNT: Final = re.compile(r"\d{1,7}(\.\d{1,2})?")


@dataclass
class Invalid(Exception):
    """A validation error, and the objects that it is nested in."""

    code: str
    attribute: str
    message: str
    path: tuple[str, ...] = ("subscription",)


def update(state: Document, raw: Document, params: Document, now: datetime) -> str:
    """Change `raw`; answers with the demo's word for it. Raises Invalid."""
    if raw["status"] == "Canceled":
        raise Invalid("81901", "base", "Cannot edit a canceled subscription.")
    if raw["status"] == "Expired":
        raise Invalid("81910", "base", "Cannot edit an expired subscription.")
    if params.keys() - _PARAMS or set(params.get("options", {})) - _OPTIONS or "add_ons" in params:
        raise Invalid("91921", "base", "Invalid request format.")
    price_changing = params.keys() & {
        "price",
        "plan_id",
        "discounts",
        "number_of_billing_cycles",
        "never_expires",
    }
    if raw["status"] == "Past Due" and price_changing:
        raise Invalid("91920", "base", "Cannot edit price changing fields on past due subscription.")
    before = due(raw)
    _set_cycles(raw, params)
    _set_plan(state, raw, params)
    _set_discounts(state, raw, params.get("discounts", {}))
    if params.get("options", {}).get("prorate_charges") is not False:
        _prorate(raw, due(raw) - before, now)
    return _word_for(params)


def _prorate(raw: Document, difference: Decimal, now: datetime) -> None:
    """This account's setting: what is due for the rest of the period is charged at once, or credited."""
    if difference == 0 or raw["billing_period_start_date"] is None:
        return
    begins, last_day = (date.fromisoformat(raw[f"billing_period_{each}_date"]) for each in ("start", "end"))
    share = Decimal((last_day - now.date()).days + 1) / ((last_day - begins).days + 1)
    if difference > 0:
        raw["transactions"].insert(0, charge(raw, difference * share, begins, last_day))
    else:
        raw["balance"] = amount(Decimal(raw["balance"]) + difference * share, raw["currency"])


def _word_for(params: Document) -> str:
    discounts = params.get("discounts", {})
    touched = {each.get("inherited_from_id") or each.get("existing_id") for each in _entries(discounts)}
    if "number_of_billing_cycles" in params:
        return "cancel"
    if params.get("never_expires") is True:
        return "uncancel"
    if "plan_id" in params:
        return "change-plan"
    if PAUSE_ID in discounts.get("remove", ()):
        return "resume"
    return "pause" if PAUSE_ID in touched else "discount"


def _entries(discounts: Document) -> list[Document]:
    return [*discounts.get("add", ()), *discounts.get("update", ())]


def _set_cycles(raw: Document, params: Document) -> None:
    number = params.get("number_of_billing_cycles")
    if params.get("never_expires") is True:
        if number is not None:
            raise Invalid("91908", "number_of_billing_cycles", "Number of billing cycles must be blank.")
        raw["number_of_billing_cycles"] = None
    if number is None:
        return
    if not isinstance(number, int):
        raise Invalid("91906", "number_of_billing_cycles", "Number of billing cycles must be numeric.")
    if number < 1:
        raise Invalid(
            "91907", "number_of_billing_cycles", "Number of billing cycles must be greater than zero."
        )
    if number < raw["current_billing_cycle"]:
        raise Invalid("91909", "number_of_billing_cycles", "Number of billing cycles is too small.")
    raw["number_of_billing_cycles"] = number


def _set_plan(state: Document, raw: Document, params: Document) -> None:
    if "plan_id" in params:
        plan = state["plans"].get(params["plan_id"])
        if plan is None:
            raise Invalid("91904", "plan_id", "Plan ID is invalid.")
        if plan["currency"] != raw["currency"]:
            raise Invalid(
                "91923", "plan_id", "Currency ISO code does not match that of the merchant account."
            )
        if plan["billing_frequency"] != state["plans"][raw["plan_id"]]["billing_frequency"]:
            raise Invalid("91922", "plan_id", "Plan billing frequency cannot be updated.")
        raw["plan_id"] = plan["id"]
    if "price" in params:
        if not _AMOUNT.fullmatch(str(params["price"])):
            raise Invalid("81904", "price", "Price is an invalid format.")
        if params.get("options", {}).get("prorate_charges") is not False:
            raise Invalid(
                "91921", "options", "The account prorates by default, and this test wants none of it."
            )
        raw["price"] = amount(Decimal(params["price"]), raw["currency"])


def _set_discounts(state: Document, raw: Document, discounts: Document) -> None:
    if discounts.keys() - {"add", "update", "remove"}:
        raise Invalid("91921", "discounts", "Invalid request format.")
    for name in discounts.get("remove", ()):
        if all(each["id"] != name for each in raw["discounts"]):
            raise Invalid(
                "92016", "remove", "ID to remove is not present.", ("subscription", "discounts", "remove")
            )
        raw["discounts"] = [each for each in raw["discounts"] if each["id"] != name]
    for place, entry in enumerate(discounts.get("update", ())):
        path = ("subscription", "discounts", "update", f"index_{place}")
        there = next((each for each in raw["discounts"] if each["id"] == entry.get("existing_id")), None)
        if there is None:
            raise Invalid("92011", "existing_id", "Existing ID is invalid.", path)
        there |= _values(entry, there, _UPDATE, raw["currency"], path)
    for place, entry in enumerate(discounts.get("add", ())):
        path = ("subscription", "discounts", "add", f"index_{place}")
        template = state["discounts"].get(entry.get("inherited_from_id"))
        if template is None:
            raise Invalid("92013", "inherited_from_id", "Inherited from ID is invalid.", path)
        if any(each["id"] == template["id"] for each in raw["discounts"]):
            raise Invalid("91911", "base", "Cannot add duplicate discount.", path)
        made = modification(template["id"], template["amount"], template["number_of_billing_cycles"])
        made["name"] = template["name"]
        raw["discounts"].append({**made, **_values(entry, made, _ADD, raw["currency"], path)})


def _values(
    entry: Document, inherited: Document, known: set[str], currency: str, path: tuple[str, ...]
) -> Document:
    if entry.keys() - known:
        raise Invalid("91921", "base", "Invalid request format.", path)
    number = entry.get("number_of_billing_cycles", inherited["number_of_billing_cycles"])
    if entry.get("never_expires") is True:
        if "number_of_billing_cycles" in entry:
            raise Invalid("92018", "number_of_billing_cycles", "Inconsistent number of billing cycles.", path)
        number = None
    elif number is not None and number < 1:
        raise Invalid("92019", "number_of_billing_cycles", "Must be greater than zero.", path)
    given = str(entry.get("amount", inherited["amount"]))
    if not _AMOUNT.fullmatch(given):
        raise Invalid("92002", "amount", "Amount is invalid.", path)
    quantity = entry.get("quantity", inherited["quantity"])
    if quantity < 1:
        raise Invalid("92010", "quantity", "Quantity must be greater than zero.", path)
    return {
        "amount": amount(Decimal(given), currency),
        "number_of_billing_cycles": number,
        "quantity": quantity,
    }
