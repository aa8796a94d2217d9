"""Minting: what a merchant's backend gets for what it sends."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlmodel import select

from app.adapters.signing import Signer
from app.core.calendar import iso
from app.db.tables.events import EventRow
from app.db.tables.links import CancelLink
from tests.support.backend import LINKS, RETURN_URL, Backend, Backends

SUBSCRIPTION = {
    "id": "sub_1",
    "start": "2025-01-01",
    "status": {
        "name": "active",
        "currentPeriod": {"start": "2026-11-01", "end": "2026-12-01"},
    },
    "items": [{"price": {"id": "price_1", "amount": {"value": 2900}}}],
}
CUSTOMER = {"id": "cus_1", "currency": "eur", "email": "ada@example.com"}


def links(backend: Backend) -> list[CancelLink]:
    return backend.database.read_sync(lambda db: list(db.exec(select(CancelLink))))


def events(backend: Backend) -> list[EventRow]:
    return backend.database.read_sync(
        lambda db: list(db.exec(select(EventRow).order_by(EventRow.created_at, EventRow.id)))  # type: ignore[arg-type]  # a column
    )


def wrong(answer: httpx.Response, status: int = 422) -> dict[str, str]:
    """The fields that a refusal names, with what it says of each."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


async def test_a_link_is_made_and_told_once(backend: Backend) -> None:
    answer = await backend.mint(subscriptionId="sub_1")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told == {
        "id": told["id"],
        "url": f"http://leavewell.test/cancel/{told['token']}",
        "token": told["token"],
        "expiresAt": "2026-11-21T10:00:00Z",
        "customerId": "cus_1",
        "subscriptionId": "sub_1",
        "singleUse": True,
        "mode": "test",
        "status": "active",
        "createdAt": "2026-11-21T09:00:00Z",
    }
    assert told["id"].startswith("lnk_")
    assert told["token"].startswith("cl_")
    [stored] = links(backend)
    assert stored.token_sha256 == Signer(backend.settings.secrets).read_link(told["token"])
    assert told["token"] not in str(stored.model_dump())


async def test_the_key_alone_decides_the_mode(backends: Backends) -> None:
    assert (await backends.live.minted())["mode"] == "live"
    assert (await backends.test.minted())["mode"] == "test"


async def test_the_address_is_ours_whatever_host_was_asked(backend: Backend) -> None:
    answer = await backend.client.post(
        LINKS,
        json=backend.body(),
        headers={**backend.headers, "host": "evil.example", "x-forwarded-host": "evil.example"},
    )
    assert answer.json()["url"].startswith("http://leavewell.test/cancel/cl_")


async def test_everything_that_can_be_said_is_kept(backend: Backend) -> None:
    await backend.minted(
        singleUse=False,
        locale="de_AT",
        returnUrl=f"{RETURN_URL}?from=cancel#top",
        customerAttributes={"plan": "Pro", "openTickets": 2, "beta": False, "score": 1.5},
        customer=CUSTOMER,
        subscriptions=[SUBSCRIPTION],
    )
    [link] = links(backend)
    assert not link.single_use
    assert link.locale == "de-AT"
    assert link.return_url == f"{RETURN_URL}?from=cancel#top"
    assert link.attributes == {"plan": "Pro", "openTickets": 2, "beta": False, "score": 1.5}
    assert link.direct_customer == {"id": "cus_1", "currency": "EUR", "email": "ada@example.com"}
    assert link.direct_subscriptions
    assert link.direct_subscriptions[0]["items"][0]["price"]["amount"] == {
        "model": "fixed",
        "value": 2900,
        "currency": "EUR",
    }


async def test_what_is_null_is_left_out(backend: Backend) -> None:
    body = {**backend.body(), "subscriptionId": None, "returnUrl": None, "customerAttributes": None}
    answer = await backend.client.post(LINKS, json=body, headers=backend.headers)
    assert answer.status_code == 201


async def test_a_new_link_is_an_event_without_its_token(backend: Backend) -> None:
    told = await backend.minted()
    [event] = events(backend)
    assert event.type == "cancel_link.created"
    assert event.data["linkId"] == told["id"]
    assert told["token"] not in str(event.data)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"customerId": None}, "customerId", "required"),
        ({"customerId": ""}, "customerId", "empty"),
        ({"customerId": "c" * 256}, "customerId", "255"),
        ({"customerId": "a\tb"}, "customerId", "ontrol characters"),
        ({"customerId": "a\x00b"}, "customerId", "ontrol characters"),
        ({"customerId": " a"}, "customerId", "spaces"),
        ({"customerId": 7}, "customerId", "string"),
        ({"customer_id": "cus_1"}, "customer_id", "no such field"),
        ({"subscriptionID": "sub_1"}, "subscriptionID", "no such field"),
        ({"subscriptionId": ""}, "subscriptionId", "empty"),
        ({"expiresAt": None}, "expiresAt", "required"),
        ({"expiresAt": "2026-11-22"}, "expiresAt", "offset"),
        ({"expiresAt": "2026-11-22T09:00:00"}, "expiresAt", "offset"),
        ({"expiresAt": "tomorrow"}, "expiresAt", "ISO 8601"),
        ({"expiresAt": 1795338000}, "expiresAt", "ISO 8601"),
        ({"expiresAt": "2026-02-30T09:00:00Z"}, "expiresAt", "no such date"),
        ({"expiresAt": "2026-11-21T09:00:00Z"}, "expiresAt", "future"),
        ({"expiresAt": "2026-12-21T09:00:01Z"}, "expiresAt", "30 days"),
        ({"singleUse": "yes"}, "singleUse", "true or false"),
        ({"returnUrl": "https://evil.example/"}, "returnUrl", "list"),
        ({"returnUrl": "http://app.example.com/"}, "returnUrl", "list"),
        ({"returnUrl": "https://app.example.com:444/"}, "returnUrl", "list"),
        ({"returnUrl": "https://app.example.com@evil.example/"}, "returnUrl", "user name"),
        ({"returnUrl": "https://app.example.com.evil.example/"}, "returnUrl", "list"),
        ({"returnUrl": "javascript:alert(1)"}, "returnUrl", "https://"),
        ({"returnUrl": "//app.example.com/"}, "returnUrl", "https://"),
        ({"returnUrl": "/billing"}, "returnUrl", "https://"),
        ({"returnUrl": "https://app.example.com\\@evil.example"}, "returnUrl", "backslash"),
        ({"returnUrl": "https://app.example.com/" + "a" * 2048}, "returnUrl", "2048"),
        ({"locale": "Deutsch, bitte"}, "locale", "language tag"),
        ({"locale": "e"}, "locale", "language tag"),
        ({"customerAttributes": []}, "customerAttributes", "object"),
        ({"customerAttributes": {"plan": {"id": 1}}}, "customerAttributes.plan", "nested"),
        ({"customerAttributes": {"a": None}}, "customerAttributes.a", "leave it out"),
        ({"customerAttributes": {"customer.id": "x"}}, "customerAttributes.customer.id", "dot"),
        ({"customerAttributes": {"a": "x" * 1001}}, "customerAttributes.a", "1000"),
        ({"customer": {**CUSTOMER, "id": "cus_2"}}, "customer.id", "customerId"),
        ({"customer": {**CUSTOMER, "emial": "x"}}, "customer.emial", "no such field"),
        ({"subscriptions": [SUBSCRIPTION]}, "subscriptions[0].items[0].price.amount.currency", "currency"),
        (
            {"customer": CUSTOMER, "subscriptions": [SUBSCRIPTION, SUBSCRIPTION]},
            "subscriptions[1].id",
            "same id",
        ),
        (
            {"subscriptions": [{**SUBSCRIPTION, "status": {"name": "on"}}]},
            "subscriptions[0].status.name",
            "one of",
        ),
    ],
)
async def test_a_field_that_is_wrong_is_named(
    backend: Backend, changes: dict[str, Any], field: str, words: str
) -> None:
    found = wrong(await backend.mint(**changes))
    assert words in found[field]
    assert not links(backend)


async def test_every_mistake_is_named_at_once(backend: Backend) -> None:
    found = wrong(await backend.mint(customerId="", surprise=1, customerAttributes={"a.b": 1, "c": []}))
    assert found.keys() == {"customerId", "surprise", "customerAttributes.a.b", "customerAttributes.c"}


async def test_what_was_sent_is_not_repeated(backend: Backend) -> None:
    answer = await backend.mint(customerId="s3cret\x01", customer={**CUSTOMER, "email": "s3cret"})
    assert "s3cret" not in answer.text


async def test_thirty_days_to_the_second_are_fine(backend: Backend) -> None:
    await backend.minted(expiresAt=iso(backend.clock.now() + timedelta(days=30)))


async def test_an_emoji_is_a_customer_like_any_other(backend: Backend) -> None:
    assert (await backend.minted(customerId="Zoë 🎉 <b>"))["customerId"] == "Zoë 🎉 <b>"


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_json"),
        (b'{"customerId": "a", "customerId": "b"}', "application/json", 400, "malformed_json"),
        (b"[]", "application/json", 422, "invalid_input"),
        (b"customerId=a", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'"' + b"a" * 65_536 + b'"', "application/json", 413, "payload_too_large"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_with_a_reason(
    backend: Backend, body: bytes, kind: str, status: int, code: str
) -> None:
    headers = {**backend.headers, "content-type": kind}
    answer = await backend.client.post(LINKS, content=body, headers=headers)
    wrong(answer, status)
    assert answer.json()["code"] == code
