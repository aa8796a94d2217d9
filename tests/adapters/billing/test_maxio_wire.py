"""Maxio: bad answers, the connection, webhooks."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pytest

from app.adapters.billing.registry import connect
from app.adapters.http import OutboundHttp
from app.core.billing import (
    Cancel,
    Catalog,
    CredentialsRefused,
    Discount,
    InboundMessage,
    InboundRefused,
    Pause,
    PriceList,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    Resume,
    Uncancel,
)
from app.core.calendar import iso
from tests.adapters.billing.contract import BEN, BENS, DANA, NOW
from tests.adapters.billing.simulated import LOOPBACK, simulated
from tests.support.clock import FakeClock
from tests.support.maxio.world import MaxioWorld, canned

RENEWS: Final = datetime(2026, 12, 12, 9, 0, tzinfo=UTC)  # Ben's
HALF: Final = Discount(percent_off=Decimal(50), duration="repeating", months=3)


@pytest.fixture
async def world() -> AsyncIterator[MaxioWorld]:
    async with simulated(MaxioWorld, "maxio") as world:
        yield world


# --- What goes wrong on the way -------------------------------------------------------------------


BLOCKED: Final = {"errors": ["Your Chargify account has been canceled. Please contact support@chargify.com."]}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"HTTP Basic: Access denied.", CredentialsRefused),
        (403, {"errors": ["This key is read only."]}, CredentialsRefused),
        (409, {"errors": ["DuplicatePrevention::DuplicateSubmissionError"]}, ProviderUnavailable),
        (422, BLOCKED, CredentialsRefused),
        (422, {"error": "something"}, ProviderUnavailable),
        (429, {"errors": ["denied due to a usage violation"]}, ProviderUnavailable),
        (500, b"<html>", ProviderUnavailable),
        (503, b"", ProviderUnavailable),
        (302, b"", ProviderUnavailable),
        (200, b"<html>hello</html>", ProviderUnavailable),
        (200, b'{"customer": {"id": 5', ProviderUnavailable),
        (200, b'"' + b"x" * 2_100_000 + b'"', ProviderUnavailable),
    ],
)
async def test_an_answer_that_is_none_is_named_and_tells_no_secret(
    world: MaxioWorld, status: int, body: object, error: type[ProviderError]
) -> None:
    async with canned(world, status, body) as provider:
        with pytest.raises(error) as caught:
            await provider.find_customer("5")
        assert type(caught.value) is error
        with pytest.raises(error):
            await provider.find_subscription("5", "6")
    said = f"{caught.value!r} {caught.value.__cause__!r}"
    assert world.vendor.credentials("test")["api_key"] not in said
    assert "support@" not in said


@pytest.mark.parametrize(
    "body", [[], {}, None, 5, "text", {"customer": []}, {"customer": {"id": "x"}}, [[1]]]
)
async def test_an_answer_of_another_shape_is_nothing_found(world: MaxioWorld, body: object) -> None:
    async with canned(world, 200, body) as provider:
        assert await provider.find_customer("5") is None
        assert await provider.find_subscription("5", "6") is None
        assert await provider.list_subscriptions("5") == []
        assert await provider.find_customers_by_email("ben@example.com") == []
        assert await provider.list_catalog() == PriceList()
        assert await provider.load_catalog(["5"], ["HALF"]) == Catalog()


async def test_a_busy_site_is_left_alone_for_minutes_unless_it_says_otherwise(world: MaxioWorld) -> None:
    for headers, wait in (({}, 120), ({"retry-after": "30"}, 30)):
        async with canned(world, 429, {}, headers=headers) as provider:
            with pytest.raises(ProviderUnavailable) as caught:
                await provider.find_customer("5")
            assert caught.value.retry_after == wait


async def test_what_maxio_refuses_is_told_to_the_merchant_and_not_to_the_customer(world: MaxioWorld) -> None:
    world.change(state="past_due")
    with pytest.raises(ProviderRefused) as caught:
        await world.provider.apply(world.ask(Cancel(timing="period_end")))
    assert "Cannot set a delayed cancellation" in caught.value.reason
    assert caught.value.user_message == "The billing system does not allow this change."


async def test_another_customers_subscription_is_never_changed(world: MaxioWorld) -> None:
    for change in (Cancel(timing="now"), HALF, Resume(), Uncancel(), Pause(resumes_at=RENEWS)):
        with pytest.raises(ProviderRefused):
            await world.provider.apply(world.ask(change, who=DANA, what=BENS))
    assert world.writes() == []


async def test_what_is_in_place_already_is_not_written_again(world: MaxioWorld) -> None:
    world.change(cancel_at_end_of_period=True, delayed_cancel_at=iso(RENEWS))
    await world.provider.apply(world.ask(Cancel(timing="period_end")))
    await world.provider.apply(world.ask(Resume()))
    world.change(cancel_at_end_of_period=False)
    await world.provider.apply(world.ask(Uncancel()))
    world.change(state="canceled", canceled_at=iso(NOW))
    await world.provider.apply(world.ask(Cancel(timing="now")))
    await world.provider.apply(world.ask(Cancel(timing="period_end")))
    assert world.writes() == []


# --- The connection -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["live", "test"])
async def test_a_site_says_whether_it_is_for_testing(world: MaxioWorld, mode: str) -> None:
    account = await world.connect(**world.vendor.credentials(mode)).check()
    assert (account.id, account.name, account.mode) == (f"northwind-{mode}", "Northwind Notes", mode)


@pytest.mark.parametrize(
    "subdomain", ["evil.example/", "a@evil.example", "a b", "a.", "-a", "a" * 64, "a:443#"]
)
async def test_a_subdomain_never_leads_to_another_host(subdomain: str) -> None:
    config = {"subdomain": subdomain, "api_key": "examplekey" * 4}
    http = OutboundHttp([LOOPBACK])
    provider = connect("maxio", config, http=http, clock=FakeClock(NOW), mode="test")
    with pytest.raises(CredentialsRefused, match="subdomain"):
        await provider.check()
    await http.aclose()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/subscriptions/{ben}.json", {"subscription": {"next_billing": "2027-01-01"}}),
        ("POST", "/subscriptions/{ben}/hold.json", {"hold": {"resume_at": "2027-01-01"}}),
        ("POST", "/subscriptions/{ben}/delayed_cancel.json", {"subscription": {"at": "now"}}),
        ("POST", "/subscriptions/{ben}/add_coupon.json", {"coupon_codes": ["A"]}),
        (
            "POST",
            "/product_families/4001/coupons.json",
            {"coupon": {"code": "A", "name": "A", "max_uses": 1}},
        ),
        ("GET", "/customers.json?email=ben%40example.com", None),
    ],
)
async def test_the_simulator_refuses_what_maxio_does_not_have(
    world: MaxioWorld, method: str, path: str, body: dict[str, Any] | None
) -> None:
    token = b64encode(f"{world.vendor.credentials('test')['api_key']}:x".encode()).decode()
    reply = await world.http.request(
        method,
        world.url + path.format(ben=world.bens),
        {"authorization": f"Basic {token}", "content-type": "application/json"},
        body=json.dumps(body).encode() if body else b"",
        deadline_s=5,
    )
    assert reply.status == 400


# --- Webhooks -------------------------------------------------------------------------------------


async def test_two_shared_keys_are_good_while_one_is_changed(world: MaxioWorld) -> None:
    headers, body = world.sign_inbound(world.bens, "12")
    key = world.vendor.credentials("test")["shared_key"]
    for keys in (f"{key} newKey", f"newKey  {key}"):
        notice = world.connect(shared_key=keys).verify_inbound(InboundMessage(headers, body, NOW))
        assert notice is not None
        assert (notice.event_id, notice.subscription_ids, notice.customer_ids) == (
            "12",
            (world.bens,),
            (world.id_of(BEN),),
        )
    for keys in ("newKey", "", " "):
        with pytest.raises(InboundRefused):
            world.connect(shared_key=keys).verify_inbound(InboundMessage(headers, body, NOW))


async def test_a_webhook_is_known_by_the_id_that_is_signed(world: MaxioWorld) -> None:
    headers, body = world.sign_inbound(world.bens, "12")
    forged = {**headers, "x-chargify-webhook-id": "13"}
    notice = world.provider.verify_inbound(InboundMessage(forged, body, NOW))
    assert notice is not None
    assert notice.event_id == "12"


@pytest.mark.parametrize(
    ("body", "is_refused"),
    [
        (b"id=1&event=test&payload[chargify]=testing", False),
        (b"id=1&event=customer_update&payload[customer][id]=..%2F5", False),
        (b"event=test", True),
        (b"\xff\xfe", True),
        (b"&".join(b"a=1" for _ in range(6000)), True),
    ],
)
async def test_a_genuine_webhook_about_nobody_is_no_notice(
    world: MaxioWorld, body: bytes, is_refused: bool
) -> None:
    message = InboundMessage(world.maxio.sign("test", body), body, NOW)
    if is_refused:
        with pytest.raises(InboundRefused):
            world.provider.verify_inbound(message)
    else:
        assert world.provider.verify_inbound(message) is None
