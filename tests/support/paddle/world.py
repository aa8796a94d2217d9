"""Paddle, simulated, as a world of the billing contract; with a hand on its own objects."""

from typing import Any

from app.core.billing import ChangeRequest
from tests.adapters.billing.contract import BENS, change_of
from tests.adapters.billing.simulated import SimulatedWorld
from tests.support.simulator.http import Answer


class PaddleWorld(SimulatedWorld):
    currencies = ("USD", "JPY")  # of those with three decimals it has none
    inbound = "signed"
    unpauses_to_cancel = True

    def raw(self, name: str = BENS) -> dict[str, Any]:
        """The subscription as Paddle keeps it, to be tampered with."""
        return self.books.state["subscriptions"][self.id_of(name)]

    def request(self, change: Any, effect_id: str = "eff_1", name: str = BENS) -> ChangeRequest:
        sub = self.id_of(name)
        return change_of(change, effect_id=effect_id, customer_id=sub, subscription_id=sub)

    async def seen(self, name: str = BENS):  # type: ignore[no-untyped-def]  # a subscription, which there is
        found = await self.provider.find_subscription(self.id_of(name), self.id_of(name))
        assert found is not None
        return found

    def writes(self) -> list[tuple[str, str]]:
        return [
            (method, path)
            for method, path in self.simulator.log
            if method != "GET" and not path.endswith("/preview")
        ]

    def types(self, name: str = BENS) -> list[str]:
        return [change["type"] for change in self.books.changes_of(self.id_of(name))]

    def answer_with(self, answer: Answer, method: str = "GET", ending: str = "") -> None:
        """Let Paddle answer this from now on, where the address ends so."""
        real = self.simulator._vendors_answer

        async def instead(ask: Any) -> Answer:
            return answer if ask.method == method and ask.path.endswith(ending) else await real(ask)

        self.simulator._vendors_answer = instead  # type: ignore[method-assign] - another answer
