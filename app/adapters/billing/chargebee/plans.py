"""A change of plan: whether it can be made at no cost before the next renewal, and the parameters it takes."""

from typing import Final

from app.adapters.billing.chargebee import reading, shapes, writing
from app.adapters.billing.chargebee.estimates import WITHOUT_BALANCES, costs_now
from app.adapters.billing.chargebee.site import Site
from app.adapters.billing.chargebee.wire import NOT_ALLOWED, Document, Params, Wire
from app.core.billing import ProviderRefused

UPDATE_ESTIMATE: Final = "/estimates/update_subscription_for_items"
_PLAN_GONE: Final = "This plan is no longer available."


class Plans:
    def __init__(self, wire: Wire, site: Site) -> None:
        self._wire = wire
        self._site = site

    async def prepare(self, found: Document, price_id: str) -> tuple[Params, Document]:
        """The parameters of the change, and Chargebee's estimate of it. Raises ProviderRefused.

        Another billing period would start a new term, and charge it, at once; so would a plan with a setup charge.
        """
        listed = (await self._site.item_prices([price_id])).get(price_id)
        price = reading.price(listed) if listed else None
        if listed is None or price is None or not price.active or listed.get("item_type", "plan") != "plan":
            raise ProviderRefused(_PLAN_GONE, "Chargebee has no active plan price of that id.")
        items = shapes.documents(found.get("subscription_items"))
        if len(items) != 1 or items[0].get("item_type", "plan") != "plan":
            raise ProviderRefused(NOT_ALLOWED, "The subscription has more than one plan price.")
        rhythm = (found.get("billing_period_unit"), found.get("billing_period"))
        if (listed.get("period_unit"), listed.get("period")) != rhythm:
            raise ProviderRefused(
                NOT_ALLOWED, "The plan has another billing period, so it would be charged at once."
            )
        if price.amount.currency != shapes.currency(found.get("currency_code")):
            raise ProviderRefused(NOT_ALLOWED, "The plan has another currency.")
        plan = writing.other_plan(listed, items[0])
        subject = ("subscription[id]", str(found.get("id")))
        estimate = await self._wire.estimate(UPDATE_ESTIMATE, (subject, *plan, *WITHOUT_BALANCES))
        if costs_now(estimate):
            raise ProviderRefused(NOT_ALLOWED, "Chargebee would charge or credit this plan change at once.")
        return plan, estimate
