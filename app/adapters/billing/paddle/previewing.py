"""What Paddle's own preview of a change says, in our words. Pure."""

from datetime import datetime
from typing import Literal

from app.adapters.billing.paddle.values import built, moment, whole
from app.adapters.billing.paddle.wire import Object, inner
from app.core.billing import Preview
from app.core.direct import DirectSubscription
from app.core.money import Money, is_currency_code

Tax = Literal["included", "added"]


def read_preview(raw: Object, before: DirectSubscription, now: datetime) -> Preview:
    """`before` is the subscription as it is; `raw`, as it would be, with the transaction that would come next."""
    transaction = inner(raw, "next_transaction")
    details = inner(transaction, "details")
    totals = inner(details, "totals")
    tax = _tax(raw, details, totals)
    return built(
        lambda: Preview(
            price_now=_price_now(before, now),
            price_after=_price_after(totals, tax),
            next_charge=_money(totals.get("grand_total"), totals.get("currency_code")),
            next_charge_at=moment(inner(transaction, "billing_period").get("starts_at")),
            tax=tax,
        )
    )


def _price_now(subscription: DirectSubscription, now: datetime) -> Money | None:
    price, discount = subscription.price_total(), subscription.active_discount(now)
    if price is None or discount is None:
        return price
    return discount.coupon.reduce(price) if discount.coupon else None


def _price_after(totals: Object, tax: Tax | None) -> Money | None:
    """Prices are as the merchant states them: with the tax where it is in them."""
    if tax == "included":
        return _money(totals.get("total"), totals.get("currency_code"))
    subtotal, discount = whole(totals.get("subtotal")), whole(totals.get("discount"))
    if subtotal is None or discount is None:
        return None
    return _money(max(subtotal - discount, 0), totals.get("currency_code"))


def _tax(raw: Object, details: Object, totals: Object) -> Tax | None:
    """By the price's own word; where that leaves it to a setting of the account, by the figures."""
    price = _first_price(raw)
    match price.get("tax_mode"):
        case "external":
            return "added"
        case "internal":
            return "included"
    if not whole(totals.get("tax")):
        return None
    match details.get("line_items"), price.get("unit_price"):
        case [{"unit_totals": {"subtotal": subtotal}}, *_], {"amount": amount}:
            return "added" if subtotal == amount else "included"
    return None


def _first_price(raw: Object) -> Object:
    items = raw.get("items")
    return inner(items[0], "price") if isinstance(items, list) and items else {}


def _money(amount: object, currency: object) -> Money | None:
    minor = whole(amount)
    if minor is None or not isinstance(currency, str) or not is_currency_code(currency):
        return None
    return Money(minor, currency)
