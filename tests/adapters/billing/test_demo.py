import json
from collections.abc import AsyncIterator, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from app.adapters.billing.registry import connect
from app.adapters.http import OutboundHttp
from app.core.billing import BillingProvider, Cancel, ChangeRequest, Discount, ProviderRefused
from app.core.direct import DirectSubscription, parse_subscriptions
from demo.billing import faults
from demo.billing.seed import seed
from demo.billing.service import create_app
from demo.billing.store import Store
from tests.adapters.billing.contract import (
    BENS,
    CHENS,
    NOW,
    Document,
    Fault,
    ProviderContract,
    World,
    change_of,
    yearly_pause,
)
from tests.support.clock import FakeClock
from tests.support.server import served

KEY = "billing-key"


class Surprising:
    """The service, whose answers have fields of a later version once `is_on`."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.is_on = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        begun: list[Any] = []

        async def add(message: Any) -> None:
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            body = json.dumps(_with_more(json.loads(message["body"]))).encode()
            kept = [(k, v) for k, v in begun[0]["headers"] if k != b"content-length"]
            await send({**begun[0], "headers": [*kept, (b"content-length", str(len(body)).encode())]})
            await send({**message, "body": body})

        is_changed = self.is_on and scope["type"] == "http"
        await self.app(scope, receive, add if is_changed else send)


def _with_more(value: Any) -> Any:
    match value:
        case dict():
            return {**{k: _with_more(v) for k, v in value.items()}, "newField": {"x": [1, None]}}
        case list():
            return [_with_more(each) for each in value]
    return value


class DemoWorld(World):
    def __init__(
        self, url: str, store: Store, switch: faults.Faults, app: Surprising, http: OutboundHttp
    ) -> None:
        self.url, self.store, self.switch, self.app, self.http = url, store, switch, app, http
        self.provider = self.connect(KEY)

    def connect(self, key: str):  # type: ignore[no-untyped-def]  # whatever the registry gives
        config = {"base_url": self.url, "api_key": key}
        return connect("demo", config, http=self.http, clock=FakeClock(NOW), mode="test")

    def subscription(self, subscription_id: str) -> DirectSubscription:
        found = self.store.find_subscription("test", subscription_id, NOW)
        return parse_subscriptions([found], None)[0]

    def count_changes(self, subscription_id: str) -> int:
        return len(self.store.list_events("test", subscription_id))

    def with_bad_credentials(self) -> tuple[BillingProvider, str]:
        return self.connect("another-key"), "another-key"

    def put(self, customer: Document, subscriptions: Sequence[Document]) -> None:
        self.store.put_customer("test", customer, subscriptions)

    def remove_coupon(self, coupon_id: str) -> None:
        self.store.remove_coupon("test", coupon_id)

    def surprise(self) -> None:
        self.app.is_on = True

    def fail(self, fault: Fault) -> None:
        match fault:
            case "drop_before":
                self.switch.plan(faults.Fault("before_commit", "drop"))
            case "drop_after":
                self.switch.plan(faults.Fault("after_commit", "drop"))
            case "500":
                self.switch.plan(faults.Fault("after_commit", "500"))
            case "429":
                self.switch.plan(faults.Fault("before_commit", "429", retry_after=7))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "billing.sqlite3")
    seed(store, NOW)
    return store


@pytest.fixture
def switch() -> faults.Faults:
    return faults.Faults()


@pytest.fixture
def app(store: Store, switch: faults.Faults) -> Surprising:
    return Surprising(create_app(store, key=KEY, faults=switch, now=lambda: NOW))


@pytest.fixture
def url(app: Surprising) -> Iterator[str]:
    with served(app) as url:
        yield url


@pytest.fixture
async def world(url: str, store: Store, switch: faults.Faults, app: Surprising) -> AsyncIterator[DemoWorld]:
    http = OutboundHttp([ip_network("127.0.0.0/8")])
    yield DemoWorld(url, store, switch, app, http)
    await http.aclose()


class TestDemo(ProviderContract):
    async def test_the_modes_are_apart(self, world: DemoWorld) -> None:
        await world.provider.apply(change_of(Cancel(timing="period_end")))
        live = world.store.find_subscription("live", BENS, NOW)
        assert live is not None
        assert "end" not in live

    async def test_a_coupon_of_the_shop_is_used_as_it_is_there(self, world: DemoWorld) -> None:
        catalog = await world.provider.load_catalog(
            ["price_lite_monthly"], ["coupon_half_price", "coupon_no"]
        )
        assert set(catalog.prices) == {"price_lite_monthly"}
        assert set(catalog.coupons) == {"coupon_half_price"}
        await world.provider.apply(
            change_of(Discount(coupon_id="coupon_half_price", duration="repeating", months=3))
        )
        discount = world.subscription(BENS).active_discount(NOW)
        assert discount is not None
        assert discount.coupon == catalog.coupons["coupon_half_price"]

    async def test_several_subscriptions_come_newest_first_without_those_that_are_over(
        self, world: DemoWorld
    ) -> None:
        listed = await world.provider.list_subscriptions("cus_emil")
        assert [each.id for each in listed] == ["sub_emil_publish", "sub_emil_pro"]
        request = ChangeRequest(
            "eff_9", "cs_1", "cus_emil", "sub_emil_pro", "test", Cancel(timing="now"), None, NOW
        )
        await world.provider.apply(request)
        listed = await world.provider.list_subscriptions("cus_emil")
        assert [each.id for each in listed] == ["sub_emil_publish"]
        assert await world.provider.find_subscription("cus_emil", "sub_emil_pro") is not None

    async def test_the_account_is_named_with_its_mode(self, world: DemoWorld) -> None:
        account = await world.provider.check()
        assert (account.id, account.name, account.mode) == ("northwind", "Northwind Notes", "test")

    async def test_a_pause_of_paid_time_moves_the_renewal_and_leaves_the_subscription_active(
        self, world: DemoWorld
    ) -> None:
        pause, before = yearly_pause(world), world.subscription(CHENS)
        await world.provider.apply(change_of(pause, customer_id="cus_chen", subscription_id=CHENS))
        after = world.subscription(CHENS)
        assert after.period_end == pause.renews_at
        assert after.status.name == "active"
        assert (after.items, after.start, after.end) == (before.items, before.start, before.end)
        (event,) = world.store.list_events("test", CHENS)
        assert event["type"] == "pause"

    async def test_a_renewal_is_never_moved_closer(self, world: DemoWorld) -> None:
        pause = yearly_pause(world)
        sooner = pause.model_copy(update={"renews_at": world.subscription(CHENS).period_end})
        with pytest.raises(ProviderRefused, match="later day"):
            await world.provider.apply(change_of(sooner, customer_id="cus_chen", subscription_id=CHENS))
        assert world.count_changes(CHENS) == 0
