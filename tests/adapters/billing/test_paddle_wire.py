"""Paddle: bad answers, keys, webhooks."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.adapters.billing.registry import connect
from app.core.billing import (
    Cancel,
    CredentialsRefused,
    Discount,
    InboundMessage,
    InboundRefused,
    ProviderRefused,
    ProviderUnavailable,
)
from app.core.calendar import iso
from tests.adapters.billing.contract import BEN, BENS, NOW, change_of
from tests.adapters.billing.simulated import simulated
from tests.support.paddle.ids import named, translated
from tests.support.paddle.vendor import sign
from tests.support.paddle.world import PaddleWorld
from tests.support.simulator.http import Answer

HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
PERIOD_END = Cancel(timing="period_end")


@pytest.fixture
async def world() -> AsyncIterator[PaddleWorld]:
    async with simulated(PaddleWorld, "paddle") as world:
        yield world


# --- Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>Bad gateway</html>", 502, content_type="text/html"),
        Answer(b"<html>Welcome</html>", 200, content_type="text/html"),
        Answer(b'{"data": {"id": ', 200),
        Answer({"meta": {}}, 200),
        Answer({"data": "sub"}, 200),
        Answer({"data": {"id": translated(BENS), "status": "active"}}, 200),
        Answer(b'"' + b"x" * 3_000_000 + b'"', 200),
        Answer({"error": {"code": "invalid_url"}}, 404),
        Answer(b"", 404),
        Answer({"error": {"code": "internal_error", "detail": "ben@example.com"}}, 500),
        Answer({"error": {"code": "service_unavailable"}}, 503),
        Answer({"error": {"code": "bad_request"}}, 400),
        Answer(b"", 301, {"location": "https://example.com/"}),
    ],
)
async def test_an_answer_that_is_none_is_an_outage(world: PaddleWorld, answer: Answer) -> None:
    world.answer_with(answer, ending=translated(BENS))
    with pytest.raises(ProviderUnavailable) as caught:
        await world.provider.find_subscription(world.id_of(BEN), world.id_of(BENS))
    assert "ben@" not in caught.value.reason


async def test_what_is_not_found_is_not_there(world: PaddleWorld) -> None:
    nobody = named("sub", "nobody")
    assert await world.provider.find_customer(nobody) is None
    assert await world.provider.find_customer(named("ctm", "nobody")) is None
    assert await world.provider.list_subscriptions(named("ctm", "nobody")) == []
    with pytest.raises(ProviderRefused):
        await world.provider.apply(change_of(PERIOD_END, customer_id=nobody, subscription_id=nobody))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "concurrent_modification", ProviderUnavailable),
        (409, "conflict", ProviderUnavailable),
        (400, "subscription_update_when_canceled", ProviderRefused),
        (400, "something_new", ProviderRefused),
        (422, "invalid_field", ProviderRefused),
    ],
)
async def test_paddles_no_names_its_code_to_the_merchant_only(
    world: PaddleWorld, status: int, code: str, kind: type[Exception]
) -> None:
    error = {
        "code": code,
        "detail": "ctm_secret",
        "errors": [
            {"field": "items[0].price_id", "message": "ctm_secret"},
            {"field": "ben@x", "message": ""},
        ],
    }
    world.answer_with(Answer({"error": error}, status), "POST", "/cancel")
    with pytest.raises(kind) as caught:
        await world.provider.apply(world.request(PERIOD_END))
    assert code in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "ben@" not in str(caught.value)
    if isinstance(caught.value, ProviderRefused):
        assert code not in caught.value.user_message
        assert caught.value.user_message.endswith(".")


@pytest.mark.parametrize(
    ("permission", "ask"),
    [
        ("customer.read", "customer"),
        ("address.read", "customer"),
        ("subscription.write", "cancel"),
        ("discount.write", "discount"),
    ],
)
async def test_a_missing_permission_is_named(world: PaddleWorld, permission: str, ask: str) -> None:
    every = ["subscription.write", "customer.read", "address.read", "price.read", "discount.write"]
    less = [each for each in every if each != permission]
    world.vendor.permissions = [*less, "subscription.read", "discount.read"]  # type: ignore[attr-defined]  # Paddle's own
    change = HALF if ask == "discount" else PERIOD_END
    asking = (
        world.provider.find_customer(world.id_of(BEN))
        if ask == "customer"
        else world.provider.apply(world.request(change))
    )
    with pytest.raises(CredentialsRefused, match=permission):
        await asking
    with pytest.raises(CredentialsRefused, match=permission):
        await world.provider.check()


async def test_a_key_of_the_other_mode_is_told_apart_and_never_used(world: PaddleWorld) -> None:
    live = world.vendor.credentials("live")["api_key"]
    mixed = connect("paddle", {"api_key": live}, http=world.http, clock=world.clock, mode="test")
    assert (await mixed.check()).mode == "live"
    assert (await world.provider.check()).mode == "test"
    assert (await world.provider.check()).name == "Northwind Notes"


async def test_a_key_without_a_prefix_is_known_by_where_it_works(world: PaddleWorld) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        await world.connect(api_key="0" * 50).check()
    assert "000" not in caught.value.reason


async def test_the_simulated_paddle_refuses_what_paddle_does_not_have(world: PaddleWorld) -> None:
    key = world.vendor.credentials("test")["api_key"]
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    for method, path, body in (
        ("PATCH", f"/subscriptions/{translated(BENS)}", {"trial_end": "now"}),
        ("POST", f"/subscriptions/{translated(BENS)}/cancel", {"at_period_end": True}),
        ("POST", "/discounts", {"description": "x", "type": "percentage", "amount": "5", "percent": 5}),
        ("POST", "/discounts", {"description": "x", "type": "percentage", "amount": "5.555"}),
        ("PATCH", f"/subscriptions/{translated(BENS)}", {"scheduled_change": {"action": "cancel"}}),
    ):
        reply = await world.http.request(
            method, world.url + path, headers, body=json.dumps(body).encode(), deadline_s=5
        )
        assert reply.status == 400
    reply = await world.http.request("GET", f"{world.url}/customers?mail=x", headers, deadline_s=5)
    assert reply.status == 400
    assert world.books.changes == []


# --- Webhooks -----------------------------------------------------------------------------------------


def message(body: bytes, *secrets: str, at: datetime = NOW) -> InboundMessage:
    """Signed by each secret, as while one is being changed."""
    signatures = [sign(body, secret, at)[0]["paddle-signature"] for secret in secrets]
    proofs = [signature.partition(";")[2] for signature in signatures]
    return InboundMessage({"paddle-signature": ";".join([f"ts={int(at.timestamp())}", *proofs])}, body, NOW)


def event(kind: str = "subscription.updated", **entity: Any) -> bytes:
    found = {"id": translated(BENS), "customer_id": translated(BEN), **entity}
    return json.dumps(
        {"event_id": named("evt", "1"), "event_type": kind, "occurred_at": iso(NOW), "data": found}
    ).encode()


OLD, NEW = "pdl_ntfset_" + "old", "pdl_ntfset_" + "new"


async def test_while_a_secret_changes_either_will_do(world: PaddleWorld) -> None:
    provider = world.connect(webhook_secret=f"{NEW} {OLD}")
    for secrets in ((OLD,), (NEW,), (NEW, OLD), ("pdl_other", OLD)):
        notice = provider.verify_inbound(message(event(), *secrets))
        assert notice is not None
        assert notice.subscription_ids == (translated(BENS),)
        assert notice.customer_ids == (translated(BENS), translated(BEN))
    with pytest.raises(InboundRefused):
        provider.verify_inbound(message(event(), "pdl_other"))


async def test_an_old_a_timeless_and_an_unreadable_webhook_is_refused(world: PaddleWorld) -> None:
    provider = world.connect(webhook_secret=OLD)
    signature = message(event(), OLD).headers["paddle-signature"]
    for bad in (
        message(event(), OLD, at=NOW - timedelta(minutes=6)),
        message(event(), OLD, at=NOW + timedelta(minutes=6)),
        InboundMessage({"paddle-signature": signature.partition(";")[2]}, event(), NOW),
        InboundMessage({"paddle-signature": f"ts=1;{signature}"}, event(), NOW),
        InboundMessage({"paddle-signature": "ts=²;h1=é"}, event(), NOW),
        message(b"not json", OLD),
        message(b"[" * 100_000, OLD),
        message(b"{}", OLD),
    ):
        with pytest.raises(InboundRefused):
            provider.verify_inbound(bad)


async def test_a_webhook_about_something_else_is_none_of_our_business(world: PaddleWorld) -> None:
    provider = world.connect(webhook_secret=OLD)
    assert provider.verify_inbound(message(event("transaction.completed"), OLD)) is None
    assert provider.verify_inbound(message(event(id="sub_short"), OLD)) is None


async def test_without_a_secret_no_webhook_is_believed(world: PaddleWorld) -> None:
    provider = world.connect(webhook_secret="")
    with pytest.raises(InboundRefused, match="No webhook secret"):
        provider.verify_inbound(message(event(), ""))
