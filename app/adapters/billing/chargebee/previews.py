"""Asks Chargebee what a change would come to, by its estimates. Changes nothing."""

from datetime import datetime

from app.adapters.billing.chargebee import writing
from app.adapters.billing.chargebee.estimates import WITHOUT_BALANCES, preview
from app.adapters.billing.chargebee.plans import UPDATE_ESTIMATE, Plans
from app.adapters.billing.chargebee.site import Entry, Site, part
from app.adapters.billing.chargebee.wire import Params, Refused, Wire
from app.adapters.clock import Clock
from app.core.billing import Change, Discount, Pause, PlanChange, Preview, TrialExtension


class Previews:
    def __init__(self, wire: Wire, site: Site, clock: Clock) -> None:
        self._wire = wire
        self._site = site
        self._clock = clock
        self._plans = Plans(wire, site)

    async def of(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        if not isinstance(change, Discount | PlanChange | Pause | TrialExtension):
            return None
        entry = await self._site.find(customer_id, subscription_id)
        if entry is None:
            return None
        match change:
            case Discount():
                return await self._discount(entry, subscription_id, change)
            case PlanChange():
                _, estimate = await self._plans.prepare(part(entry, "subscription"), change.price.id)
                return preview(estimate)
            case Pause(renews_at=datetime() as renews_at):
                return await self._ask(
                    subscription_id, "change_term_end_estimate", writing.term_end(renews_at)
                )
            case Pause():
                for subscription in await self._site.read([entry], with_prices=False):
                    writing.check_pause(subscription, change.resumes_at)
                asked = writing.pause_estimate(change.resumes_at)
                return await self._ask(subscription_id, "pause_subscription_estimate", asked)
            case TrialExtension():
                asked = writing.term_end(change.ends_at)
                return await self._ask(subscription_id, "change_term_end_estimate", asked)

    async def _discount(self, entry: Entry, subscription_id: str, change: Discount) -> Preview | None:
        """One that is made for the acceptance is asked for as a manual discount, which a site need not allow."""
        subject, now = ("subscription[id]", subscription_id), self._clock.now()
        before = self._site.outline(entry)
        if change.coupon_id is not None:
            if before is not None:
                writing.check_lasts(change, before, now)
            coupon = writing.with_coupon(change.coupon_id)
            return preview(await self._wire.estimate(UPDATE_ESTIMATE, (subject, *coupon, *WITHOUT_BALANCES)))
        lasting = writing.lasting(change, before, now) if before is not None else change
        manual = (*writing.as_manual_discount(lasting), *writing.NO_PRORATION)
        try:
            return preview(await self._wire.estimate(UPDATE_ESTIMATE, (subject, *manual, *WITHOUT_BALANCES)))
        except Refused:
            return None

    async def _ask(self, subscription_id: str, action: str, asked: Params) -> Preview:
        return preview(await self._wire.estimate(writing.path(subscription_id, action), asked))
