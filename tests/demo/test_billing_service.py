import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.direct import parse_customer, parse_subscriptions
from demo.billing.faults import Faults
from demo.billing.seed import MODES, seed
from demo.billing.service import create_app
from demo.billing.store import Store
from demo.customers import CUSTOMERS
from tests.support.clock import START
from tests.support.server import free_port, served, started

KEY = "billing-key"
BEN = "/test/subscriptions/sub_ben_pro"
pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "billing.sqlite3")
    seed(store, START)
    return store


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    with served(create_app(store, key=KEY, faults=Faults(), now=lambda: START)) as url:
        yield url


@pytest.fixture
async def shop(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=10, trust_env=False
    ) as client:
        yield client


async def act(shop: httpx.AsyncClient, action: str, body: dict[str, Any], key: str = "k1") -> httpx.Response:
    return await shop.post(f"{BEN}/{action}", json=body, headers={"idempotency-key": key})


async def count_events(shop: httpx.AsyncClient) -> int:
    return len((await shop.get(f"{BEN}/events")).json()["events"])


def test_the_six_customers_exist_in_both_modes_in_canonical_shapes(store: Store) -> None:
    for mode in MODES:
        for customer in CUSTOMERS:
            known = parse_customer(store.find_customer(mode, customer.id))
            assert (known.id, known.email, known.country) == (customer.id, customer.email, customer.country)
            assert parse_subscriptions(store.list_subscriptions(mode, customer.id, START), known)


def test_the_table_of_customers_tells_the_truth_about_their_subscriptions(store: Store) -> None:
    for customer in CUSTOMERS:
        subscription = parse_subscriptions(store.list_subscriptions("live", customer.id, START), None)[0]
        months = (START.year - subscription.start.year) * 12 + START.month - subscription.start.month
        months -= START.day < subscription.start.day
        assert months == customer.attributes["tenureMonths"]
        assert str(subscription.items[0].price.name).startswith(str(customer.attributes["plan"]))


def test_seeding_again_keeps_what_is_there(store: Store) -> None:
    store.act("test", "sub_ben_pro", "cancel", {"timing": "now"}, "k1", START)
    seed(store, START)
    found = store.find_subscription("test", "sub_ben_pro", START)
    assert found is not None
    assert found["status"]["name"] == "canceled"


async def test_the_service_says_that_it_is_well_to_anybody(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as stranger:
        assert (await stranger.get(f"{url}/healthz")).status_code == 200
        assert (await stranger.get(f"{url}{BEN}")).status_code == 401
        assert (await stranger.get(f"{url}{BEN}", auth=("other", ""))).status_code == 401
        assert (await stranger.get(f"{url}{BEN}", auth=(KEY, ""))).status_code == 200
        assert (await stranger.get(f"{url}{BEN}", headers={"authorization": "Basic ???"})).status_code == 401
        assert (await stranger.post(f"{url}/faults", json={})).status_code == 401


async def test_the_same_key_gets_the_same_answer_and_changes_once(shop: httpx.AsyncClient) -> None:
    first = await act(shop, "cancel", {"timing": "period_end"})
    again = await act(shop, "cancel", {"timing": "period_end"})
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert await count_events(shop) == 1


async def test_a_refusal_is_remembered_too(shop: httpx.AsyncClient) -> None:
    assert (await act(shop, "uncancel", {})).status_code == 409
    await act(shop, "cancel", {"timing": "period_end"}, "k2")
    assert (await act(shop, "uncancel", {})).status_code == 409
    assert await count_events(shop) == 1


async def test_the_same_key_for_something_else_is_refused(shop: httpx.AsyncClient) -> None:
    await act(shop, "cancel", {"timing": "period_end"})
    other = await act(shop, "cancel", {"timing": "now"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")


async def test_parallel_calls_with_one_key_change_once(shop: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*[act(shop, "cancel", {"timing": "period_end"}) for _ in range(20)])
    assert {answer.status_code for answer in answers} == {200}
    assert await count_events(shop) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/staging/customers/cus_ben", None, 400),
        ("GET", "/test/customers/cus_nobody", None, 404),
        ("GET", "/test/customers/cus_nobody/subscriptions", None, 404),
        ("GET", "/test/subscriptions/sub_nothing", None, 404),
        ("GET", "/test/nothing", None, 404),
        ("GET", "/test/customers", None, 400),
        ("POST", f"{BEN}/fly", b"{}", 404),
        ("POST", f"{BEN}/cancel", b"{", 400),
        ("POST", f"{BEN}/cancel", b"[]", 400),
        ("POST", f"{BEN}/cancel", b"[" * 50_000, 400),
        ("POST", f"{BEN}/cancel", b"{}", 422),
        ("POST", f"{BEN}/cancel", b'{"timing": "' + b"x" * 70_000 + b'"}', 413),
        ("POST", "/test/subscriptions/sub_nothing/cancel", b'{"timing": "now"}', 404),
    ],
)
async def test_a_wrong_request_gets_a_clear_answer(
    shop: httpx.AsyncClient, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = await shop.request(method, path, content=body, headers={"idempotency-key": "k1"})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


async def test_a_change_needs_a_key(shop: httpx.AsyncClient) -> None:
    for headers in ({}, {"idempotency-key": ""}, {"idempotency-key": "k" * 256}):
        answer = await shop.post(f"{BEN}/cancel", json={"timing": "now"}, headers=headers)
        assert answer.status_code == 400
    assert await count_events(shop) == 0


# --- The fault switch ---


@pytest.mark.parametrize(("point", "made"), [("before_commit", 0), ("after_commit", 1)])
async def test_a_dropped_call_was_made_or_not_as_planned(
    shop: httpx.AsyncClient, point: str, made: int
) -> None:
    await shop.post("/faults", json={"point": point, "kind": "drop"})
    with pytest.raises(httpx.TransportError):
        await act(shop, "cancel", {"timing": "period_end"})
    assert await count_events(shop) == made
    assert (await act(shop, "cancel", {"timing": "period_end"})).status_code == 200
    assert await count_events(shop) == 1


@pytest.mark.parametrize("point", ["before_commit", "after_commit", "read"])
async def test_a_call_can_be_held_and_let_go(shop: httpx.AsyncClient, point: str) -> None:
    await shop.post("/faults", json={"point": point, "kind": "hang"})
    call = shop.get(BEN) if point == "read" else act(shop, "cancel", {"timing": "period_end"})
    held = asyncio.create_task(call)
    await shop.get("/faults/held", params={"point": point})
    assert not held.done()
    await shop.post("/faults/release")
    assert (await held).status_code == 200


async def test_faults_come_as_often_as_planned_and_can_be_forgotten(shop: httpx.AsyncClient) -> None:
    await shop.post("/faults", json={"point": "read", "kind": "429", "times": 2, "retry_after": 3})
    first = await shop.get(BEN)
    assert (first.status_code, first.headers["retry-after"]) == (429, "3")
    assert [(await shop.get(BEN)).status_code for _ in range(2)] == [429, 200]
    await shop.post("/faults", json={"point": "read", "kind": "500", "times": 100})
    await shop.post("/faults", json={"clear": True})
    assert (await shop.get(BEN)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"point": "read"}, {"point": "x", "kind": "drop"}, {"point": "read", "kind": "500", "times": 0}],
)
async def test_a_fault_that_makes_no_sense_is_refused(shop: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await shop.post("/faults", json=body)).status_code == 422


async def test_the_clock_can_be_set_and_let_go(shop: httpx.AsyncClient) -> None:
    await act(shop, "cancel", {"timing": "period_end"})
    await shop.put("/clock", json={"now": "2027-06-01T00:00:00Z"})
    assert (await shop.get(BEN)).json()["status"]["name"] == "canceled"
    await shop.put("/clock", json={"now": None})
    assert (await shop.get(BEN)).json()["status"]["name"] == "active"


async def test_a_customer_can_be_put_there(shop: httpx.AsyncClient) -> None:
    customer = {"id": "cus_new", "email": "New@example.com"}
    subscription = (await shop.get(BEN)).json() | {"id": "sub_new", "customerId": "cus_new"}
    body = {"customer": customer, "subscriptions": [subscription]}
    assert (await shop.put("/test/customers/cus_new", json=body)).status_code == 200
    assert (await shop.get("/test/customers", params={"email": "new@EXAMPLE.com"})).json()["customers"] == [
        customer
    ]
    assert (await shop.get("/test/subscriptions/sub_new")).json() == subscription


async def test_without_the_switch_nothing_can_be_made_to_fail(tmp_path: Path) -> None:
    store = Store(tmp_path / "other.sqlite3")
    with served(create_app(store)) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            for method, path in (("POST", "/faults"), ("PUT", "/clock"), ("GET", "/faults")):
                assert (await client.request(method, path, json={})).status_code in (404, 405)


# --- As a process ---


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    database, port = tmp_path / "billing.sqlite3", free_port()
    command = [sys.executable, "-m", "demo.billing", "--port", str(port), "--database", str(database)]
    env = {"DEMO_BILLING_KEY": KEY}
    with started(command, env=env, log=tmp_path / "log", port=port) as server:
        headers = {"authorization": f"Bearer {KEY}", "idempotency-key": "k1"}
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
            answer = client.post(f"{BEN}/cancel", json={"timing": "period_end"}).json()
        server.kill()
    with (
        started(command, env=env, log=tmp_path / "log", port=port) as server,
        httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client,
    ):
        assert client.get(BEN).json() == answer
        assert client.post(f"{BEN}/cancel", json={"timing": "period_end"}).json() == answer
        assert len(client.get(f"{BEN}/events").json()["events"]) == 1
