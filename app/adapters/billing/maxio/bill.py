"""What a subscription costs: its product, the components in use, the coupons at work. Pure: asks nobody."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.adapters.billing.maxio.seen import Seen
from app.adapters.billing.maxio.values import cents, fields, identity, moment, number, percent, text
from app.core.calendar import add_interval
from app.core.direct import (
    MAX_ITEMS,
    Amount,
    DirectCoupon,
    DirectDiscount,
    DirectPrice,
    DirectSubscriptionItem,
    DurationConfig,
)
from app.core.fields import MAX_ID


def read_items(seen: Seen, every: DurationConfig | None) -> list[DirectSubscriptionItem]:
    product = fields(seen.raw.get("product"))
    items = []
    if product:
        price_id = identity(seen.raw.get("product_price_point_id")) or identity(
            product.get("product_price_point_id")
        )
        price = DirectPrice(
            id=price_id or f"product-{identity(product.get('id')) or 'unknown'}",
            type="product",
            product_id=identity(product.get("id")),
            name=text(product.get("name")),
            description=text(product.get("description")),
            duration=every,
            amount=_amount(seen, seen.raw.get("product_price_in_cents", product.get("price_in_cents"))),
        )
        items.append(DirectSubscriptionItem(id=identity(seen.raw.get("id")), price=price))
    for component in seen.components[: MAX_ITEMS - len(items)]:
        items.append(_component(seen, component, every))
    if not items:
        price = DirectPrice(id="none", amount=Amount(model="tiered", currency=seen.currency))
        items.append(DirectSubscriptionItem(price=price))
    return items


def _component(
    seen: Seen, component: Mapping[str, Any], every: DurationConfig | None
) -> DirectSubscriptionItem:
    """Components are priced by tiers, volumes or use; the unit price is not in what they say of themselves."""
    price = DirectPrice(
        id=identity(component.get("price_point_id"))
        or f"component-{identity(component.get('component_id')) or 'unknown'}",
        type="standalone",
        name=text(component.get("name")),
        duration=every,
        amount=Amount(model="tiered", currency=seen.currency),
    )
    quantity = number(component.get("allocated_quantity")) or 1
    return DirectSubscriptionItem(price=price, quantity=min(max(quantity, 0), 1_000_000))


def _amount(seen: Seen, in_cents: object) -> Amount:
    """A fixed price in the site's own currency; elsewhere Maxio does not say which currency a price is in."""
    currency = seen.currency
    value = cents(in_cents, currency) if currency and currency == seen.site.currency else None
    if value is None:
        return Amount(model="tiered", currency=currency)
    return Amount(value=value, currency=currency)


def is_in_use(component: Mapping[str, Any]) -> bool:
    """Whether a component adds to the bill: some of it is allocated, switched on, or has been used."""
    if component.get("enabled") is True:
        return True
    return any(
        str(component.get(name)) not in ("None", "0", "0.0", "")
        for name in ("allocated_quantity", "unit_balance")
    )


def read_discounts(seen: Seen, every: DurationConfig | None, now: datetime) -> list[DirectDiscount]:
    coupons = seen.raw.get("coupons")
    given = [fields(each) for each in coupons] if isinstance(coupons, list) else []
    named = {_code(each.get("code")) for each in given}
    found = [_discount(seen, each, every, now) for each in given]
    codes = seen.raw.get("coupon_codes")
    for code in codes if isinstance(codes, list) else []:
        if _code(code) not in named:
            found.append(DirectDiscount(id=_code(code)))
    return [discount for discount in found if discount is not None][:20]


def _discount(
    seen: Seen, raw: Mapping[str, Any], every: DurationConfig | None, now: datetime
) -> DirectDiscount | None:
    """A coupon at work; None for one that is used up."""
    code = _code(raw.get("code"))
    allowed, used = number(raw.get("uses_allowed")), number(raw.get("use_count")) or 0
    is_recurring = raw.get("recurring") is True
    if not is_recurring:
        allowed = allowed or 1
    expires = moment(raw.get("expires_at"))
    if (allowed is not None and used >= allowed) or (expires is not None and expires <= now):
        return None
    return DirectDiscount(
        id=code,
        coupon=DirectCoupon(
            id=code,
            percent_off=percent(raw.get("percentage")),
            amount_off=_amount_off(seen, raw),
            currency=seen.currency,
            duration=_duration(is_recurring, allowed, expires),
            duration_in_months=_months(allowed, every) if is_recurring else None,
        ),
        end=_end_of_uses(seen, every, None if allowed is None else allowed - used) or expires,
    )


def _code(value: object) -> str | None:
    found = text(value)
    return found if found and len(found) <= MAX_ID and "\n" not in found and "\t" not in found else None


def _amount_off(seen: Seen, raw: Mapping[str, Any]) -> int | None:
    if percent(raw.get("percentage")) is not None or seen.currency != seen.site.currency:
        return None
    return cents(raw.get("amount_in_cents"), seen.currency) if seen.currency else None


def _duration(is_recurring: bool, allowed: int | None, expires: datetime | None) -> Any:
    if not is_recurring:
        return "once"
    return "forever" if allowed is None and expires is None else "repeating"


def _months(uses: int | None, every: DurationConfig | None) -> int | None:
    span = {"month": 1, "year": 12}.get(every.interval) if every else None
    if uses is None or every is None or span is None:
        return None
    months = uses * span * every.interval_count
    return months if 1 <= months <= 1200 else None


def _end_of_uses(seen: Seen, every: DurationConfig | None, left: int | None) -> datetime | None:
    """The first renewal at which the coupon is used up."""
    if left is None or every is None or seen.renews_at is None:
        return None
    return add_interval(seen.renews_at, every.interval, every.interval_count * min(left, 1200))
