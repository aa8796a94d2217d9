"""The discounts that offers put on a subscription: the merchant's own, and those made for one acceptance."""

from base64 import b32encode
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from app.adapters.billing.paddle.reading import is_usable_coupon, made_for
from app.adapters.billing.paddle.values import DURATION, EFFECT, MONTHS, moment
from app.adapters.billing.paddle.wire import Object, PaddleApi, PaddleRefused, inner, is_id, path
from app.core.billing import Discount, ProviderError, ProviderRefused
from app.core.calendar import iso
from app.core.direct import DirectSubscription
from app.core.renewals import charges_within, next_renewal

TIME_TO_REDEEM: Final = timedelta(hours=1)
_LEFT: Final = timedelta(minutes=5)
ANY_STATUS: Final = "active,archived,expired,used"

_GONE = "This discount is no longer available."
_NOT_USABLE = "This discount cannot be used for your subscription."
_SMALLEST_PERCENT_EXPONENT = -2


async def find_coupon(
    api: PaddleApi, change: Discount, subscription: DirectSubscription, now: datetime
) -> Object:
    """The merchant's discount that an offer names, if it gives what the offer says. Raises ProviderRefused."""
    coupon_id = change.coupon_id or ""
    coupon = await api.find(path("discounts", coupon_id)) if is_id(coupon_id, "dsc") else None
    if coupon is None or coupon.get("status") != "active":
        raise ProviderRefused(_GONE, "The discount does not exist at Paddle, or is not active.")
    if not is_usable_coupon(coupon):
        raise ProviderRefused(
            _NOT_USABLE, "Paddle takes only recurring discounts on a running subscription; this one is not."
        )
    if change.duration == "repeating" and _periods(change, subscription, now) != coupon.get(
        "maximum_recurring_intervals"
    ):
        raise ProviderRefused(
            _NOT_USABLE,
            "The discount counts billing periods, and for this subscription they are not the months of the offer.",
        )
    return coupon


async def make_coupon(
    api: PaddleApi, change: Discount, effect_id: str, subscription: DirectSubscription, now: datetime
) -> Object:
    """A discount for this acceptance alone, the same one on every try: its code comes from the effect."""
    body = {
        "description": f"Leavewell {effect_id}",
        "enabled_for_checkout": False,
        "code": code_of(effect_id),
        **_figure(change),
        "recur": True,  # Paddle puts no other kind on a running subscription; one period is "once"
        "maximum_recurring_intervals": _periods(change, subscription, now),
        "usage_limit": 1,
        "expires_at": iso(now + TIME_TO_REDEEM),
        "custom_data": {
            EFFECT: effect_id,
            DURATION: change.duration,
            **({MONTHS: change.months} if change.months is not None else {}),
        },
    }
    try:
        made, _ = await api.send("POST", "/discounts", body)
    except PaddleRefused as refused:
        if refused.code != "discount_code_conflict":
            raise
        made = await _find_made(api, effect_id)
        if not made.get("times_used"):
            made = await _renew(api, made, now)
    return made


async def _renew(api: PaddleApi, made: Object, now: datetime) -> Object:
    """What an earlier try made and did not use can be redeemed for another hour, archived or expired as it may be."""
    expires_at = moment(made.get("expires_at"))
    if made.get("status") == "active" and expires_at is not None and expires_at > now + _LEFT:
        return made
    body = {"status": "active", "expires_at": iso(now + TIME_TO_REDEEM)}
    return (await api.send("PATCH", path("discounts", str(made["id"])), body))[0]


async def throw_away(api: PaddleApi, coupon: Object, here: str) -> None:
    """Archive what was made for an acceptance that Paddle then refused; in any case it expires within the hour.

    It stays if it is on the subscription (at `here`) after all: another process was faster, and so ours was refused.
    """
    try:
        if inner(await api.find(here), "discount").get("id") == coupon["id"]:
            return
        await api.send("PATCH", path("discounts", str(coupon["id"])), {"status": "archived"})
    except ProviderError:
        return


def code_of(effect_id: str) -> str:
    """Letters and digits, as Paddle has it, and different for every effect."""
    return "LW" + b32encode(sha256(effect_id.encode()).digest()).decode()[:14]


def is_attached(change: Discount, effect_id: str, raw: Object, entity: Object | None) -> bool:
    """Whether this very effect's discount is on the subscription, or was: then it must not come again."""
    if inner(raw, "custom_data").get(EFFECT) == effect_id:
        return True
    if change.coupon_id is not None:
        return entity is not None and entity.get("id") == change.coupon_id
    return entity is not None and made_for(entity) == effect_id


def _periods(change: Discount, subscription: DirectSubscription, now: datetime) -> int | None:
    """How many charges the discount is for, counted as the customer was shown it; None for all."""
    if change.duration != "repeating" or change.months is None:
        return 1 if change.duration == "once" else None
    first = next_renewal(subscription, now)
    if first is None:
        raise ProviderRefused(_NOT_USABLE, "It is not known when the subscription renews.")
    return charges_within(subscription, first, change.months)


def _figure(change: Discount) -> Object:
    if change.percent_off is not None:
        percent = change.percent_off.normalize()
        if int(percent.as_tuple().exponent) < _SMALLEST_PERCENT_EXPONENT:
            raise ProviderRefused(_NOT_USABLE, "Paddle's percentages have at most two decimals.")
        return {"type": "percentage", "amount": f"{percent:f}"}
    return {"type": "flat", "amount": str(change.amount_off_minor), "currency_code": change.currency}


async def _find_made(api: PaddleApi, effect_id: str) -> Object:
    code = code_of(effect_id)
    found = await api.list_all("/discounts", most=10, code=code, status=ANY_STATUS)
    made = [each for each in found if made_for(each) == effect_id]
    if not made:
        raise ProviderRefused(_NOT_USABLE, f"Another discount at Paddle has the code {code}.")
    return made[0]
