"""Maxio's price points and coupons as canonical prices and coupons. Pure: asks nobody.

A price is a product price point, by its number: it is stable, and unlike a product it has one price. A coupon is
its code.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from app.adapters.billing.maxio.seen import Site
from app.adapters.billing.maxio.values import cents, identity, interval, moment, number, percent, text
from app.core.direct import Amount, DirectCoupon, DirectPrice
from app.core.fields import MAX_ID

MOST_LISTED: Final = 100


def read_price(raw: Mapping[str, Any], product: Mapping[str, Any], site: Site) -> DirectPrice | None:
    """None for a price point that no subscription should be put on.

    Those are archived or made for one subscription, of a product that is archived, for a fixed term, or without a
    price that can be shown.
    """
    price_id = identity(raw.get("id"))
    has_term = number(raw.get("expiration_interval")) and raw.get("expiration_interval_unit") != "never"
    is_out = raw.get("archived_at") or product.get("archived_at") or raw.get("type") == "custom"
    if price_id is None or has_term or is_out or site.currency is None:
        return None
    value = cents(raw.get("price_in_cents"), site.currency)
    every = interval(raw.get("interval"), raw.get("interval_unit"))
    if value is None or every is None:
        return None
    return DirectPrice(
        id=price_id,
        type="product",
        active=True,
        product_id=identity(raw.get("product_id")),
        name=_name(raw, product),
        description=text(product.get("description")),
        duration=every,
        amount=Amount(value=value, currency=site.currency),
    )


def _name(raw: Mapping[str, Any], product: Mapping[str, Any]) -> str | None:
    """The product's name; that of the price point too, where it is not the product's usual one."""
    product_name, own = text(product.get("name")), text(raw.get("name"))
    if product_name is None or own is None or raw.get("type") == "default":
        return product_name or own
    return f"{product_name}, {own}"[:500]


def read_coupon(raw: Mapping[str, Any], site: Site, now: datetime) -> DirectCoupon | None:
    """None for a coupon that cannot be used, or of which one could not say what it comes to.

    The latter are those for some components or products only, and those that last for days.
    """
    code = text(raw.get("code"))
    ends = moment(raw.get("end_date"))
    if (
        code is None
        or len(code) > MAX_ID
        or raw.get("archived_at")
        or raw.get("coupon_restrictions")
        or (ends and ends <= now)
    ):
        return None
    percent_off = percent(raw.get("percentage"))
    amount = cents(raw.get("amount_in_cents"), site.currency) if site.currency and not percent_off else None
    duration, months = _lasts(raw)
    if duration is None or (percent_off is None and not amount):
        return None
    return DirectCoupon(
        id=code,
        name=text(raw.get("name")),
        percent_off=percent_off,
        amount_off=amount,
        currency=site.currency if amount else None,
        duration=duration,
        duration_in_months=months,
    )


def _lasts(raw: Mapping[str, Any]) -> tuple[Literal["once", "repeating", "forever"] | None, int | None]:
    """Periods are months for whoever pays monthly; a coupon of N periods reduces N charges of anybody."""
    scheme = raw.get("recurring_scheme")
    if scheme == "do_not_recur" or (scheme is None and raw.get("recurring") is not True):
        return "once", None
    periods = number(raw.get("duration_period_count"))
    if periods is not None and 1 <= periods <= 1200:
        return "repeating", periods
    span = number(raw.get("duration_interval"))
    if scheme == "recur_indefinitely" or (scheme is None and span is None):
        return "forever", None
    if span is not None and 1 <= span <= 1200 and raw.get("duration_interval_unit") == "month":
        return "repeating", span
    return None, None


def coupon_terms_differ(one: DirectCoupon, other: DirectCoupon) -> bool:
    """Whether two coupons of one code, from two product families, give different discounts."""
    return one.model_copy(update={"name": None}) != other.model_copy(update={"name": None})
