"""How Stripe is spoken to: errors, credentials, webhooks; and what the simulator does not let pass."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe

from app.adapters.billing.registry import connect
from app.adapters.http import OutboundError, Reason, Reply
from app.core.billing import (
    Cancel,
    CredentialsRefused,
    InboundMessage,
    InboundRefused,
    PlanChange,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from tests.adapters.billing.contract import BEN, BENS, LITE, NOW, Document, change_of, lite
from tests.adapters.billing.simulated import simulated
from tests.adapters.billing.stripe_world import StripeWorld
from tests.support.clock import FakeClock
from tests.support.stripe.vendor import ACCOUNT, key_of, sign, webhook_secret_of

pytestmark = pytest.mark.anyio

KEY = key_of("sk", "test")
SECRET_WORDS = (KEY, "ben@example.com", "Halvorsen")


@pytest.fixture
async def world() -> AsyncIterator[StripeWorld]:
    async with simulated(StripeWorld, "stripe") as world:
        assert isinstance(world, StripeWorld)
        yield world


class Scripted:
    """Answers instead of a network: what is written down, over and over; and remembers what was asked."""

    def __init__(self, answer: Reply | OutboundError) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Mapping[str, str], bytes, float, int]] = []

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        deadline_s: float,
        max_bytes: int,
    ) -> Reply:
        self.asked.append((method, url, headers or {}, body, deadline_s, max_bytes))
        if isinstance(self.answer, OutboundError):
            raise self.answer
        return self.answer


def scripted(answer: Reply | OutboundError) -> tuple[Any, Scripted]:
    http = Scripted(answer)
    config = {"api_key": KEY}
    return connect("stripe", config, http=http, clock=FakeClock(NOW), mode="test"), http  # type: ignore[arg-type]  # it does what is used of one


def error(status: int, headers: Mapping[str, str] | None = None, **details: str) -> Reply:
    message = f"Something about ben@example.com, Ben Halvorsen and {KEY}"
    body = {"error": {"type": "invalid_request_error", "message": message, **details}}
    return Reply(status, headers or {}, json.dumps(body).encode())


# --- What a failure means ---


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(401), CredentialsRefused),
        (error(403), CredentialsRefused),
        (error(400, code="rate_limit"), ProviderUnavailable),
        (error(409, code="idempotency_key_in_use"), ProviderUnavailable),
        (error(429, code="lock_timeout"), ProviderUnavailable),
        (error(500), ProviderUnavailable),
        (error(503), ProviderUnavailable),
        (error(424), ProviderUnavailable),
        (Reply(502, {}, b"<html>Bad gateway</html>"), ProviderUnavailable),
        (Reply(404, {}, b"<html>Not here</html>"), ProviderUnavailable),
        (Reply(200, {}, b"<html>Welcome</html>"), ProviderUnavailable),
        (Reply(200, {}, b""), ProviderUnavailable),
        (Reply(200, {}, b"[]"), ProviderUnavailable),
        (Reply(200, {}, b'{"object": "subscription", "id'), ProviderUnavailable),
        (Reply(200, {}, b'{"id": "\\u0000"}'), ProviderUnavailable),
        (OutboundError(Reason.TIMEOUT), ProviderUnavailable),
        (OutboundError(Reason.TOO_LARGE), ProviderUnavailable),
        (OutboundError(Reason.PRIVATE_ADDRESS), ProviderUnavailable),
    ],
)
async def test_a_failure_is_told_in_our_words_and_tells_nothing_secret(
    answer: Reply | OutboundError, kind: type[ProviderError]
) -> None:
    provider, _ = scripted(answer)
    calls = (
        provider.find_customer(BEN),
        provider.list_subscriptions(BEN),
        provider.find_subscription(BEN, BENS),
        provider.find_customers_by_email("ben@example.com"),
        provider.load_catalog([LITE], []),
        provider.list_catalog(),
        provider.check(),
        provider.apply(change_of(Cancel(timing="period_end"))),
    )
    for call in calls:
        with pytest.raises(kind) as caught:
            await call
        assert not any(word in f"{caught.value!r} {caught.value}" for word in SECRET_WORDS)
        assert caught.value.__cause__ is None


async def test_the_time_to_wait_is_stripes_own() -> None:
    provider, _ = scripted(error(429, {"retry-after": "11"}))
    with pytest.raises(ProviderUnavailable) as caught:
        await provider.find_customer(BEN)
    assert caught.value.retry_after == 11


async def test_each_call_has_a_deadline_a_size_and_the_pinned_version() -> None:
    provider, http = scripted(error(500))
    with pytest.raises(ProviderUnavailable):
        await provider.find_customer(BEN)
    ((method, url, headers, _, deadline_s, max_bytes),) = http.asked
    assert (method, url) == ("GET", f"https://api.stripe.com/v1/customers/{BEN}")
    assert 0 < deadline_s <= 4
    assert 0 < max_bytes <= 4_194_304
    assert {name.lower() for name in headers} == {"authorization", "stripe-version"}
    assert headers["Stripe-Version"] == stripe.api_version


async def test_no_telemetry_leaves() -> None:
    assert stripe.enable_telemetry is False


async def test_a_refusal_names_code_and_request_but_not_what_stripe_says_in_words(world: StripeWorld) -> None:
    with world.by_hand() as subscription:
        subscription["status"] = "canceled"
    world.simulator.stale_reads = 1
    with pytest.raises(ProviderRefused) as caught:
        await world.provider.apply(world.request(PlanChange(price=lite(world))))
    assert caught.value.reason.startswith("Stripe declined: invalid_request_error (request req_")
    assert "canceled subscription can only" not in caught.value.reason


# --- Credentials ---


async def test_the_account_and_the_mode_of_the_key_are_told(world: StripeWorld) -> None:
    account = await world.provider.check()
    assert (account.id, account.name, account.mode) == (ACCOUNT, "Northwind Notes", "test")


async def test_a_live_key_shows_as_one_in_a_test_environment(world: StripeWorld) -> None:
    for kind in ("sk", "rk"):
        world.vendor.permissions = {"customer_read", "subscription_write", "price_read", "coupon_write"}
        account = await world.connect(api_key=key_of(kind, "live")).check()
        assert account.mode == "live"


async def test_a_restricted_key_is_tried_on_what_it_is_needed_for(world: StripeWorld) -> None:
    provider = world.connect(api_key=key_of("rk", "test"))
    world.vendor.permissions = {"customer_read", "subscription_write", "price_read"}
    with pytest.raises(CredentialsRefused, match="coupon_read"):
        await provider.check()
    world.vendor.permissions.add("coupon_write")
    account = await provider.check()
    assert (account.id, account.mode) == (ACCOUNT, "test")


async def test_a_permission_that_is_missing_for_a_change_is_named(world: StripeWorld) -> None:
    provider = world.connect(api_key=key_of("rk", "test"))
    world.vendor.permissions = {"customer_read", "subscription_read", "price_read"}
    with pytest.raises(CredentialsRefused, match="subscription_write"):
        await provider.apply(world.request(Cancel(timing="period_end")))
    assert world.count_changes(BENS) == 0


async def test_without_leave_to_preview_and_to_search_the_rest_goes_on(world: StripeWorld) -> None:
    provider = world.connect(api_key=key_of("rk", "test"))
    world.vendor.permissions = {"customer_read", "subscription_read", "price_read"}
    assert await provider.preview(BEN, BENS, PlanChange(price=lite(world))) is None


async def test_the_modes_are_apart(world: StripeWorld) -> None:
    await world.provider.apply(world.request(Cancel(timing="period_end")))
    live = world.simulator.books["live"]
    assert live.state["subscriptions"][BENS]["cancel_at_period_end"] is False


# --- Webhooks ---


def event(world: StripeWorld, **changes: Any) -> tuple[Mapping[str, str], bytes]:
    """A genuine event about Ben's subscription, with these differences."""
    _, body = world.sign_inbound(BENS, "evt_1")
    changed = json.dumps({**json.loads(body), **changes}).encode()
    return {"stripe-signature": sign(changed, webhook_secret_of("test"), NOW)}, changed


@pytest.mark.parametrize("secrets", ["{new} {old}", "{old} {new}", "  {old}  "])
async def test_during_a_rotation_either_secret_will_do(world: StripeWorld, secrets: str) -> None:
    old, new = webhook_secret_of("test"), webhook_secret_of("another")
    provider = world.connect(webhook_secret=secrets.format(old=old, new=new))
    headers, body = world.sign_inbound(BENS, "evt_1")
    notice = provider.verify_inbound(InboundMessage(headers, body, NOW))
    assert notice is not None
    assert (notice.event_id, notice.subscription_ids, notice.customer_ids) == ("evt_1", (BENS,), (BEN,))


async def test_one_of_several_signatures_is_enough(world: StripeWorld) -> None:
    headers, body = world.sign_inbound(BENS, "evt_1")
    at, _, good = headers["stripe-signature"].partition(",")
    both = {"stripe-signature": f"{at},v1={'0' * 64},{good},v0={'1' * 64}"}
    assert world.provider.verify_inbound(InboundMessage(both, body, NOW)) is not None


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_a_webhook_of_another_time_is_refused(world: StripeWorld, minutes: int) -> None:
    headers, body = world.sign_inbound(BENS, "evt_1")
    with pytest.raises(InboundRefused):
        world.provider.verify_inbound(InboundMessage(headers, body, NOW + timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    "header", ["", "t=1", "v1=0", "t=x,v1=0", "t=1,t=2,v1=0", "t=²,v1=é", ",,,=", "t=99999999999999,v1=0"]
)
async def test_a_header_that_makes_no_sense_is_refused(world: StripeWorld, header: str) -> None:
    with pytest.raises(InboundRefused):
        world.provider.verify_inbound(InboundMessage({"stripe-signature": header}, b"{}", NOW))


async def test_an_event_of_the_other_mode_is_refused(world: StripeWorld) -> None:
    headers, body = event(world, livemode=True)
    with pytest.raises(InboundRefused, match="mode"):
        world.provider.verify_inbound(InboundMessage(headers, body, NOW))


async def test_without_a_secret_nothing_is_believed(world: StripeWorld) -> None:
    headers, body = world.sign_inbound(BENS, "evt_1")
    with pytest.raises(InboundRefused, match="secret"):
        world.connect(webhook_secret="").verify_inbound(InboundMessage(headers, body, NOW))


@pytest.mark.parametrize("body", [b"[]", b"not JSON", b'{"object": "event"}', b'{"id": 5}', b"\xff"])
async def test_a_signed_body_that_is_no_event_is_refused(world: StripeWorld, body: bytes) -> None:
    headers = {"stripe-signature": sign(body, webhook_secret_of("test"), NOW)}
    with pytest.raises(InboundRefused):
        world.provider.verify_inbound(InboundMessage(headers, body, NOW))


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({"data": {"object": {"object": "customer", "id": BEN}}}, ((), (BEN,))),
        (
            {"data": {"object": {"object": "discount", "subscription": BENS, "customer": BEN}}},
            ((BENS,), (BEN,)),
        ),
        (
            {"data": {"object": {"object": "subscription_schedule", "subscription": None, "customer": BEN}}},
            ((), (BEN,)),
        ),
        (
            {
                "data": {
                    "object": {
                        "object": "invoice",
                        "customer": BEN,
                        "parent": {"subscription_details": {"subscription": BENS}},
                    }
                }
            },
            ((BENS,), (BEN,)),
        ),
        ({"data": {"object": {"object": "invoice", "customer": BEN, "parent": None}}}, None),
        ({"data": {"object": {"object": "payout", "id": "po_1"}}}, None),
        ({"data": None}, None),
        ({"account": "acct_connected"}, None),
    ],
)
async def test_of_an_event_only_the_ids_that_concern_us_are_taken(
    world: StripeWorld, changes: Document, ids: tuple[tuple[str, ...], tuple[str, ...]] | None
) -> None:
    headers, body = event(world, **changes)
    notice = world.provider.verify_inbound(InboundMessage(headers, body, NOW))
    assert (None if notice is None else (notice.subscription_ids, notice.customer_ids)) == ids


# --- The simulator ---


async def ask(
    world: StripeWorld, method: str, path: str, params: Document | None = None, key: str = ""
) -> tuple[int, Document, Mapping[str, str]]:
    """A request past the adapter."""
    form = urlencode(params or {})
    headers = {
        "authorization": f"Bearer {KEY}",
        "stripe-version": stripe.api_version,
        **({"idempotency-key": key} if key else {}),
    }
    reply = await world.http.request(
        method,
        world.url + path + (f"?{form}" if method == "GET" and form else ""),
        headers,
        body=form.encode() if method == "POST" else b"",
        deadline_s=5,
    )
    body = reply.json()
    assert isinstance(body, dict)
    assert reply.headers["request-id"].startswith("req_")
    return reply.status, body, reply.headers


@pytest.mark.parametrize(
    ("path", "params", "named"),
    [
        (f"/v1/subscriptions/{BENS}", {"coupon": "x"}, "coupon"),
        (f"/v1/subscriptions/{BENS}", {"cancel_at_period_ends": "true"}, "cancel_at_period_ends"),
        (f"/v1/subscriptions/{BENS}", {"pause_collection[until]": "5"}, "pause_collection[until]"),
        (f"/v1/subscriptions/{BENS}", {"items[0][amount]": "5"}, "items[0][amount]"),
        (f"/v1/subscriptions/{BENS}", {"api_key": "x"}, "api_key"),
        ("/v1/coupons", {"percent_off": "5", "lasts": "long"}, "lasts"),
        (
            "/v1/invoices/create_preview",
            {"subscription": BENS, "subscription_items[0][price]": LITE},
            "subscription_items",
        ),
    ],
)
async def test_parameters_that_stripe_does_not_have_are_refused(
    world: StripeWorld, path: str, params: Document, named: str
) -> None:
    status, body, _ = await ask(world, "POST", path, params)
    assert status == 400
    assert body["error"]["code"] == "parameter_unknown"
    assert body["error"]["param"] == named
    assert world.count_changes(BENS) == 0


async def test_a_key_brings_the_first_answer_again_and_takes_no_other_request(world: StripeWorld) -> None:
    path = f"/v1/subscriptions/{BENS}"
    first = await ask(world, "POST", path, {"cancel_at_period_end": "true"}, "k1")
    again = await ask(world, "POST", path, {"cancel_at_period_end": "true"}, "k1")
    assert again[1] == first[1]
    assert again[2]["idempotent-replayed"] == "true"
    status, body, _ = await ask(world, "POST", path, {"cancel_at_period_end": "false"}, "k1")
    assert (status, body["error"]["type"]) == (400, "idempotency_error")
    world.clock.advance(hours=25)
    status, body, _ = await ask(world, "POST", path, {"cancel_at_period_end": "false"}, "k1")
    assert (status, body["cancel_at_period_end"]) == (200, False)
    assert world.count_changes(BENS) == 2


async def test_a_refusal_is_kept_under_its_key_too(world: StripeWorld) -> None:
    path, params = f"/v1/subscriptions/{BENS}", {"discounts[0][coupon]": "coupon_late"}
    assert (await ask(world, "POST", path, params, "k1"))[0] == 400
    world.put_coupon("coupon_late")
    status, _, headers = await ask(world, "POST", path, params, "k1")
    assert (status, headers["idempotent-replayed"]) == (400, "true")
    assert (await ask(world, "POST", path, params, "k2"))[0] == 200


async def test_lists_come_in_pages(world: StripeWorld) -> None:
    seen: list[str] = []
    after: Document = {}
    while True:
        _, page, _ = await ask(world, "GET", "/v1/customers", {"limit": 2, **after})
        assert len(page["data"]) <= 2
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
        after = {"starting_after": seen[-1]}
    assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize(
    "expand",
    ["data.items.data.price.product", "items", "data.status", "data.customer.discount.source.coupon"],
)
async def test_only_references_are_expanded_and_not_too_deep(world: StripeWorld, expand: str) -> None:
    status, body, _ = await ask(world, "GET", "/v1/subscriptions", {"expand[0]": expand})
    assert status == 400
    assert "expand" in body["error"]["message"]


async def test_an_address_that_there_is_not_is_not_found(world: StripeWorld) -> None:
    assert (await ask(world, "GET", "/v1/subscription"))[0] == 404
    assert (await ask(world, "GET", "/v1/customers/cus_nobody"))[1]["error"]["code"] == "resource_missing"
