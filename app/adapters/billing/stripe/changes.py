"""Makes one change at Stripe: reads first, refuses what Stripe would take wrongly, writes, and looks at the answer."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, assert_never

from stripe import StripeObject

from app.adapters.billing.stripe import coupons, wire
from app.adapters.billing.stripe.gateway import WITH_SUBSCRIPTION, Gateway
from app.adapters.billing.stripe.reading import (
    PAUSE_LEAD,
    RENEWAL_MARK,
    renewal_from,
    subscription_of,
)
from app.adapters.billing.stripe.shapes import duration_of, is_usable, price_of
from app.adapters.billing.stripe.wire import Declined, Found, KeptFailure, Raw
from app.adapters.clock import Clock
from app.core.billing import (
    Applied,
    Cancel,
    Change,
    ChangeRequest,
    Discount,
    Pause,
    PlanChange,
    ProviderRefused,
    Resume,
    TrialExtension,
    Uncancel,
    is_in_place,
)
from app.core.direct import Active, DirectSubscription, Paused, Trial

_NO: Final = {
    "cancel": "Your cancellation could not be carried out automatically.",
    "uncancel": "Your cancellation could not be taken back automatically.",
    "discount": "This discount is not available for your subscription.",
    "pause": "Your subscription cannot be paused at the moment.",
    "resume": "Your subscription cannot be resumed automatically.",
    "plan_change": "This plan is not available for your subscription.",
    "trial_extension": "Your trial cannot be extended.",
}

Write = Callable[[Any], Awaitable[StripeObject]]


class Changes:
    """Carries changes out. Each write sets a state and says so once more without harm; the keys come on top."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock

    async def make(self, request: ChangeRequest) -> Applied:
        """Raises ProviderRefused, ProviderUnavailable."""
        change, now = request.change, self._clock.now()
        raw = await self._read(request)
        before = subscription_of(raw, now)
        if _is_done(request, raw, before, now):
            return Applied(reference=request.effect_id, subscription=before)
        _refuse_unsafe(change, before)
        try:
            found = await self._carry_out(request, raw, before, now)
        except coupons.CouponSpent:
            return Applied(reference=request.effect_id, subscription=before)
        except Declined as declined:
            return await self._unless_done(request, declined)
        await self._gateway.complete([found.raw])
        after = subscription_of(found.raw, now)
        return Applied(reference=found.request_id or request.effect_id, subscription=after)

    async def _read(self, request: ChangeRequest) -> Raw:
        raw = await self._gateway.subscription(request.customer_id, request.subscription_id)
        if raw is None:
            raise ProviderRefused(
                _NO[request.change.type], "Stripe has no such subscription of this customer."
            )
        return raw

    async def _carry_out(
        self, request: ChangeRequest, raw: Raw, before: DirectSubscription, now: datetime
    ) -> Found:
        change = request.change
        match change:
            case Cancel(timing="now"):
                return await self._end(request)
            case Uncancel():
                return await self._keep(request, raw)
            case Discount():
                return await self._discount(request, change, raw, now)
            case PlanChange():
                return await self._update(request, await self._plan_params(change, raw))
            case _:
                return await self._update(request, _params(change, raw, before, now))

    async def _update(self, request: ChangeRequest, params: dict[str, Any], step: str = "") -> Found:
        asked: Any = {**params, "expand": WITH_SUBSCRIPTION}
        return await keyed(
            lambda options: self._gateway.api.subscriptions.update_async(
                request.subscription_id, asked, options
            ),
            request.effect_id + step,
            self._clock.now(),
        )

    async def _end(self, request: ChangeRequest) -> Found:
        """At once, without a last invoice or a credit: both are Stripe's defaults, and named all the same."""
        params: Any = {"invoice_now": False, "prorate": False, "expand": WITH_SUBSCRIPTION}
        return await keyed(
            lambda options: self._gateway.api.subscriptions.cancel_async(
                request.subscription_id, params, options
            ),
            request.effect_id,
            self._clock.now(),
        )

    async def _keep(self, request: ChangeRequest, raw: Raw) -> Found:
        """An end can be set in two ways, and Stripe takes only one of them in a request."""
        first: dict[str, Any] = (
            {"cancel_at_period_end": False} if raw.get("cancel_at_period_end") is True else {"cancel_at": ""}
        )
        found = await self._update(request, first)
        if found.raw.get("cancel_at") is not None:
            found = await self._update(request, {"cancel_at": ""}, ":date")
        return found

    async def _discount(self, request: ChangeRequest, change: Discount, raw: Raw, now: datetime) -> Found:
        coupon_id = await coupons.prepare(self._gateway, keyed, request, change, raw, now)
        return await self._update(request, coupons.params_for(request, change, coupon_id, raw))

    async def _plan_params(self, change: PlanChange, raw: Raw) -> dict[str, Any]:
        price = await self._gateway.price(change.price.id)
        _check_plan(price, raw)
        item = raw["items"]["data"][0]
        quantity = item.get("quantity")
        return {
            "items": [
                {
                    "id": item["id"],
                    "price": change.price.id,
                    **({} if quantity is None else {"quantity": quantity}),
                }
            ],
            "proration_behavior": "none",
        }

    async def _unless_done(self, request: ChangeRequest, declined: Declined) -> Applied:
        """Two tries can race, and the second is told no because the first was faster."""
        raw, now = await self._read(request), self._clock.now()
        subscription = subscription_of(raw, now)
        if _is_done(request, raw, subscription, now):
            return Applied(reference=request.effect_id, subscription=subscription)
        if isinstance(request.change, Discount) and request.change.coupon_id is None:
            await coupons.drop(self._gateway, coupons.coupon_id_of(request, request.change))
        raise ProviderRefused(_NO[request.change.type], declined.reason)


async def keyed(write: Write, key: str, now: datetime) -> Found:
    """Write under an idempotency key.

    Stripe keeps the first answer to a key for a day, a refusal or a failure of its own too. As the subscription was
    just read and lacks the change, such an answer is out of date, and a key of this very moment asks anew.
    """
    try:
        return await wire.ask(write({"idempotency_key": key}))
    except KeptFailure:
        pass
    except Declined as declined:
        if not declined.was_kept and declined.type != "idempotency_error":
            raise
    return await wire.ask(write({"idempotency_key": f"{key}:{int(now.timestamp())}"}))


def _is_done(request: ChangeRequest, raw: Raw, subscription: DirectSubscription, now: datetime) -> bool:
    if isinstance(request.change, Discount):
        return coupons.is_attached(request, request.change, raw)
    return is_in_place(request.change, subscription, now)


def _refuse_unsafe(change: Change, before: DirectSubscription) -> None:
    """What has come to stand against it since it was offered; each would be taken by Stripe without a word."""
    no = _NO[change.type]
    if before.obstacles:
        raise ProviderRefused(
            no, f"Only a person may change this subscription: {', '.join(before.obstacles)}."
        )
    if not isinstance(before.status, Active | Trial | Paused):
        raise ProviderRefused(no, f"The subscription is {before.status.name}.")
    if len(before.items) > 1:
        raise ProviderRefused(no, "The subscription has several items.")
    if isinstance(change, Cancel | Uncancel | Resume):
        return
    if before.end is not None:
        raise ProviderRefused(no, "The subscription is scheduled to end.")
    if not isinstance(before.status, Active | Trial):
        raise ProviderRefused(no, f"The subscription is {before.status.name}.")
    if isinstance(change, Pause) and not isinstance(before.status, Active):
        raise ProviderRefused(no, f"Only an active subscription can be paused; it is {before.status.name}.")
    if isinstance(change, TrialExtension) and not isinstance(before.status, Trial):
        raise ProviderRefused(no, f"Only a trial can be extended; the subscription is {before.status.name}.")


def _params(
    change: Cancel | Pause | Resume | TrialExtension, raw: Raw, before: DirectSubscription, now: datetime
) -> dict[str, Any]:
    match change:
        case Cancel():
            return {"cancel_at_period_end": True}
        case Pause(renews_at=datetime() as renews_at):
            return _moved(renews_at, before)
        case Pause(resumes_at=resumes_at):
            until = _pause_end(resumes_at, raw, now)
            return {"pause_collection": {"behavior": "void", "resumes_at": int(until.timestamp())}}
        case Resume():
            return {"pause_collection": ""}
        case TrialExtension(ends_at=ends_at):
            return {"trial_end": int(ends_at.timestamp()), "proration_behavior": "none"}
        case _:
            assert_never(change)


def _pause_end(resumes_at: datetime, raw: Raw, now: datetime) -> datetime:
    """When Stripe is to go on: with some time to spare before the renewal that is to be paid again."""
    until = resumes_at.replace(microsecond=0)
    renewal = renewal_from(raw, until)
    if renewal is not None and renewal - until < PAUSE_LEAD:
        until = renewal - PAUSE_LEAD
    if until <= now:
        raise ProviderRefused(_NO["pause"], "The pause would be over before it began.")
    return until


def _moved(renews_at: datetime, before: DirectSubscription) -> dict[str, Any]:
    """Stripe moves a renewal by a trial of what is paid for already; the mark tells it from a real one."""
    if before.period_end is None or renews_at <= before.period_end:
        raise ProviderRefused(_NO["pause"], "The renewal can only move to a later date.")
    until = int(renews_at.timestamp())
    return {"trial_end": until, "proration_behavior": "none", "metadata": {RENEWAL_MARK: str(until)}}


def _check_plan(price: Raw | None, raw: Raw) -> None:
    """Another interval would begin a new period and charge at once; another tax behaviour would not be as shown."""
    no = _NO["plan_change"]
    if price is None or not is_usable(price):
        raise ProviderRefused(no, "Stripe has no such price, or it is no longer active.")
    current = raw["items"]["data"][0]["price"]
    options = price.get("currency_options")
    currencies = {price.get("currency"), *(options if isinstance(options, dict) else ())}
    if raw.get("currency") not in currencies:
        raise ProviderRefused(no, "The price is in another currency than the subscription.")
    every = duration_of(price)
    if every is None or every != duration_of(current):
        raise ProviderRefused(no, "The price has another billing interval than the subscription.")
    if price_of(price).amount.model == "tiered":
        raise ProviderRefused(no, "The price is metered or tiered, so nobody can tell what it comes to.")
    taxes = {price.get("tax_behavior"), current.get("tax_behavior")} - {None, "unspecified"}
    if len(taxes) > 1:
        raise ProviderRefused(no, "The price treats tax in another way than the current one.")
