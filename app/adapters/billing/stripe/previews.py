"""What a change would come to: Stripe's own preview of the next invoice. Changes nothing."""

import asyncio
from datetime import datetime
from typing import Any, Final, Literal

from app.adapters.billing.stripe import wire
from app.adapters.billing.stripe.amounts import minor_of
from app.adapters.billing.stripe.coupons import check_lasts
from app.adapters.billing.stripe.gateway import Gateway
from app.adapters.billing.stripe.reading import subscription_of
from app.adapters.billing.stripe.shapes import moment_of
from app.adapters.billing.stripe.wire import Declined, Raw
from app.core.billing import Change, Discount, PlanChange, Preview, ProviderRefused
from app.core.direct import DirectCoupon
from app.core.money import Money
from app.core.renewals import next_renewal, price_at

_NOTHING_COMES: Final = "invoice_upcoming_none"
_NO: Final = "This offer is not available for your subscription."


async def preview(
    gateway: Gateway, customer_id: str, subscription_id: str, change: Change, now: datetime
) -> Preview | None:
    """For a discount and a plan; None where Stripe has no invoice coming, or the key may not ask for it."""
    if not isinstance(change, Discount | PlanChange):
        return None
    raw, coupon = await asyncio.gather(
        gateway.subscription(customer_id, subscription_id), _theirs(gateway, change)
    )
    subscription = subscription_of(raw, now) if raw is not None else None
    if raw is None or subscription is None or len(subscription.items) > 1:
        return None
    if coupon is not None:
        check_lasts(coupon, subscription, now)
    renews_at = next_renewal(subscription, now)
    invoice = await _invoice(gateway, raw, change) if renews_at is not None else None
    if renews_at is None or invoice is None:
        return None
    shown = price_in(invoice)
    tax = _tax(invoice)
    price_now = price_at(subscription, renews_at)
    at = _charged_at(invoice) or renews_at
    if isinstance(change, Discount) and change.coupon_id is None:
        # A coupon that is not made yet cannot be previewed; Stripe says the rest, and the sum is plain.
        after = _coupon(change).reduce(shown) if shown is not None else None
        return Preview(price_now=shown or price_now, price_after=after, next_charge_at=at, tax=tax)
    return Preview(
        price_now=price_now,
        price_after=shown,
        next_charge=_money(invoice, invoice.get("amount_due")),
        next_charge_at=at,
        tax=tax,
    )


async def _theirs(gateway: Gateway, change: Change) -> Raw | None:
    """The merchant's coupon, where it lasts for some months: for how many charges, Stripe's preview does not tell."""
    if not isinstance(change, Discount) or change.coupon_id is None or change.duration != "repeating":
        return None
    return await gateway.coupon(change.coupon_id)


def price_in(invoice: Raw) -> Money | None:
    """What the subscription itself comes to there, discounts taken off: without one-time items and prorations."""
    total, is_known = 0, False
    for line in _lines(invoice):
        amount = line.get("amount")
        if type(amount) is not int:
            return None
        off = [one.get("amount") for one in line.get("discount_amounts") or [] if isinstance(one, dict)]
        total += amount - sum(one for one in off if type(one) is int)
        is_known = True
    return _money(invoice, total) if is_known else None


async def _invoice(gateway: Gateway, raw: Raw, change: Discount | PlanChange) -> Raw | None:
    params: Any = {"subscription": raw["id"], **_asked(raw, change)}
    try:
        return (await wire.ask(gateway.api.invoices.create_preview_async(params))).raw
    except wire.NotPermitted:
        return None
    except Declined as declined:
        if declined.code == _NOTHING_COMES:
            return None
        raise ProviderRefused(_NO, declined.reason) from None


def _asked(raw: Raw, change: Discount | PlanChange) -> dict[str, Any]:
    match change:
        case Discount(coupon_id=None):
            return {}
        case Discount(coupon_id=coupon_id):
            return {"discounts": [{"coupon": coupon_id}]}
        case PlanChange(price=price):
            item = raw["items"]["data"][0]
            asked = {"id": item["id"], "price": price.id}
            if item.get("quantity") is not None:
                asked["quantity"] = item["quantity"]
            return {"subscription_details": {"items": [asked], "proration_behavior": "none"}}


def _coupon(change: Discount) -> DirectCoupon:
    return DirectCoupon(
        percent_off=change.percent_off, amount_off=change.amount_off_minor, currency=change.currency
    )


def _lines(invoice: Raw) -> list[Raw]:
    lines = invoice.get("lines")
    data = lines.get("data") if isinstance(lines, dict) else None
    found = []
    for line in data if isinstance(data, list) else []:
        parent = line.get("parent") if isinstance(line, dict) else None
        details = parent.get("subscription_item_details") if isinstance(parent, dict) else None
        if isinstance(details, dict) and details.get("proration") is not True:
            found.append(line)
    return found


def _charged_at(invoice: Raw) -> datetime | None:
    starts = [moment_of((line.get("period") or {}).get("start")) for line in _lines(invoice)]
    return min((start for start in starts if start is not None), default=None)


def _tax(invoice: Raw) -> Literal["included", "added"] | None:
    taxes = [one for one in invoice.get("total_taxes") or [] if isinstance(one, dict)]
    behaviours = {one.get("tax_behavior") for one in taxes if one.get("amount")}
    if behaviours == {"inclusive"}:
        return "included"
    return "added" if behaviours == {"exclusive"} else None


def _money(invoice: Raw, amount: object) -> Money | None:
    currency = str(invoice.get("currency")).upper()
    if type(amount) is not int or not 0 <= amount <= 10**14 or len(currency) != 3:
        return None
    return Money(minor_of(amount, currency), currency)
