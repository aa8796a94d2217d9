"""What Chargebee's estimates say of a change that is not made yet.

https://apidocs.chargebee.com/docs/api/estimates
"""

from datetime import datetime
from typing import Any, Final, Literal

from app.adapters.billing.chargebee import shapes
from app.adapters.billing.chargebee.amounts import to_minor, to_moment
from app.adapters.billing.chargebee.wire import Document, Params
from app.core.billing import Preview
from app.core.money import Money

# Balances of the customer's are left out: they change what is paid, not what it costs.
WITHOUT_BALANCES: Params = (("use_existing_balances", "false"),)
_RECURRING: Final = ("plan_item_price", "addon_item_price")


def preview(estimate: Document) -> Preview:
    """The figures of an estimate; what it does not say is None."""
    billed = estimate.get("next_invoice_estimate")
    invoice: Document = billed if isinstance(billed, dict) else {}
    return Preview(
        price_after=_price(invoice),
        next_charge=_money(invoice.get("total"), invoice),
        next_charge_at=_next_charge_at(estimate),
        tax=_tax(invoice),
    )


def costs_now(estimate: Document) -> bool:
    """Whether the change would be charged or credited at once."""
    invoices = [estimate.get("invoice_estimate"), *shapes.documents(estimate.get("invoice_estimates"))]
    credit_notes = shapes.documents(estimate.get("credit_note_estimates"))
    unbilled = shapes.documents(estimate.get("unbilled_charge_estimates"))
    amounts = [
        *(each.get("total") for each in (*invoices, *credit_notes) if isinstance(each, dict)),
        *(each.get("amount") for each in unbilled),
    ]
    return any(isinstance(amount, int) and amount != 0 for amount in amounts)


def _next_charge_at(estimate: Document) -> datetime | None:
    """When a paused subscription resumes it is charged, and its term begins anew."""
    found = estimate.get("subscription_estimate")
    if not isinstance(found, dict):
        return None
    return to_moment(found.get("resume_date")) or to_moment(found.get("next_billing_at"))


def _price(invoice: Document) -> Money | None:
    """What recurs on the invoice, discounts taken off; taxes are within or without, as `price_type` says."""
    lines = [
        each for each in shapes.documents(invoice.get("line_items")) if each.get("entity_type") in _RECURRING
    ]
    amounts = [(each.get("amount"), each.get("discount_amount", 0)) for each in lines]
    if not amounts:
        return None
    total = 0
    for amount, discount in amounts:
        if not isinstance(amount, int) or not isinstance(discount, int):
            return None
        total += amount - discount
    return _money(total, invoice)


def _money(amount: Any, invoice: Document) -> Money | None:
    currency = shapes.currency(invoice.get("currency_code"))
    minor = to_minor(amount, currency) if currency else None
    return Money(minor, currency) if minor is not None and currency else None


def _tax(invoice: Document) -> Literal["included", "added"] | None:
    """None also where there is no tax on it: then there is nothing to say."""
    if not shapes.documents(invoice.get("taxes")):
        return None
    match invoice.get("price_type"):
        case "tax_inclusive":
            return "included"
        case "tax_exclusive":
            return "added"
        case _:
            return None
