"""Canonical changes as Maxio's calls. Each is preceded by a read, and each call sets a state: twice is like once.

Maxio's `uniqueness_token` is not used: it answers a repeated request with 409 without saying what became of the first,
and for an hour stands in the way of repeating one that failed.
"""

from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from app.adapters.billing.maxio.checks import GONE, refuse_impossible
from app.adapters.billing.maxio.coupons import Coupons
from app.adapters.billing.maxio.lookup import Lookup
from app.adapters.billing.maxio.seen import OVER, Marker, Seen
from app.adapters.billing.maxio.values import MARKER, number
from app.adapters.billing.maxio.wire import NOT_THERE, Wire
from app.adapters.clock import Clock
from app.core.billing import (
    DATE_TOLERANCE,
    Applied,
    Cancel,
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
from app.core.calendar import iso
from app.core.direct import DirectSubscription
from app.core.renewals import first_renewal_from

# Maxio puts nothing on hold that is billed within a day; an hour is for the time until it hears us.
_HOLD_NOTICE: Final = timedelta(hours=25)
# A date that is set must still be ahead when Maxio reads it.
_AHEAD: Final = timedelta(minutes=10)


class Writer:
    def __init__(self, wire: Wire, lookup: Lookup, clock: Clock) -> None:
        self._wire = wire
        self._lookup = lookup
        self._clock = clock
        self._coupons = Coupons(wire, clock)

    async def apply(self, request: ChangeRequest) -> Applied:
        """Make the change, unless it is there already."""
        seen = await self._lookup.see(request.customer_id, request.subscription_id)
        now = self._clock.now()
        subscription = self._lookup.read(seen, request.customer_id) if seen else None
        if seen is None or subscription is None:
            raise ProviderRefused(NOT_THERE, "There is no such subscription of this customer at Maxio.")
        done = Applied(reference=request.effect_id)
        change = request.change
        match change:
            case Cancel(timing="now"):
                await self._cancel_now(request, seen)
            case Cancel():
                await self._cancel_at_end(request, seen, now)
            case Resume():
                await self._resume(request, seen, now)
            case Discount():
                refuse_impossible(change, seen, now)
                await self._coupons.give(change, request.effect_id, seen, subscription)
            case _ if is_in_place(change, subscription, now):
                pass
            case Uncancel():
                await self._uncancel(request, seen)
            case Pause(renews_at=datetime() as renews_at):
                refuse_impossible(change, seen, now)
                await self._bill_at(seen, renews_at)
            case Pause():
                refuse_impossible(change, seen, now)
                await self._hold(request, change, seen, subscription, now)
            case PlanChange():
                refuse_impossible(change, seen, now)
                await self._change_plan(change, seen)
            case TrialExtension(ends_at=ends_at):
                refuse_impossible(change, seen, now)
                await self._bill_at(seen, _whole_minute_after(ends_at))
            case _:
                assert_never(change)
        return done

    # --- Ending, and not ending ---

    async def _cancel_now(self, request: ChangeRequest, seen: Seen) -> None:
        if seen.state not in OVER:
            await self._wire.write("DELETE", _path(seen), _because(request))

    async def _cancel_at_end(self, request: ChangeRequest, seen: Seen, now: datetime) -> None:
        """On hold nothing ends, so the hold is ended first; where nothing paid for is left, so is the subscription."""
        is_held = seen.state == "on_hold"
        if seen.state in OVER or (seen.is_to_end and not is_held):
            return
        paid_until = seen.paid_until
        if is_held and (paid_until is None or paid_until <= now + _AHEAD):
            await self._cancel_now(request, seen)
            return
        if is_held:
            await self._mark(request, seen)
            await self._wire.write("POST", _path(seen, "resume"))
        await self._put_renewal_back(seen, now)
        if seen.raw.get("cancel_at_end_of_period") is not True:
            await self._wire.write("POST", _path(seen, "delayed_cancel"), _because(request))

    async def _uncancel(self, request: ChangeRequest, seen: Seen) -> None:
        if seen.state in OVER:
            raise ProviderRefused("The subscription has ended already.", "It is canceled at Maxio.")
        await self._wire.write("DELETE", _path(seen, "delayed_cancel"))
        after = await self._lookup.see(request.customer_id, request.subscription_id, is_brief=True)
        if after is not None and after.raw.get("scheduled_cancellation_at"):
            reason = "Maxio's API does not take back a cancellation that is scheduled for a date."
            raise ProviderRefused("This cancellation cannot be taken back here.", reason)

    # --- Pausing ---

    async def _hold(
        self,
        request: ChangeRequest,
        change: Pause,
        seen: Seen,
        subscription: DirectSubscription,
        now: datetime,
    ) -> None:
        """A hold charges on the day it ends if the renewal has passed; a renewal that is ahead stays as it is.

        The customer was promised a charge on the first regular renewal from the day the pause ends. Where that is
        another day, the renewal is moved there before.
        """
        paid_until = _paid_until(seen, request.effect_id, now)
        if paid_until is None:
            raise ProviderRefused("A pause is not possible here.", "Maxio says no date for the next renewal.")
        promised = first_renewal_from(subscription, paid_until, change.resumes_at)
        is_other_day = promised - change.resumes_at >= DATE_TOLERANCE
        is_too_soon = paid_until - now < _HOLD_NOTICE
        renews_at = promised if is_other_day or is_too_soon else paid_until
        await self._mark(request, seen, Marker(request.effect_id, paid_until, renews_at))
        if seen.renews_at is None or abs(seen.renews_at - renews_at) >= DATE_TOLERANCE:
            await self._bill_at(seen, renews_at)
        body = {"hold": {"automatically_resume_at": _written(change.resumes_at)}}
        try:
            await self._wire.write("POST", _path(seen, "hold"), body)
        except ProviderRefused:
            if renews_at != paid_until:
                await self._bill_at(seen, paid_until)
            raise

    async def _resume(self, request: ChangeRequest, seen: Seen, now: datetime) -> None:
        if seen.state == "on_hold":
            await self._mark(request, seen)
            await self._wire.write("POST", _path(seen, "resume"))
            if _is_moved(seen.marker) and not await self._put_renewal_back(seen, now):
                # What was paid for is used up: billing goes on now, as Maxio does it where nothing was moved.
                await self._bill_at(seen, now + 6 * _AHEAD)
        elif seen.state in ("active", "assessing", "trialing"):
            await self._put_renewal_back(seen, now)
        else:
            raise ProviderRefused(
                "The pause cannot be ended here.", f"Its state at Maxio is {seen.state[:40]!r}."
            )

    async def _put_renewal_back(self, seen: Seen, now: datetime) -> bool:
        """Undo what a pause did to the renewal, while the date before it is still ahead."""
        marker = seen.marker
        if marker is None or not _is_moved(marker) or marker.paid_until <= now + _AHEAD:
            return False
        await self._bill_at(seen, marker.paid_until)
        return True

    async def _mark(self, request: ChangeRequest, seen: Seen, marker: Marker | None = None) -> None:
        """Leave at the subscription what the next try, or the end of the pause, has to know."""
        paid_until, renews_at = seen.paid_until, seen.renews_at
        if marker is None and paid_until is not None and renews_at is not None:
            marker = Marker(request.effect_id, paid_until, renews_at)
        if marker is not None and seen.custom.get(MARKER) != marker.written():
            body = {"metadata": [{"name": MARKER, "value": marker.written()}]}
            await self._wire.write("POST", f"/subscriptions/{seen.raw['id']}/metadata.json", body)

    # --- Dates and plans ---

    async def _bill_at(self, seen: Seen, at: datetime) -> None:
        """Move the next renewal, and with it the end of a trial; charges and prorates nothing."""
        await self._wire.write("PUT", _path(seen), {"subscription": {"next_billing_at": _written(at)}})

    async def _change_plan(self, change: PlanChange, seen: Seen) -> None:
        """A product change, not a migration: the new price is charged from the next renewal on, nothing now."""
        found = await self._lookup.load_prices([change.price.id])
        if not found or found[0].product_id is None:
            raise ProviderRefused(GONE, "Maxio has no such price point in use.")
        if change.price.money is not None and found[0].money != change.price.money:
            raise ProviderRefused(GONE, "The price point costs something else than what was shown.")
        wanted = {
            "product_id": number(found[0].product_id),
            "product_price_point_id": number(found[0].id),
        }
        await self._wire.write("PUT", _path(seen), {"subscription": wanted})


def _paid_until(seen: Seen, effect_id: str, now: datetime) -> datetime | None:
    """The renewal before a pause moved it: this one on an earlier try, or one that never came to be."""
    marker = seen.marker
    if marker and (marker.effect_id == effect_id or marker.paid_until > now):
        return marker.paid_until
    return seen.renews_at


def _is_moved(marker: Marker | None) -> bool:
    return marker is not None and abs(marker.renews_at - marker.paid_until) >= DATE_TOLERANCE


def _path(seen: Seen, action: str = "") -> str:
    return f"/subscriptions/{seen.raw['id']}{f'/{action}' if action else ''}.json"


def _because(request: ChangeRequest) -> dict[str, Any]:
    message = f"Cancelled by the customer on the cancel page ({request.effect_id})."
    return {"subscription": {"cancellation_message": message}}


def _written(at: datetime) -> str:
    return iso(at.replace(microsecond=0))


def _whole_minute_after(at: datetime) -> datetime:
    """Maxio's own dates of renewal end on whole minutes; a trial must not end before the one that was shown."""
    floor = at.replace(second=0, microsecond=0)
    return floor if floor == at else floor + timedelta(minutes=1)
