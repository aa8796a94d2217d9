"""Chargebee, simulated, as a world of the billing contract; with a hand on its own objects."""

from datetime import datetime

from app.core.billing import Pause
from app.core.calendar import add_months
from app.core.direct import DirectSubscription
from demo.billing.faults import Fault as Planned
from tests.adapters.billing.contract import BEN, BENS, change_of
from tests.adapters.billing.simulated import SimulatedWorld


class ChargebeeWorld(SimulatedWorld):
    secret = "api_key"
    currencies = ("USD", "JPY")  # three decimals are not billed: see below
    inbound = "authorized"
    inbound_has_time = False
    unpauses_to_cancel = True

    def edit(self, subscription_id: str = BENS, **changes: object) -> None:
        self.vendor.edit(self.books, subscription_id, **changes)

    def set_up(self, **settings: object) -> None:
        self.vendor.set_up(self.books, **settings)

    @property
    def writes(self) -> list[str]:
        """What was sent to change something; estimates change nothing."""
        return [path for method, path in self.simulator.log if method == "POST" and "estimate" not in path]

    async def seen(self, subscription_id: str = BENS, customer_id: str = BEN) -> DirectSubscription:
        found = await self.provider.find_subscription(customer_id, subscription_id)
        assert found is not None
        return found

    async def pause_ben(self, months: int = 2) -> Pause:
        change = Pause(resumes_at=add_months(self.period_end(), months))
        await self.provider.apply(change_of(change))
        return change

    def period_end(self, subscription_id: str = BENS) -> datetime:
        end = self.subscription(subscription_id).period_end
        assert end is not None
        return end

    def skip_one_then(self, kind: str, point: str) -> None:
        """Let the second write fail."""
        self.simulator.faults.plan(Planned(point, "slow", seconds=0))  # type: ignore[arg-type] - a plain text
        self.simulator.faults.plan(Planned(point, kind))  # type: ignore[arg-type] - a plain text
