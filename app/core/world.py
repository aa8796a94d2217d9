"""What one session is decided on: the flow, and what was known of the customer when it opened. Pure; a world is read
once and stored, so that every screen of a session agrees with every other."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from app.core.billing import Capability, Catalog, Preview, is_about
from app.core.direct import DirectCoupon, DirectCustomer, DirectPrice, DirectSubscription
from app.core.facts import Facts, History, Scalar, build_facts
from app.core.flow import FlowDefinition


class World(BaseModel):
    """The customer and the billing data as they were at the start, with what a settled change has altered since.

    `history` is keyed by subscription id. `is_verified` is False when billing could not be asked: the walk then makes
    no offers, and a cancellation waits for the provider.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    mode: str
    locale: str
    customer: DirectCustomer | None = None
    subscriptions: tuple[DirectSubscription, ...] = ()
    prices: dict[str, DirectPrice] = {}
    coupons: dict[str, DirectCoupon] = {}
    previews: dict[str, Preview] = {}
    refused: frozenset[str] = frozenset()
    capabilities: frozenset[Capability] = frozenset()
    history: dict[str, History] = {}
    attributes: dict[str, Scalar] = {}
    mint_attributes: dict[str, Scalar] = {}
    is_verified: bool = True
    # Subscriptions that have been changed since, as they were when the session opened.
    at_start: dict[str, DirectSubscription] = {}

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.prices, self.coupons, self.previews, self.refused)

    def find_subscription(self, subscription_id: str | None) -> DirectSubscription | None:
        return next((s for s in self.subscriptions if s.id == subscription_id), None)

    def subscription_at_start(self, subscription_id: str | None) -> DirectSubscription | None:
        """As it was when the session opened, whatever a settled change has made of it."""
        return self.at_start.get(subscription_id or "") or self.find_subscription(subscription_id)

    def live_subscriptions(self) -> tuple[DirectSubscription, ...]:
        """Those that are not over."""
        return tuple(s for s in self.subscriptions if s.status.name != "canceled")

    def history_of(self, subscription_id: str | None) -> History:
        return self.history.get(subscription_id or "", History())

    def with_subscription(self, settled: DirectSubscription) -> Self:
        """The same world after the provider has answered with a subscription's new state.

        What he said beforehand of its changes holds no longer, where the state is another.
        """
        others = tuple(s for s in self.subscriptions if s.id != settled.id)
        update: dict[str, Any] = {"subscriptions": (*others, settled)}
        before = self.find_subscription(settled.id)
        if before != settled:
            update["previews"] = {k: said for k, said in self.previews.items() if not is_about(settled.id, k)}
            update["refused"] = frozenset(key for key in self.refused if not is_about(settled.id, key))
        if before is not None and before != settled:
            update["at_start"] = {before.id: before, **self.at_start}
        return self.model_copy(update=update)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Walk:
    """One session at one instant: whose it is, what it is decided on, and when. Looks each thing up once."""

    session_id: str
    flow: FlowDefinition
    world: World
    now: datetime
    _known: dict[tuple[str | None, datetime], Facts] = field(default_factory=dict, compare=False, repr=False)
    # The last states and their paths: path.find_path's memory.
    paths: deque[tuple[object, Any]] = field(
        default_factory=partial(deque, maxlen=4), compare=False, repr=False
    )

    def facts(self, *, subscription_id: str | None, reason: str | None, follow_up: str | None) -> Facts:
        """The attributes that rules and copy see at this point of the walk."""
        known = self._known.get((subscription_id, self.now))
        if known is None:
            known = self._known[subscription_id, self.now] = self._look_up(subscription_id)
        said = {"session.reason": reason, "session.follow_up": follow_up}
        return MappingProxyType(
            {**known, **{name: value for name, value in said.items() if value is not None}}
        )

    def _look_up(self, subscription_id: str | None) -> Facts:
        world = self.world
        return build_facts(
            customer=world.customer,
            subscription=world.find_subscription(subscription_id),
            history=world.history_of(subscription_id),
            reason=None,
            mode=world.mode,
            locale=world.locale,
            attributes=world.attributes,
            mint_attributes=world.mint_attributes,
            now=self.now,
        )


def read_world(stored: Mapping[str, Any]) -> World:
    return World.model_validate(stored)
