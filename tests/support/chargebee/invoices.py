"""What Chargebee's estimates reckon: one invoice for a term, coupons and manual discounts taken off, tax put on."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from tests.support.simulator.books import Document


def invoice(
    subscription: Document, items: Sequence[Document], reductions: Sequence[Document], tax: Document | None
) -> Document:
    """An invoice estimate. A reduction is a coupon, or has `discount_type` and the like under the same names."""
    lines, sub_total, discounted = [], 0, 0
    for item in items:
        amount = item["amount"]
        off = min(sum(_reduced(amount, each) for each in reductions), amount)
        lines.append(
            {
                "object": "line_item",
                "subscription_id": subscription["id"],
                "customer_id": subscription["customer_id"],
                "entity_type": "plan_item_price",
                "entity_id": item["item_price_id"],
                "unit_amount": item["unit_price"],
                "quantity": item["quantity"],
                "amount": amount,
                "discount_amount": off,
                "item_level_discount_amount": 0,
            }
        )
        sub_total, discounted = sub_total + amount, discounted + off
    net = sub_total - discounted
    taxes = _taxes(net, tax)
    is_added = bool(taxes) and tax is not None and tax["price_type"] == "tax_exclusive"
    total = net + (taxes[0]["amount"] if is_added else 0)
    return {
        "object": "invoice_estimate",
        "recurring": True,
        "price_type": tax["price_type"] if tax else "tax_exclusive",
        "currency_code": subscription["currency_code"],
        "sub_total": sub_total,
        "total": total,
        "credits_applied": 0,
        "amount_paid": 0,
        "amount_due": total,
        "line_items": lines,
        "discounts": [{"object": "discount", "entity_type": "document_level_coupon", "amount": discounted}]
        if discounted
        else [],
        **({"taxes": taxes} if taxes else {}),
    }


def _taxes(net: int, tax: Document | None) -> list[Document]:
    if tax is None:
        return []
    rate = Decimal(str(tax["rate"]))
    share = rate if tax["price_type"] == "tax_exclusive" else rate / (100 + rate) * 100
    return [{"object": "tax", "name": "VAT", "amount": _rounded(Decimal(net) * share / 100)}]


def _reduced(amount: int, reduction: Document) -> int:
    if reduction["discount_type"] == "percentage":
        return _rounded(Decimal(amount) * Decimal(str(reduction["discount_percentage"])) / 100)
    value: int = reduction["discount_amount"]
    return value


def _rounded(number: Decimal) -> int:
    return int(number.quantize(Decimal(1), ROUND_HALF_UP))
