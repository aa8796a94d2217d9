"""Braintree: the library in its threads with our transport underneath, bad answers, and webhooks."""

import asyncio
import base64
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.billing.braintree import inbound, wire
from app.adapters.billing.registry import connect
from app.adapters.http import OutboundHttp
from app.core.billing import (
    BillingProvider,
    CredentialsRefused,
    InboundMessage,
    InboundRefused,
    ProviderError,
    ProviderUnavailable,
)
from tests.adapters.billing.contract import BEN, BENS, NOW, change_of
from tests.adapters.billing.simulated import LOOPBACK, simulated
from tests.adapters.billing.test_braintree import AT_PERIOD_END
from tests.support.braintree.vendor import BraintreeVendor
from tests.support.braintree.world import BraintreeWorld
from tests.support.clock import FakeClock
from tests.support.server import served

pytestmark = pytest.mark.anyio

CREDENTIALS = BraintreeVendor().credentials("test")
XML = b'<?xml version="1.0" encoding="UTF-8"?>\n'


@pytest.fixture
async def world() -> AsyncIterator[BraintreeWorld]:
    async with simulated(BraintreeWorld, "braintree") as world:
        assert isinstance(world, BraintreeWorld)
        yield world


# --- Answers that no documentation promises -------------------------------------------------------


@dataclass
class Anything:
    """A server that answers everything alike, after `wait_s`; it remembers the headers it was sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    seen: list[Mapping[str, str]] = field(default_factory=list)
    arrivals: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
            return
        self.seen.append({k.decode(): v.decode() for k, v in scope["headers"]})
        self.arrivals.release()
        await asyncio.sleep(self.wait_s)
        headers = [(k.encode(), v.encode()) for k, v in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@pytest.fixture
async def http() -> AsyncIterator[OutboundHttp]:
    http = OutboundHttp([LOOPBACK])
    yield http
    await http.aclose()


def connected(url: str, http: OutboundHttp) -> BillingProvider:
    return connect(
        "braintree", {**CREDENTIALS, "api_base": url}, http=http, clock=FakeClock(NOW), mode="test"
    )


BAD = {
    "a web page": Anything(body=b"<!doctype html><html><body>Hello"),
    "nothing": Anything(),
    "half an answer": Anything(body=XML + b"<customer><id>cus_b"),
    "another object": Anything(body=XML + b"<surprise>yes</surprise>"),
    "JSON": Anything(body=b'{"customer": {}}'),
    "no UTF-8": Anything(body=XML + b"<customer><id>\xff\xfe</id></customer>"),
    "a number that is none": Anything(body=XML + b'<customer><id type="integer">x</id></customer>'),
    "entities that grow": Anything(
        body=XML + b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><customer><id>&b;</id></customer>'
    ),
    "nesting without end": Anything(body=XML + b"<a>" * 5_000 + b"</a>" * 5_000),
    "too much": Anything(body=XML + b"<customer><id>" + b"x" * 3_000_000 + b"</id></customer>"),
    "an address that has moved": Anything(302, headers={"location": "https://example.com/"}),
    "a compressed answer": Anything(body=b"\x1f\x8b\x08\x00", headers={"content-encoding": "gzip"}),
    "an error of the server": Anything(503, b"Service Unavailable"),
    "a time-out behind it": Anything(504),
    "a refused library version": Anything(426),
    "a refused parameter": Anything(400, b"Bad Request"),
    "a refused search": Anything(
        422, XML + b"<api-error-response><message>no</message></api-error-response>"
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_an_unusable_answer_is_something_to_try_again(name: str, http: OutboundHttp) -> None:
    with served(BAD[name]) as url:
        provider = connected(url, http)
        for ask in (provider.find_customer(BEN), provider.apply(change_of(AT_PERIOD_END)), provider.check()):
            with pytest.raises(ProviderUnavailable) as caught:
                await ask
            assert not isinstance(caught.value, CredentialsRefused)
            assert_silent(caught.value)


@pytest.mark.parametrize(("status", "why"), [(401, "keys"), (403, "role")])
async def test_refused_credentials_say_what_is_missing(status: int, why: str, http: OutboundHttp) -> None:
    with served(Anything(status, b"HTTP Basic: Access denied.")) as url:
        with pytest.raises(CredentialsRefused, match=why) as caught:
            await connected(url, http).check()
        assert_silent(caught.value)


async def test_a_busy_vendor_is_left_alone_for_as_long_as_it_asks(http: OutboundHttp) -> None:
    with served(Anything(429, headers={"retry-after": "13"})) as url:
        with pytest.raises(ProviderUnavailable) as caught:
            await connected(url, http).list_subscriptions(BEN)
        assert caught.value.retry_after == 13


async def test_a_merchant_that_does_not_exist_is_no_empty_list(http: OutboundHttp) -> None:
    with served(Anything(404)) as url, pytest.raises(ProviderUnavailable, match="merchant ID"):
        await connected(url, http).check()


def assert_silent(error: ProviderError) -> None:
    for secret in (CREDENTIALS["private_key"], CREDENTIALS["public_key"], BEN, "Access denied"):
        assert secret not in repr(error)
        assert secret not in str(error)


async def test_requests_are_the_librarys_and_ask_for_nothing_compressed(http: OutboundHttp) -> None:
    anything = Anything(404)
    with served(anything) as url:
        await connected(url, http).find_customer(BEN)
    (headers,) = anything.seen
    assert headers["accept-encoding"] == "identity"
    assert headers["x-apiversion"] == "6"
    assert headers["user-agent"].startswith("Braintree Python")
    assert headers["authorization"].startswith("Basic ")


# --- Threads --------------------------------------------------------------------------------------


async def test_a_slow_vendor_keeps_its_deadline_and_the_loop_running(http: OutboundHttp) -> None:
    with served(Anything(wait_s=30)) as url:
        config = {**CREDENTIALS, "api_base": url}
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        beating = asyncio.create_task(beat())
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable, match="in time"):
            await wire.run(config, http, lambda gateway: gateway.plan.all(), deadline_s=0.3)
        beating.cancel()
        assert time.monotonic() - began < 2
        assert beats > 5


async def test_the_deadline_is_one_for_all_requests_of_a_piece_of_work(http: OutboundHttp) -> None:
    def work(gateway: Any) -> None:
        while True:
            wire.found(lambda: gateway.plan.find("pro"))

    with served(Anything(404, wait_s=0.05)) as url:
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            await wire.run({**CREDENTIALS, "api_base": url}, http, work, deadline_s=0.4)
        assert time.monotonic() - began < 2


async def test_who_gives_up_leaves_no_thread_waiting(http: OutboundHttp) -> None:
    ended = threading.Semaphore(0)

    def work(gateway: Any) -> None:
        try:
            gateway.plan.all()
        finally:
            ended.release()

    slow = Anything(wait_s=30)
    with served(slow) as url:
        config = {**CREDENTIALS, "api_base": url}
        waiting = [asyncio.create_task(wire.run(config, http, work, deadline_s=20)) for _ in range(5)]
        for _ in waiting:
            assert await asyncio.to_thread(slow.arrivals.acquire, timeout=5)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for _ in waiting:
            assert await asyncio.to_thread(ended.acquire, timeout=5)


async def test_more_at_once_than_there_are_threads_are_all_answered(world: BraintreeWorld) -> None:
    found = await asyncio.gather(*(world.provider.find_customer(BEN) for _ in range(50)))
    assert [each.id for each in found if each is not None] == [BEN] * 50


async def test_two_connections_do_not_share_their_credentials(world: BraintreeWorld) -> None:
    """The library could be set up for the whole process only once."""
    live = world.connect(**world.vendor.credentials("live"))
    accounts = await asyncio.gather(*(each.check() for _ in range(10) for each in (live, world.provider)))
    assert [account.mode for account in accounts] == ["live", "test"] * 10


def test_loading_it_warns_of_nothing() -> None:
    code = "import app.adapters.billing.braintree"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)


# --- The simulator itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "code"),
    [
        ("<cancel-at-period-end type='boolean'>true</cancel-at-period-end>", "91921"),
        ("<next-billing-date>2027-01-01</next-billing-date>", "91921"),
        ("<number-of-billing-cycles type='integer'>0</number-of-billing-cycles>", "91907"),
        ("<number-of-billing-cycles type='integer'>1</number-of-billing-cycles>", "91909"),
        ("<plan-id>price_no</plan-id>", "91904"),
        ("<discounts><remove type='array'><item>no</item></remove></discounts>", "92016"),
        (
            "<discounts><add type='array'><item><inherited-from-id>leavewell-discount</inherited-from-id>"
            "<percent>50</percent></item></add></discounts>",
            "91921",
        ),
    ],
)
async def test_the_simulator_refuses_what_braintree_does_not_have(
    world: BraintreeWorld, update: str, code: str
) -> None:
    given = world.vendor.credentials("test")
    pair = base64.b64encode(f"{given['public_key']}:{given['private_key']}".encode()).decode()
    reply = await world.http.request(
        "PUT",
        f"{world.url}/merchants/{given['merchant_id']}/subscriptions/{BENS}",
        {"authorization": f"Basic {pair}", "content-type": "application/xml"},
        body=f"<subscription>{update}</subscription>".encode(),
        deadline_s=5,
    )
    assert reply.status == 422
    assert f"<code>{code}</code>".encode() in reply.body
    assert world.count_changes(BENS) == 0


# --- Webhooks -------------------------------------------------------------------------------------

Change = Callable[[dict[str, str]], dict[str, str]]
CHANGED: Mapping[str, Change] = {
    "no signature": lambda form: {**form, "bt_signature": ""},
    "another key's": lambda form: {
        **form,
        "bt_signature": "another|" + form["bt_signature"].rpartition("|")[2],
    },
    "another signature": lambda form: {**form, "bt_signature": form["bt_signature"][:-4] + "0000"},
    "another payload": lambda form: {**form, "bt_payload": base64.encodebytes(XML + b"<x>1</x>").decode()},
    "no payload": lambda form: {"bt_signature": form["bt_signature"]},
    "no letters": lambda form: {**form, "bt_payload": "ü"},
}


@pytest.mark.parametrize("name", CHANGED)
async def test_a_webhook_with_a_wrong_proof_is_refused(world: BraintreeWorld, name: str) -> None:
    headers, body = world.sign_inbound(BENS, "evt_1")
    form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    changed = urlencode(CHANGED[name](form)).encode()
    with pytest.raises(InboundRefused) as caught:
        world.provider.verify_inbound(InboundMessage(headers, changed, NOW))
    assert world.vendor.credentials("test")["private_key"] not in str(caught.value)


async def test_a_genuine_webhook_of_the_other_environment_is_refused(world: BraintreeWorld) -> None:
    headers, body = world.vendor.sign_inbound(world.simulator.books["live"], BENS, event_id="evt_1", now=NOW)
    with pytest.raises(InboundRefused):
        world.provider.verify_inbound(InboundMessage(headers, body, NOW))


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("check", {"check": True}),
        ("disbursement", {"merchant-account": {"id": "usd_account"}}),
        ("of_a_later_version", {"novelty": {"id": "1"}}),
    ],
)
async def test_a_genuine_webhook_about_something_else_is_none_of_our_business(
    world: BraintreeWorld, kind: str, subject: dict[str, Any]
) -> None:
    headers, body = world.braintree.webhook("test", kind, subject, NOW)
    assert world.provider.verify_inbound(InboundMessage(headers, body, NOW)) is None


async def test_what_the_library_signs_for_tests_is_believed(world: BraintreeWorld) -> None:
    gateway = wire.gateway(world.vendor.credentials("test"), None)
    sample = gateway.webhook_testing.sample_notification("subscription_expired", "sub_sample")
    body = urlencode({**sample, "bt_payload": sample["bt_payload"].decode()}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    notice = world.provider.verify_inbound(InboundMessage(headers, body, datetime.now(UTC)))
    assert notice is not None
    assert notice.subscription_ids == ("sub_sample",)


async def test_two_webhooks_are_two_events(world: BraintreeWorld) -> None:
    ids = []
    for moment in (NOW, NOW + timedelta(seconds=1)):
        headers, body = world.vendor.sign_inbound(world.books, BENS, event_id="evt_1", now=moment)
        notice = world.provider.verify_inbound(InboundMessage(headers, body, NOW))
        assert notice is not None
        ids.append(notice.event_id)
    assert len(set(ids)) == 2


def test_a_challenge_of_theirs_is_answered_as_their_own_library_does() -> None:
    known = CREDENTIALS
    for challenge in ("a" * 20, "0123456789abcdef" * 2):
        expected = wire.gateway(known, None).webhook_notification.verify(challenge)
        assert inbound.answer(known, challenge) == expected


@pytest.mark.parametrize(
    "given", ["", "a" * 19, "a" * 33, "A" * 20, "a" * 20 + "\n", "ä" * 20, base64.b64encode(XML).decode()]
)
def test_nothing_else_is_signed(given: str) -> None:
    with pytest.raises(InboundRefused):
        inbound.answer(CREDENTIALS, given)


@given(st.text("abcdef0123456789", min_size=20, max_size=32))
def test_the_answer_to_a_challenge_proves_no_webhook(challenge: str) -> None:
    """Anybody may ask for one: what it signs must never be believed as a payload."""
    known = CREDENTIALS
    form = {"bt_signature": inbound.answer(known, challenge), "bt_payload": challenge}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    with pytest.raises(InboundRefused):
        inbound.verify(known, InboundMessage(headers, urlencode(form).encode(), NOW))
