"""Chargebee: credentials, webhooks, bad answers."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from app.adapters.billing.registry import connect
from app.core.billing import (
    CredentialsRefused,
    Discount,
    InboundMessage,
    InboundRefused,
    NotYet,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    is_in_place,
)
from app.core.errors import InvalidInput
from tests.adapters.billing.contract import BEN, BENS, CASES, NOW, change_of
from tests.adapters.billing.simulated import simulated
from tests.support.chargebee.world import ChargebeeWorld
from tests.support.server import served

HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)


@pytest.fixture
async def world() -> AsyncIterator[ChargebeeWorld]:
    async with simulated(ChargebeeWorld, "chargebee") as world:
        yield world


# --- Credentials ----------------------------------------------------------------------------------


async def test_a_key_tells_its_mode_and_a_site_its_catalog(world: ChargebeeWorld) -> None:
    account = await world.provider.check()
    assert (account.id, account.mode) == ("northwind-test", "test")
    live = connect(
        "chargebee", {"api_base": world.url, **world.vendor.credentials("live")},
        http=world.http, clock=world.clock, mode="test",
    )  # fmt: skip
    account = await live.check()
    assert (account.id, account.mode) == ("northwind", "live")
    world.set_up(product_catalog="v1")
    with pytest.raises(CredentialsRefused, match=r"2\.0"):
        await world.provider.check()


@pytest.mark.parametrize("site", ["evil.example/", "acme@evil.example", "a.b", "acme?", "-acme", "å"])
async def test_a_site_cannot_send_the_key_elsewhere(world: ChargebeeWorld, site: str) -> None:
    config = {"site": site, "api_key": "test_" + "1" * 24}
    with pytest.raises(InvalidInput) as caught:
        connect("chargebee", config, http=world.http, clock=world.clock, mode="test")
    assert [error.field for error in caught.value.fields] == ["site"]


async def test_a_pause_comes_back_where_the_cancellation_in_its_place_is_refused(
    world: ChargebeeWorld,
) -> None:
    pause = await world.pause_ben()
    world.set_up(reason_codes=["Other"])
    with pytest.raises(ProviderRefused, match="cancel_reason_code"):
        await world.provider.apply(CASES["cancel"].request(world, "eff_2"))
    assert is_in_place(pause, world.subscription(BENS), NOW)


async def test_a_site_that_demands_a_reason_code_is_given_it(world: ChargebeeWorld) -> None:
    world.set_up(reason_codes=["Other"])
    request = CASES["cancel"].request(world)
    with pytest.raises(ProviderRefused, match="cancel_reason_code"):
        await world.provider.apply(request)
    assert world.count_changes(BENS) == 0
    await world.connect(cancel_reason_code="Other").apply(CASES["cancel"].request(world, "eff_2"))
    assert world.count_changes(BENS) == 1


# --- Webhooks -------------------------------------------------------------------------------------


async def test_while_the_password_is_changed_both_are_good(world: ChargebeeWorld) -> None:
    headers, body = world.sign_inbound(BENS, "evt_1")
    message = InboundMessage(headers, body, NOW)
    old = world.vendor.credentials("test")["webhook_password"]
    for passwords, is_good in (
        (f"new {old}", True),
        (f"{old} new", True),
        ("new", False),
        (f"new{old}", False),
    ):
        provider = world.connect(webhook_password=passwords)
        if is_good:
            notice = provider.verify_inbound(message)
            assert notice is not None
            assert (notice.event_id, notice.subscription_ids, notice.customer_ids) == (
                "evt_1",
                (BENS,),
                (BEN,),
            )
        else:
            with pytest.raises(InboundRefused) as caught:
                provider.verify_inbound(message)
            assert old not in str(caught.value)


@pytest.mark.parametrize("missing", ["webhook_user", "webhook_password"])
async def test_without_credentials_no_webhook_is_believed(world: ChargebeeWorld, missing: str) -> None:
    headers, body = world.sign_inbound(BENS, "evt_1")
    provider = world.connect(**{missing: ""})
    for given in (headers, {"authorization": "Basic " + b64encode(b":").decode()}):
        with pytest.raises(InboundRefused):
            provider.verify_inbound(InboundMessage(given, body, NOW))


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"not json", "refused"),
        (b"[]", "refused"),
        (b'{"content": {"subscription": {"id": "sub_1"}}}', "refused"),
        (b'{"id": "", "content": {}}', "refused"),
        (b'{"id": "evt_1", "event_type": "plan_created", "content": {"plan": {"id": "x"}}}', None),
        (b'{"id": "evt_1", "content": {"subscription": {"id": "../x"}, "customer": 5}}', None),
        (b'{"id": "evt_1", "content": {"invoice": {"subscription_id": "sub_1"}}}', ("sub_1",)),
    ],
)
async def test_of_a_webhook_only_ids_are_read(world: ChargebeeWorld, body: bytes, outcome: object) -> None:
    headers, _ = world.sign_inbound(BENS, "evt_1")
    message = InboundMessage(headers, body, NOW)
    if outcome == "refused":
        with pytest.raises(InboundRefused):
            world.provider.verify_inbound(message)
    else:
        notice = world.provider.verify_inbound(message)
        assert (notice.subscription_ids if notice else None) == outcome


# --- The simulator itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "params", "code"),
    [
        ("POST", f"/subscriptions/{BENS}/cancel_for_items", {"at_period_end": "true"}, "invalid_request"),
        (
            "POST",
            f"/subscriptions/{BENS}/cancel_for_items",
            {"cancel_option": "later"},
            "param_wrong_value",
        ),
        ("POST", f"/subscriptions/{BENS}/pause", {"until": "1"}, "invalid_request"),
        ("POST", f"/subscriptions/{BENS}/remove_scheduled_pause", {"x": "1"}, "invalid_request"),
        ("POST", "/coupons/create_for_items", {"percent_off": "5"}, "invalid_request"),
        ("GET", "/customers", {"email": "ben@example.com"}, "invalid_request"),
        ("GET", "/subscriptions", {"limit": "1000"}, "param_wrong_value"),
        ("GET", "/subscriptions/sub_no", {}, "resource_not_found"),
    ],
)
async def test_what_chargebee_does_not_have_the_simulator_refuses(
    world: ChargebeeWorld, method: str, path: str, params: dict[str, str], code: str
) -> None:
    token = b64encode(f"{world.vendor.credentials('test')['api_key']}:".encode()).decode()
    query = f"?{urlencode(params)}" if method == "GET" and params else ""
    reply = await world.http.request(
        method, f"{world.url}/api/v2{path}{query}", {"authorization": f"Basic {token}"},
        body=urlencode(params).encode() if method == "POST" else b"", deadline_s=5,
    )  # fmt: skip
    answer = reply.json()
    assert isinstance(answer, dict)
    assert (answer["api_error_code"], reply.status) == (
        code,
        404 if code == "resource_not_found" else 400,
    )
    assert world.books.changes == []


# --- Answers that are none ------------------------------------------------------------------------


class Canned:
    """Answers some requests with the same thing always, and leaves the others to the simulator."""

    def __init__(self, rest: Any, method: str, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.rest, self.method, self.status, self.body, self.headers = rest, method, status, body, headers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or scope["method"] != self.method:
            await self.rest(scope, receive, send)
            return
        headers = {"content-type": "application/json", "content-length": str(len(self.body)), **self.headers}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body})


def _error(code: str, **more: str) -> bytes:
    said = {"message": "ben@example.com owes 29.00", "api_error_code": code, "error_code": code, **more}
    return json.dumps(said).encode()


HTML = b"<html><body>502 Bad Gateway</body></html>"
UNANSWERED = [
    (401, _error("api_authentication_failed"), {}, CredentialsRefused, "API key"),
    (401, HTML, {}, CredentialsRefused, "API key"),
    (403, _error("api_authorization_failed"), {}, CredentialsRefused, "full-access"),
    (403, _error("request_blocked"), {}, CredentialsRefused, "blocked"),
    (404, _error("site_not_found"), {}, CredentialsRefused, "no such site"),
    (404, HTML, {}, ProviderUnavailable, "404"),
    (409, HTML, {}, ProviderUnavailable, "409"),
    (429, _error("api_request_limit_exceeded"), {"retry-after": "30"}, RateLimited, "429"),
    (429, HTML, {"retry-after": "30"}, RateLimited, "429"),
    (409, _error("operation_in_progress"), {}, NotYet, "409"),
    (400, _error("internal_temporary_error"), {}, ProviderUnavailable, "400"),
    (500, _error("internal_error"), {}, ProviderUnavailable, "500"),
    (503, HTML, {}, ProviderUnavailable, "503"),
    (200, HTML, {}, ProviderUnavailable, "200"),
    (200, b"[]", {}, ProviderUnavailable, "200"),
    (200, b'{"customer": {"id": ', {}, ProviderUnavailable, "200"),
    (200, b'{"x": "' + b"x" * 2_200_000 + b'"}', {}, ProviderUnavailable, "larger"),
    (302, b"", {"location": "https://evil.example/"}, ProviderUnavailable, "redirect"),
]


@pytest.mark.parametrize(("status", "body", "headers", "kind", "says"), UNANSWERED)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_answer_that_is_none_is_told_from_a_no_and_repeats_no_secret(
    world: ChargebeeWorld,
    method: str,
    status: int,
    body: bytes,
    headers: dict[str, str],
    kind: type,
    says: str,
) -> None:
    with served(Canned(world.simulator, method, status, body, headers)) as url:
        provider = world.connect(api_base=url)
        asked = [provider.apply(CASES["cancel"].request(world)), provider.apply(change_of(HALF))]
        if method == "GET":
            asked += [provider.find_customer(BEN), provider.list_catalog(), provider.check()]
        for ask in asked:
            with pytest.raises(kind, match=says) as caught:
                await ask
            assert type(caught.value) is kind
            for secret in (world.vendor.credentials("test")["api_key"], "ben@example.com", "29.00"):
                assert secret not in f"{caught.value} {caught.value!r} {caught.value.reason}"
            if "retry-after" in headers:
                assert caught.value.retry_after == 30
    assert world.count_changes(BENS) == 0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, _error("invalid_request", type="invalid_request", param="cancel_option")),
        (400, _error("configuration_incompatible", type="invalid_request")),
        (400, _error("payment_processing_failed", type="payment")),
        (404, _error("resource_not_found", type="invalid_request")),
        (409, _error("invalid_state_for_request", type="invalid_request")),
        (422, _error("unheard_of")),
    ],
)
async def test_a_no_is_final_names_its_code_and_repeats_no_message(
    world: ChargebeeWorld, status: int, body: bytes
) -> None:
    with (
        served(Canned(world.simulator, "POST", status, body, {})) as url,
        pytest.raises(ProviderRefused) as caught,
    ):
        await world.connect(api_base=url).apply(CASES["cancel"].request(world))
    assert json.loads(body)["api_error_code"] in caught.value.reason
    assert caught.value.user_message.endswith(".")
    assert "ben@" not in f"{caught.value} {caught.value.user_message} {caught.value.reason}"
