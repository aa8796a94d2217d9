import json
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Request, Response, post

from app.adapters import standard_webhooks
from app.adapters.billing.connection import Snapshot
from app.adapters.billing.direct import DirectBilling
from app.adapters.billing.registry import connect
from app.adapters.http import OutboundHttp
from app.core.billing import Cancel, Capability, ProviderRefused, ProviderUnavailable
from app.core.calendar import iso
from app.core.direct import DirectSubscription, parse_customer, parse_subscriptions
from demo.billing.seed import seed
from demo.billing.store import Store
from demo.shop.changes import to_billing
from tests.adapters.billing.contract import (
    BEN,
    BENS,
    CHENS,
    DANA,
    NOW,
    Fault,
    ProviderContract,
    World,
    change_of,
    yearly_pause,
)
from tests.support.clock import FakeClock
from tests.support.server import served

SECRET = standard_webhooks.new_secret()
Answer = Response[Any]
CANCEL = Cancel(timing="period_end")


class Merchant:
    """A merchant's own billing behind an action URL; `instead` answers in its place once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.requests: list[dict[str, Any]] = []
        self.instead: Callable[[dict[str, Any]], Answer | None] | None = None
        handlers = [post("/action", status_code=200)(self.action), post("/lookup")(self.look_up)]
        self.app = Litestar(handlers, logging_config=None)

    async def action(self, request: Request[Any, Any, Any]) -> Answer:
        body = await self._read_signed(request)
        assert request.headers["webhook-id"] == body["effectId"]
        self.requests.append(body)
        instead, self.instead = self.instead, None
        answer = instead(body) if instead else None
        return answer or self.carry_out(body)

    async def look_up(self, request: Request[Any, Any, Any]) -> Answer:
        body = await self._read_signed(request)
        found = self.store.find_customers_by_email("test", body["email"])
        if not found:
            return Response({}, status_code=404)
        owned = self.store.list_subscriptions("test", found[0]["id"], NOW)
        return Response({"customer": found[0], "subscriptions": owned}, status_code=200)

    def carry_out(self, body: dict[str, Any]) -> Answer:
        action, change = to_billing(body["change"])
        done = self.store.act("test", body["subscriptionId"], action, change, body["effectId"], NOW)
        if done.status != 200:
            message = done.body["error"]["message"]
            return Response({"status": "rejected", "message": message}, status_code=409)
        return Response({"effectId": body["effectId"], "status": "applied", "subscription": done.body})

    async def _read_signed(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        raw = await request.body()
        headers = {name: request.headers[name] for name in request.headers}
        assert standard_webhooks.is_signed(SECRET, headers, raw, now=NOW)
        body: dict[str, Any] = json.loads(raw)
        return body


class DirectWorld(World):
    def __init__(self, url: str, merchant: Merchant, http: OutboundHttp) -> None:
        self.url, self.merchant, self.http = url, merchant, http
        self.provider = self.connect()

    def connect(self, **config: str) -> DirectBilling:
        given = {
            "action_url": f"{self.url}/action",
            "action_secret": SECRET,
            "lookup_url": f"{self.url}/lookup",
        }
        customer = parse_customer(self.merchant.store.find_customer("test", BEN))
        owned = self.merchant.store.list_subscriptions("test", BEN, NOW)
        connected = connect(
            "direct",
            given | config,
            http=self.http,
            clock=FakeClock(NOW),
            mode="test",
            snapshot=Snapshot(customer, tuple(parse_subscriptions(owned, customer))),
        )
        assert isinstance(connected, DirectBilling)
        return connected

    def subscription(self, subscription_id: str) -> DirectSubscription:
        found = self.merchant.store.find_subscription("test", subscription_id, NOW)
        return parse_subscriptions([found], None)[0]

    def count_changes(self, subscription_id: str) -> int:
        return len(self.merchant.store.list_events("test", subscription_id))

    def fail(self, fault: Fault) -> None:
        def instead(body: dict[str, Any]) -> Answer:
            if fault in ("drop_after", "500"):
                self.merchant.carry_out(body)
            if fault == "429":
                return Response({}, status_code=429, headers={"retry-after": "7"})
            return Response({}, status_code=500)

        self.merchant.instead = instead


@pytest.fixture
def merchant(tmp_path: Path) -> Merchant:
    store = Store(tmp_path / "own.sqlite3")
    seed(store, NOW)
    return Merchant(store)


@pytest.fixture
def url(merchant: Merchant) -> Iterator[str]:
    with served(merchant.app) as url:
        yield url
    merchant.store.close()


@pytest.fixture
async def world(url: str, merchant: Merchant) -> AsyncIterator[DirectWorld]:
    http = OutboundHttp([ip_network("127.0.0.0/8")])
    yield DirectWorld(url, merchant, http)
    await http.aclose()


class TestDirect(ProviderContract):
    async def test_the_merchant_is_told_everything_at_once(self, world: DirectWorld) -> None:
        await world.provider.apply(change_of(CANCEL))
        assert world.merchant.requests == [
            {
                "effectId": "eff_1",
                "sessionId": "cs_1",
                "type": "cancel",
                "customerId": BEN,
                "subscriptionId": BENS,
                "mode": "test",
                "change": {"type": "cancel", "timing": "period_end"},
                "offer": None,
                "requestedAt": "2026-11-21T09:00:00Z",
            }
        ]

    @pytest.mark.parametrize("status", ["applied", "accepted"])
    async def test_the_bare_proof_is_enough(self, world: DirectWorld, status: str) -> None:
        world.merchant.instead = lambda body: Response(
            {"effectId": body["effectId"], "status": status}, status_code=202
        )
        applied = await world.provider.apply(change_of(CANCEL))
        assert (applied.confirmation, applied.subscription) == ("merchant", None)

    @pytest.mark.parametrize("subscription", [{}, [], "x", {"id": "sub_ben_pro"}, None])
    async def test_a_malformed_subscription_takes_nothing_from_the_proof(
        self, world: DirectWorld, subscription: object
    ) -> None:
        proof = {"effectId": "eff_1", "status": "applied", "subscription": subscription}
        world.merchant.instead = lambda body: Response(proof)
        assert (await world.provider.apply(change_of(CANCEL))).subscription is None

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, {}),
            (200, {"status": "applied"}),
            (200, {"effectId": "eff_2", "status": "applied"}),
            (200, {"effectId": "eff_1"}),
            (200, {"effectId": "eff_1", "status": "rejected"}),
            (200, {"effectId": "eff_1", "status": True}),
            (200, ["eff_1", "applied"]),
            (204, None),
            (302, {"effectId": "eff_1", "status": "applied"}),
            (400, {"effectId": "eff_1", "status": "applied"}),
            (404, {}),
            (409, {}),
            (409, {"status": "applied"}),
            (409, {"effectId": "eff_2", "status": "rejected", "message": "No."}),
            (503, {"effectId": "eff_1", "status": "applied"}),
        ],
    )
    async def test_anything_but_the_proof_is_tried_again(
        self, world: DirectWorld, status: int, body: object
    ) -> None:
        world.merchant.instead = lambda _: Response(body, status_code=status)
        with pytest.raises(ProviderUnavailable):
            await world.provider.apply(change_of(CANCEL))

    @pytest.mark.parametrize("message", [None, 5, "", "  ", "a\x1bb", "x" * 3000])
    async def test_a_refusal_always_has_a_message_that_can_be_shown(
        self, world: DirectWorld, message: object
    ) -> None:
        refusal = {"status": "rejected", "message": message}
        world.merchant.instead = lambda body: Response(refusal, status_code=409)
        with pytest.raises(ProviderRefused) as caught:
            await world.provider.apply(change_of(CANCEL))
        assert 0 < len(caught.value.user_message) <= 500
        assert "\x1b" not in caught.value.user_message

    async def test_after_a_look_up_the_subscriptions_are_those_found(self, world: DirectWorld) -> None:
        await world.provider.find_customers_by_email("dana@example.com")
        assert [each.id for each in await world.provider.list_subscriptions(DANA)] == ["sub_dana_pro"]
        assert await world.provider.find_customer(BEN) is None

    async def test_without_a_look_up_url_nobody_is_found_by_email(self, world: DirectWorld) -> None:
        provider = world.connect(lookup_url="")
        assert Capability.FIND_BY_EMAIL not in provider.capabilities
        assert await provider.find_customers_by_email("ben@example.com") == []

    async def test_a_pause_of_paid_time_says_when_it_renews(self, world: DirectWorld) -> None:
        pause = yearly_pause(world)
        assert pause.renews_at is not None
        await world.provider.apply(change_of(pause, customer_id="cus_chen", subscription_id=CHENS))
        (sent,) = world.merchant.requests
        assert sent["change"] == {
            "type": "pause",
            "resumesAt": iso(pause.resumes_at),
            "renewsAt": iso(pause.renews_at),
        }

    async def test_who_answers_is_known_by_the_address(self, world: DirectWorld) -> None:
        provider = world.connect(action_url="https://billing.example.com/hook?key=secret-in-the-address")
        account = await provider.check()
        assert (account.id, account.name, account.mode) == ("billing.example.com", None, None)
        assert world.merchant.requests == []

    async def test_an_address_that_is_not_public_is_not_asked(self, world: DirectWorld) -> None:
        provider = world.connect(action_url="https://10.0.0.1/hook")
        with pytest.raises(ProviderUnavailable, match="public internet"):
            await provider.apply(change_of(CANCEL))
