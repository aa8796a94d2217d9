"""A simulated vendor as the world of the contract."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Final

from app.adapters.billing.registry import connect
from app.adapters.http import OutboundHttp
from app.core.billing import BillingProvider
from app.core.direct import DirectSubscription, Obstacle, parse_subscriptions
from demo.billing.faults import Fault as Planned
from tests.adapters.billing.contract import NOW, Document, Fault, World
from tests.support.clock import FakeClock
from tests.support.server import served
from tests.support.simulator.books import Books
from tests.support.simulator.service import Simulator
from tests.support.simulator.vendors import make

LOOPBACK: Final = ip_network("127.0.0.0/8")
FAULTS: Final[Mapping[str, Planned]] = {
    "drop_before": Planned("before_commit", "drop"),
    "drop_after": Planned("after_commit", "drop"),
    "500": Planned("after_commit", "500"),
    "429": Planned("before_commit", "429", retry_after=7),
}


class SimulatedWorld(World):
    """`secret` names the credential field that `with_bad_credentials` replaces."""

    secret: str = "api_key"

    def __init__(self, simulator: Simulator, clock: FakeClock, http: OutboundHttp, url: str) -> None:
        self.simulator, self.clock, self.http, self.url = simulator, clock, http, url
        self.vendor = simulator.vendor
        self.provider = self.connect()

    def connect(self, **changes: str) -> BillingProvider:
        """Our adapter, connected in test mode; `changes` are other credentials."""
        config = {"api_base": self.url, **self.vendor.credentials("test"), **changes}
        return connect(self.vendor.name, config, http=self.http, clock=self.clock, mode="test")

    @property
    def books(self) -> Books:
        return self.simulator.books["test"]

    def id_of(self, name: str) -> str:
        return self.vendor.id_of(name)

    def subscription(self, subscription_id: str) -> DirectSubscription:
        found = self.vendor.find_subscription(self.books, subscription_id, self.clock.now())
        assert found is not None, f"the vendor has no {subscription_id}"
        obstacles = found.pop("obstacles", None)
        parsed = parse_subscriptions([found], None)[0]
        return (
            parsed.model_copy(update={"obstacles": tuple(map(Obstacle, obstacles))}) if obstacles else parsed
        )

    def count_changes(self, subscription_id: str) -> int:
        return len(self.books.changes_of(subscription_id))

    def fail(self, fault: Fault) -> None:
        planned = FAULTS[fault]
        self.simulator.faults.plan(Planned(planned.point, planned.kind, retry_after=planned.retry_after))

    def with_bad_credentials(self) -> tuple[BillingProvider, str]:
        given = self.vendor.credentials("test")[self.secret]
        wrong = given[:-6] + ("999999" if given[-6:] != "999999" else "888888")
        return self.connect(**{self.secret: wrong}), wrong

    def put(self, customer: Document, subscriptions: Sequence[Document]) -> None:
        self.vendor.put_customer(self.books, customer, subscriptions, self.clock.now())

    def remove_coupon(self, coupon_id: str) -> None:
        self.vendor.remove_coupon(self.books, coupon_id)

    def surprise(self) -> None:
        self.simulator.has_surprises = True

    def sign_inbound(self, subscription_id: str, event_id: str) -> tuple[Mapping[str, str], bytes]:
        return self.vendor.sign_inbound(self.books, subscription_id, event_id=event_id, now=self.clock.now())


@asynccontextmanager
async def simulated(kind: type[SimulatedWorld], vendor: str) -> AsyncIterator[SimulatedWorld]:
    """`async with simulated(StripeWorld, "stripe") as world`, its time standing at `NOW`."""
    clock = FakeClock(NOW)
    simulator = Simulator(make(vendor), clock=clock.now)
    simulator.seed()
    http = OutboundHttp([LOOPBACK])
    with served(simulator) as url:
        yield kind(simulator, clock, http, url)
    await http.aclose()
