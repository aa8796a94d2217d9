"""Makes changes at Chargebee: reads first, writes what is missing, under one idempotency key for each effect.

Chargebee keeps keys for 30 minutes. What a later repeat finds done already, by reading, is not done again; of a
discount the coupon's id tells whose it is.
"""

from contextlib import suppress
from datetime import datetime
from typing import Final, assert_never

from app.adapters.billing.chargebee import reading, shapes, writing
from app.adapters.billing.chargebee.amounts import to_moment
from app.adapters.billing.chargebee.plans import Plans
from app.adapters.billing.chargebee.site import Site, part
from app.adapters.billing.chargebee.wire import NOT_ALLOWED, Document, Params, Refused, Wire, segment
from app.adapters.billing.chargebee.writing import effect_key, path
from app.adapters.clock import Clock
from app.core.billing import (
    Applied,
    Cancel,
    ChangeRequest,
    Discount,
    Pause,
    PlanChange,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    Resume,
    TrialExtension,
    Uncancel,
    is_in_place,
)
from app.core.direct import Active, DirectSubscription, Obstacle, Trial

COUPON_GONE: Final = "This discount is no longer available."
_NOT_RUNNING: Final = "It does not run, or is to end."
_MOST_COUPONS: Final = 20
_MANY: Final = 2**31
# With these a write would not do what it says: it would drop a change that is scheduled, or break a contract.
_UNSAFE: Final = (Obstacle.SCHEDULE, Obstacle.PENDING_UPDATE, Obstacle.CONTRACT, Obstacle.UNKNOWN_STATE)


class Changes:
    def __init__(self, wire: Wire, site: Site, clock: Clock, reason_code: str) -> None:
        self._wire = wire
        self._site = site
        self._plans = Plans(wire, site)
        self._clock = clock
        self._reason_code = reason_code

    async def apply(self, request: ChangeRequest) -> Applied:
        """Make the change, unless it is in place; raises ProviderRefused, ProviderUnavailable."""
        found, before = await self._now(request)
        if self._is_done(request, found, before):
            return Applied(reference=request.effect_id)
        if unsafe := [each for each in _UNSAFE if each in (before.obstacles or ())]:
            raise ProviderRefused(NOT_ALLOWED, f"The subscription may not be changed by itself: {unsafe[0]}.")
        try:
            await self._make(request, found, before)
        except Refused:
            # Repeated with other headers, as after a change of the API key, a key is refused although it was done.
            if not self._is_done(request, *await self._now(request)):
                raise
        return Applied(reference=request.effect_id)

    async def _now(self, request: ChangeRequest) -> tuple[Document, DirectSubscription]:
        """The subscription as it is now, as Chargebee writes it and as we do."""
        entry = await self._site.find(request.customer_id, request.subscription_id)
        read = await self._site.read([entry], with_prices=False) if entry else []
        if entry is None or not read:
            raise ProviderRefused(NOT_ALLOWED, "Chargebee has no such subscription of this customer.")
        return part(entry, "subscription"), read[0]

    def _is_done(self, request: ChangeRequest, found: Document, subscription: DirectSubscription) -> bool:
        change = request.change
        if isinstance(change, Discount) and change.coupon_id is None:
            return any(writing.is_made_for(request.effect_id, name) for name in reading.coupon_ids(found))
        return is_in_place(change, subscription, self._clock.now())

    async def _make(self, request: ChangeRequest, found: Document, before: DirectSubscription) -> None:
        change = request.change
        match change:
            case Cancel():
                await self._cancel(request, found, change)
            case Uncancel():
                await self._uncancel(request, found)
            case Discount():
                _need(_is_running(before), _NOT_RUNNING)
                await self._discount(request, before, change)
            case Pause():
                await self._pause(request, before, change)
            case Resume():
                await self._resume(request, found)
            case PlanChange():
                _need(_is_running(before), _NOT_RUNNING)  # one that is over would be brought back to life
                plan, _ = await self._plans.prepare(found, change.price.id)
                await self._send(request, "update_for_items", plan)
            case TrialExtension():
                _need(
                    isinstance(before.status, Trial) and _is_running(before), "It is not on trial, or ends."
                )
                await self._send(request, "change_term_end", writing.term_end(change.ends_at))
            case _:
                assert_never(change)

    async def _send(
        self, request: ChangeRequest, action: str, params: Params = (), *, step: str = ""
    ) -> None:
        key = effect_key(request.effect_id, step)
        await self._wire.change(path(request.subscription_id, action), params, key=key)

    # --- Ending and pausing ---

    async def _cancel(self, request: ChangeRequest, found: Document, change: Cancel) -> None:
        now = self._clock.now()
        option = "immediately" if change.timing == "now" else "end_of_term"
        if option == "end_of_term" and reading.has_pause_to_come(found, now):
            await self._cancel_instead_of_pause(request, found)
            return
        if found.get("status") == "paused" and not _is_paid_for(found, now):
            option = "immediately"  # the term is over, and the next one has not begun
        await self._send(request, "cancel_for_items", writing.cancel(option, self._reason_code))

    async def _cancel_instead_of_pause(self, request: ChangeRequest, found: Document) -> None:
        """Where Chargebee then refuses the cancellation, the pause comes back: else it would charge as it renews."""
        await self._send(request, "remove_scheduled_pause", step="unpause")
        try:
            await self._send(request, "cancel_for_items", writing.cancel("end_of_term", self._reason_code))
        except Refused:
            resumes_at = to_moment(found.get("resume_date"))
            if resumes_at is not None:
                with suppress(ProviderError):
                    await self._send(request, "pause", writing.pause(resumes_at), step="repause")
            raise

    async def _uncancel(self, request: ChangeRequest, found: Document) -> None:
        _need("cancelled_at" in found or found.get("status") != "in_trial", "Its trial is set to end it.")
        _need(not reading.is_over(found), "It is over.")
        await self._send(request, "remove_scheduled_cancellation")

    async def _pause(self, request: ChangeRequest, before: DirectSubscription, change: Pause) -> None:
        _need(isinstance(before.status, Active) and _is_running(before), _NOT_RUNNING)
        if change.renews_at is not None:
            term_end = before.period_end
            _need(term_end is not None and change.renews_at > term_end, "It renews later already.")
            await self._send(request, "change_term_end", writing.term_end(change.renews_at))
            return
        writing.check_pause(before, change.resumes_at)
        await self._send(request, "pause", writing.pause(change.resumes_at))

    async def _resume(self, request: ChangeRequest, found: Document) -> None:
        if reading.has_pause_to_come(found, self._clock.now()):
            await self._send(request, "remove_scheduled_pause")
            return
        _need(found.get("status") == "paused", "It is not paused.")
        await self._send(request, "resume", writing.RESUME)

    # --- Discounts ---

    async def _discount(self, request: ChangeRequest, before: DirectSubscription, change: Discount) -> None:
        name, now = change.coupon_id, self._clock.now()
        if name is None:
            name = await self._coupon_for(request, writing.lasting(change, before, now))
            if name is None:
                return
        else:
            writing.check_lasts(change, before, now)
        try:
            await self._send(request, "update_for_items", writing.with_coupon(name))
        except Refused as refused:
            if change.coupon_id is not None and (refused.param or "coupon").startswith("coupon"):
                raise Refused(COUPON_GONE, refused.reason, code=refused.code, param=refused.param) from None
            raise

    async def _coupon_for(self, request: ChangeRequest, change: Discount) -> str | None:
        """The id of a coupon for this acceptance, to be put on the subscription; None if it was on it before.

        An earlier try may have made one. If that has expired since, unused, another takes its place.
        """
        for number in range(1, _MOST_COUPONS):
            name = writing.coupon_id(request.effect_id, number)
            made = await self._make_coupon(change, name)
            if made is None:
                continue
            if shapes.whole(made.get("redemptions"), at_least=1, at_most=_MANY) is not None:
                return None
            if reading.is_usable(made, self._clock.now()):
                coupon = reading.coupon(made)
                if coupon is None or not writing.is_same(coupon, writing.coupon_of(change, name)):
                    raise ProviderRefused(NOT_ALLOWED, "Chargebee made another coupon than was asked for.")
                return name
        raise ProviderUnavailable("All coupons that were made for this have expired unused.")

    async def _make_coupon(self, change: Discount, name: str) -> Document | None:
        """The coupon of that id, made now or by an earlier try; its id is its idempotency key."""
        try:
            asked = writing.new_coupon(change, name, self._clock.now())
            return part(await self._wire.change("/coupons/create_for_items", asked, key=None), "coupon")
        except Refused as refused:
            if refused.code != "duplicate_entry":
                raise
        found = await self._wire.find(f"/coupons/{segment(name)}")
        return part(found, "coupon") if found else None


def _need(is_so: bool, reason: str) -> None:
    """What Chargebee would take in a sense that is not ours is refused here."""
    if not is_so:
        raise ProviderRefused(NOT_ALLOWED, reason)


def _is_running(subscription: DirectSubscription) -> bool:
    return isinstance(subscription.status, Active | Trial) and subscription.end is None


def _is_paid_for(found: Document, now: datetime) -> bool:
    ends = to_moment(found.get("current_term_end"))
    return ends is not None and ends > now
