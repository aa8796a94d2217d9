"""Which coupon carries a discount: one of the merchant's, looked at first, or one made for this acceptance alone."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from stripe import StripeObject

from app.adapters.billing.stripe.amounts import amount_of
from app.adapters.billing.stripe.gateway import Gateway
from app.adapters.billing.stripe.reading import subscription_of
from app.adapters.billing.stripe.shapes import OURS, coupon_in
from app.adapters.billing.stripe.wire import Declined, Found, Raw, ask
from app.core.billing import ChangeRequest, Discount, ProviderRefused, ProviderUnavailable
from app.core.calendar import add_months
from app.core.direct import DirectSubscription
from app.core.money import Money
from app.core.renewals import last_charge_within, months_past

REDEEMABLE: Final = timedelta(hours=1)
DISCOUNT_MARK: Final = f"{OURS}discount"
"""Metadata of a subscription that took one of the merchant's coupons: the effect that brought it."""

_GONE: Final = "This discount is no longer available."
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LONGEST_NAME: Final = 40

Keyed = Callable[[Callable[[Any], Awaitable[StripeObject]], str, datetime], Awaitable[Found]]


class CouponSpent(Exception):
    """The coupon of this very acceptance was redeemed: an earlier try got through, and its discount is over."""


def coupon_id_of(request: ChangeRequest, change: Discount) -> str:
    """The merchant's coupon, or the name of the one that is made for this effect."""
    if change.coupon_id is not None:
        return change.coupon_id
    effect = request.effect_id
    return OURS + (effect if _PLAIN.fullmatch(effect) else sha256(effect.encode()).hexdigest())


def is_attached(request: ChangeRequest, change: Discount, raw: Raw) -> bool:
    """Whether this effect's discount is, or was, on the subscription."""
    wanted = coupon_id_of(request, change)
    discounts = raw.get("discounts") or []
    coupons = [coupon_in(one) for one in discounts if isinstance(one, dict)]
    names = [one.get("id") if isinstance(one, dict) else one for one in coupons]
    marks = raw.get("metadata")
    is_marked = isinstance(marks, dict) and marks.get(DISCOUNT_MARK) == request.effect_id
    return wanted in names or is_marked


async def prepare(
    gateway: Gateway, keyed: Keyed, request: ChangeRequest, change: Discount, raw: Raw, now: datetime
) -> str:
    """The id of a coupon that can be attached now. Raises ProviderRefused, CouponSpent."""
    wanted = coupon_id_of(request, change)
    found = await gateway.coupon(wanted)
    if change.coupon_id is not None:
        _check_theirs(found, raw, now)
        return wanted
    if found is not None and found.get("times_redeemed"):
        raise CouponSpent
    if found is not None and found.get("valid") is not True:
        await drop(gateway, wanted)
        found = None
    if found is None:
        await _make(gateway, keyed, request, change, subscription_of(raw, now), now)
    return wanted


def params_for(request: ChangeRequest, change: Discount, coupon_id: str, raw: Raw) -> dict[str, Any]:
    """The update that attaches it. The list replaces what is there, so what is there is named again."""
    kept = [{"discount": one["id"]} for one in raw.get("discounts") or [] if isinstance(one, dict)]
    marks = {"metadata": {DISCOUNT_MARK: request.effect_id}} if change.coupon_id is not None else {}
    return {"discounts": [*kept, {"coupon": coupon_id}], **marks}


async def drop(gateway: Gateway, coupon_id: str) -> None:
    """Take away a coupon of ours that nobody redeemed. Where that fails, it runs out within the hour."""
    with suppress(Declined, ProviderUnavailable):
        await ask(gateway.api.coupons.delete_async(coupon_id))


async def _make(
    gateway: Gateway,
    keyed: Keyed,
    request: ChangeRequest,
    change: Discount,
    subscription: DirectSubscription,
    now: datetime,
) -> None:
    redeem_by = int((now + REDEEMABLE).timestamp())
    params: dict[str, Any] = {
        "id": coupon_id_of(request, change),
        "name": _name(change),
        "duration": change.duration,
        "max_redemptions": 1,
        "redeem_by": redeem_by,
        "metadata": {f"{OURS}effect": request.effect_id, f"{OURS}session": request.session_id},
        **_figures(change),
    }
    if change.duration == "repeating" and change.months is not None:
        params["duration_in_months"] = _months(subscription, change.months, now)
    try:
        # The time is part of the key: a later try has another one, and would else be told of another request.
        await keyed(
            lambda options: gateway.api.coupons.create_async(params, options),  # type: ignore[arg-type]  # a plain dict
            f"{request.effect_id}:coupon:{redeem_by}",
            now,
        )
    except Declined as declined:
        if declined.code != "resource_already_exists":
            raise


def _figures(change: Discount) -> dict[str, Any]:
    if change.percent_off is not None:
        return {"percent_off": f"{change.percent_off.normalize():f}"}
    currency = change.currency or ""
    return {
        "amount_off": amount_of(change.amount_off_minor or 0, currency),
        "currency": currency.lower(),
    }


def _name(change: Discount) -> str:
    """What the customer's invoice calls it; without a name Stripe would print the coupon's id there."""
    if change.percent_off is not None:
        return f"{change.percent_off.normalize():f}% off"
    money = Money(change.amount_off_minor or 0, change.currency or "")
    return f"{money.decimal()} {money.currency} off"[:_LONGEST_NAME]


def _months(subscription: DirectSubscription, months: int, now: datetime) -> int:
    """How long Stripe has to keep the discount so that it covers the charges that were promised.

    Stripe counts months from now, the promise counts from the next charge. On a yearly plan that is eight months
    off, three of Stripe's months would be over before anything was reduced.
    """
    first = subscription.period_end
    if first is None or first < now:
        return months
    return months_past(now, last_charge_within(subscription, first, months))


def _check_theirs(coupon: Raw | None, raw: Raw, now: datetime) -> None:
    """Stripe takes some coupons without a word that then give nothing: those are refused here."""
    if coupon is None:
        raise ProviderRefused(_GONE, "The coupon does not exist at Stripe; it may have been deleted.")
    if coupon.get("valid") is not True:
        raise ProviderRefused(_GONE, "The coupon can no longer be redeemed at Stripe.")
    options = coupon.get("currency_options")
    currencies = {coupon.get("currency"), *(options if isinstance(options, dict) else ())}
    if coupon.get("amount_off") is not None and raw.get("currency") not in currencies:
        raise ProviderRefused(_GONE, "The coupon is in another currency than the subscription.")
    applies_to = coupon.get("applies_to")
    products = applies_to.get("products") if isinstance(applies_to, dict) else None
    if isinstance(products, list) and products and not _products_of(raw) & set(map(str, products)):
        raise ProviderRefused(_GONE, "The coupon applies to other products than the subscription's.")
    check_lasts(coupon, subscription_of(raw, now), now)


def check_lasts(coupon: Raw, subscription: DirectSubscription, now: datetime) -> None:
    """Raises ProviderRefused where the merchant's coupon reduces fewer charges than the customer is told of.

    Stripe counts its months from now, the customer is told of charges from the next one on; that comes to the same on
    monthly plans, but for the last days of some months.
    """
    months, first = coupon.get("duration_in_months"), subscription.period_end
    if coupon.get("duration") != "repeating" or type(months) is not int or first is None:
        return
    if add_months(now, months) <= last_charge_within(subscription, first, months):
        raise ProviderRefused(_GONE, "The coupon would run out before the last charge that it is shown for.")


def _products_of(raw: Raw) -> set[str]:
    found = set()
    for item in (raw.get("items") or {}).get("data") or []:
        product = item["price"].get("product")
        found.add(str(product.get("id") if isinstance(product, dict) else product))
    return found
