"""Which changes a provider is asked about beforehand, so that offers can show what it itself makes of them. Pure."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice, zip_longest
from typing import Final

from app.core.billing import Capability, Catalog, Change, preview_key
from app.core.direct import DirectCustomer, DirectSubscription
from app.core.eligibility import eligibility
from app.core.facts import History
from app.core.flow import DiscountOffer, FlowDefinition, PlanChangeOffer
from app.core.flow_check import offers_of
from app.core.terms import terms

MOST_PREVIEWS: Final = 8


def changes_to_preview(
    flow: FlowDefinition,
    *,
    subscriptions: Sequence[DirectSubscription],
    customer: DirectCustomer | None,
    capabilities: Collection[Capability],
    catalog: Catalog,
    now: datetime,
) -> list[tuple[str, Change]]:
    """The changes of price that the flow's offers could make, each with its subscription's id; at most eight.

    Several subscriptions take turns. What rules or history will hide later is asked about all the same: neither is
    known yet.
    """

    def of(subscription: DirectSubscription) -> Iterator[tuple[str, Change]]:
        for _, offer in offers_of(flow):
            if not isinstance(offer, DiscountOffer | PlanChangeOffer):
                continue
            blockers = eligibility(
                offer,
                subscription=subscription,
                customer=customer,
                history=History(),
                capabilities=capabilities,
                flow_cooldowns={},
                catalog=catalog,
                now=now,
                accepted_in_session=False,
            )
            if not blockers:
                worked_out = terms(offer, subscription=subscription, catalog=catalog, now=now)
                yield from ((subscription.id, option.change) for option in worked_out.options)

    turns = chain.from_iterable(zip_longest(*map(of, subscriptions)))
    found = {preview_key(*asked): asked for asked in turns if asked is not None}
    return list(islice(found.values(), MOST_PREVIEWS))
