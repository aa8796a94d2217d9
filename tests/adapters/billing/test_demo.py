from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from app.adapters.billing.registry import connect
from app.adapters.http import OutboundHttp
from app.core.billing import Cancel, ChangeRequest, Discount, ProviderUnavailable
from app.core.direct import DirectSubscription, parse_subscriptions
from demo.billing import faults
from demo.billing.seed import seed
from demo.billing.service import create_app
from demo.billing.store import Store
from tests.adapters.billing.contract import BENS, NOW, Fault, ProviderContract, World, change_of
from tests.support.clock import FakeClock
from tests.support.server import served

KEY = "billing-key"


class DemoWorld(World):
    def __init__(self, url: str, store: Store, switch: faults.Faults, http: OutboundHttp) -> None:
        self.url, self.store, self.switch, self.http = url, store, switch, http
        self.provider = self.connect(KEY)

    def connect(self, key: str):  # type: ignore[no-untyped-def]  # whatever the registry gives
        config = {"base_url": self.url, "api_key": key}
        return connect("demo", config, http=self.http, clock=FakeClock(NOW), mode="test")

    def subscription(self, subscription_id: str) -> DirectSubscription:
        found = self.store.find_subscription("test", subscription_id, NOW)
        return parse_subscriptions([found], None)[0]

    def count_changes(self, subscription_id: str) -> int:
        return len(self.store.list_events("test", subscription_id))

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
def url(store: Store, switch: faults.Faults) -> Iterator[str]:
    with served(create_app(store, key=KEY, faults=switch, now=lambda: NOW)) as url:
        yield url


@pytest.fixture
async def world(url: str, store: Store, switch: faults.Faults) -> AsyncIterator[DemoWorld]:
    http = OutboundHttp([ip_network("127.0.0.0/8")])
    yield DemoWorld(url, store, switch, http)
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

    async def test_a_wrong_key_is_something_to_put_right_not_an_answer(self, world: DemoWorld) -> None:
        with pytest.raises(ProviderUnavailable, match="401") as caught:
            await world.connect("other").find_customer("cus_ben")
        assert "other" not in str(caught.value)
