"""Maxio, simulated, as a world of the billing contract; with a hand on its own objects."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from app.core.billing import BillingProvider, Change, ChangeRequest
from demo.billing.faults import Fault as Planned
from demo.billing.faults import Point
from tests.adapters.billing.contract import BEN, BENS, change_of
from tests.adapters.billing.simulated import SimulatedWorld
from tests.support.maxio.vendor import Maxio
from tests.support.server import served


class MaxioWorld(SimulatedWorld):
    currencies = ("USD",)
    inbound = "signed"
    inbound_has_time = False

    @property
    def maxio(self) -> Maxio:
        assert isinstance(self.vendor, Maxio)
        return self.vendor

    @property
    def bens(self) -> str:
        return self.id_of(BENS)

    def ask(
        self, change: Change, effect_id: str = "eff_1", *, who: str = BEN, what: str = BENS
    ) -> ChangeRequest:
        return change_of(
            change, effect_id=effect_id, customer_id=self.id_of(who), subscription_id=self.id_of(what)
        )

    async def seen(self, who: str = BEN, what: str = BENS) -> Any:
        return await self.provider.find_subscription(self.id_of(who), self.id_of(what))

    def raw(self, what: str = BENS) -> dict[str, Any]:
        found: dict[str, Any] = self.books.state["subscriptions"][self.id_of(what)]
        return found

    def change(self, what: str = BENS, **values: object) -> None:
        self.maxio.change_subscription(self.books, self.id_of(what), **values)

    def at(self, moment: datetime) -> None:
        self.clock.set(moment)
        self.maxio.settle(self.books, moment)

    def charges(self, what: str = BENS) -> list[tuple[str, int]]:
        made = self.books.state.get("charges", [])
        own = [each for each in made if str(each["subscription_id"]) == self.id_of(what)]
        moments = [datetime.fromisoformat(each["at"]).astimezone(UTC) for each in own]
        return [(f"{at:%Y-%m-%d}", each["amount_in_cents"]) for at, each in zip(moments, own, strict=True)]

    def writes(self) -> list[str]:
        return [path.rpartition("/")[2] for method, path in self.simulator.log if method != "GET"]

    def fail_write(self, number: int, point: Point) -> None:
        """Let the write of that number (from 0) drop, and the ones before it pass."""
        if number:
            self.simulator.faults.plan(Planned("before_commit", "slow", times=number, seconds=0))
            self.simulator.faults.plan(Planned("after_commit", "slow", times=number, seconds=0))
        self.simulator.faults.plan(Planned(point, "drop"))


@asynccontextmanager
async def canned(
    world: MaxioWorld, status: int, body: object, *, headers: Mapping[str, str] | None = None
) -> AsyncIterator[BillingProvider]:
    """A Maxio that gives one answer to everything but to who it is."""
    answer = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while scope["type"] == "lifespan":
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
        is_site = scope["path"] == "/site.json" and status < 300
        told = b'{"site": {"id": 1, "currency": "USD"}}' if is_site else answer
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": told})

    with served(app) as url:
        yield world.connect(api_base=url)
