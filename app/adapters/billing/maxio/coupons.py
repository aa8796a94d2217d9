"""Gives a subscription a discount: a coupon that the merchant has, or one made for this acceptance."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from app.adapters.billing.maxio.checks import GONE
from app.adapters.billing.maxio.seen import Seen
from app.adapters.billing.maxio.values import fields, identity, number, percent, unwrapped
from app.adapters.billing.maxio.wire import Json, Wire
from app.adapters.clock import Clock
from app.core.billing import Discount, ProviderError, ProviderRefused
from app.core.calendar import add_months
from app.core.direct import DirectSubscription
from app.core.renewals import charges_within, last_charge_within

# Maxio's end date is a day; it has to outlast every try.
_REDEEMABLE: Final = timedelta(days=4)
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,100}", re.ASCII)
_NOT_TAKEN: Final = "The discount could not be used for this subscription."


class Coupons:
    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock

    async def give(
        self, change: Discount, effect_id: str, seen: Seen, subscription: DirectSubscription
    ) -> None:
        """The code stands on the subscription afterwards; where it does already, nothing is written."""
        code = change.coupon_id or code_of(effect_id)
        if change.coupon_id is not None and any(each.id == code for each in subscription.discounts or ()):
            return
        if change.coupon_id is None and code in _codes(seen):
            return
        path = f"/subscriptions/{seen.raw['id']}/add_coupon.json"
        if change.coupon_id is not None:
            await self.check(change, seen, subscription)
            await self._wire.write("POST", path, {"codes": [code]})
            return
        family = _family(seen)
        coupon = await self._made_for(change, code, family, seen, subscription)
        try:
            await self._wire.write("POST", path, {"codes": [code]})
        except ProviderRefused:
            await self._archive(coupon, family)
            raise

    async def check(self, change: Discount, seen: Seen, subscription: DirectSubscription) -> None:
        """Raises ProviderRefused for a coupon of the merchant's that Maxio would not take, or not as it was shown."""
        code, query = change.coupon_id or "", [("product_family_id", _family(seen))]
        answer = await self._wire.get("/coupons/validate.json", [("code", code), *query])
        if answer is None:
            raise ProviderRefused(GONE, "Maxio does not know the coupon for this product, or it is used up.")
        if code in _codes(seen):
            raise ProviderRefused(GONE, "The coupon stands on the subscription already.")
        _check_lasts(change, unwrapped(answer, "coupon"), subscription, self._clock.now())

    async def _made_for(
        self, change: Discount, code: str, family: str, seen: Seen, subscription: DirectSubscription
    ) -> Mapping[str, Any]:
        """The coupon of this effect, made now or by an earlier try; it can be used once."""
        coupon = await self._find(code, family)
        if coupon is None:
            body = {"coupon": self._payload(change, code, family, seen, subscription)}
            try:
                answer = await self._wire.write("POST", f"/product_families/{family}/coupons.json", body)
                coupon = unwrapped(answer, "coupon")
            except ProviderRefused:
                coupon = await self._find(code, family)  # another process was quicker
                if coupon is None:
                    raise
        if not _is_as_asked(change, coupon):
            await self._archive(coupon, family)
            raise ProviderRefused(_NOT_TAKEN, "Maxio kept another percentage or amount than was asked for.")
        return coupon

    async def _find(self, code: str, family: str) -> Mapping[str, Any] | None:
        query = [("code", code), ("product_family_id", family)]
        coupon = unwrapped(await self._wire.get("/coupons/find.json", query), "coupon")
        return coupon if coupon.get("code") == code else None

    async def _archive(self, coupon: Mapping[str, Any], family: str) -> None:
        """Leave no coupon behind that nobody has; that it stays is no reason to fail, for it can be used once."""
        if coupon_id := identity(coupon.get("id")):
            with suppress(ProviderError):
                await self._wire.write("DELETE", f"/product_families/{family}/coupons/{coupon_id}.json")

    def _payload(
        self, change: Discount, code: str, family: str, seen: Seen, subscription: DirectSubscription
    ) -> Json:
        made: Json = {
            "name": code,
            "code": code,
            "description": "Offered when you were about to leave",
            "product_family_id": family,
            "allow_negative_balance": False,
            "recurring": change.duration != "once",
            "conversion_limit": "1",
            "end_date": (self._clock.now() + _REDEEMABLE).date().isoformat(),
            "stackable": True,
            "compounding_strategy": "compound",
        }
        if change.percent_off is not None:
            made["percentage"] = f"{change.percent_off.normalize():f}"
        else:
            made["amount_in_cents"] = change.amount_off_minor
        if change.months is not None and seen.renews_at is not None:
            made["duration_period_count"] = charges_within(subscription, seen.renews_at, change.months)
        return made


def _family(seen: Seen) -> str:
    family = identity(fields(fields(seen.raw.get("product")).get("product_family")).get("id"))
    if family is None:
        raise ProviderRefused(_NOT_TAKEN, "The subscription's product has no product family.")
    return family


def _check_lasts(
    change: Discount, coupon: Mapping[str, Any], subscription: DirectSubscription, now: datetime
) -> None:
    """Maxio counts renewals, or months from now; the customer was told of charges, months from the next one on.

    On monthly plans that is the same. On a yearly one a coupon of three periods would reduce three years.
    """
    first = subscription.period_end
    if change.months is None or first is None:
        return
    periods = number(coupon.get("duration_period_count"))
    span = number(coupon.get("duration_interval"))
    if periods is not None and periods != charges_within(subscription, first, change.months):
        raise ProviderRefused(
            _NOT_TAKEN, "The coupon counts renewals, which are not the months it is shown for."
        )
    counts_months = periods is None and span is not None
    if counts_months and add_months(now, span or 0) <= last_charge_within(subscription, first, change.months):
        raise ProviderRefused(
            _NOT_TAKEN, "The coupon would run out before the last charge that it is shown for."
        )


def code_of(effect_id: str) -> str:
    """The code of the coupon that is made for an effect: capitals, digits and `_`, as Maxio wants them."""
    name = effect_id if _PLAIN.fullmatch(effect_id) else sha256(effect_id.encode()).hexdigest()
    return f"LEAVEWELL_{name.upper()}"


def _codes(seen: Seen) -> set[str]:
    """All that stand on the subscription, used up or not."""
    codes = seen.raw.get("coupon_codes")
    given = seen.raw.get("coupons")
    found = {code for code in codes if isinstance(code, str)} if isinstance(codes, list) else set()
    found |= {str(fields(each).get("code")) for each in given} if isinstance(given, list) else set()
    return found | {str(seen.raw.get("coupon_code"))}


def _is_as_asked(change: Discount, coupon: Mapping[str, Any]) -> bool:
    if change.percent_off is not None:
        return percent(coupon.get("percentage")) == change.percent_off
    return number(coupon.get("amount_in_cents")) == change.amount_off_minor
