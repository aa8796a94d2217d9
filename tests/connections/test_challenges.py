"""A vendor asks, before he sends any webhooks, whether they are wanted here: who is answered, and what a stranger
learns. Nobody else is asked for it and nothing is written."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import structlog

from app.adapters.vault import Vault
from app.db.database import Database
from tests.providers.shop import database_dump
from tests.support.braintree.vendor import BraintreeVendor, NotProven
from tests.support.clock import FakeClock
from tests.support.merchant import Merchant, open_merchant
from tests.support.pages import new_client
from tests.support.simulator.books import Books

VENDOR = BraintreeVendor()
CHALLENGE = "20f9f8ed05f77439fe95"


@pytest.fixture
def merchant(database: Database, clock: FakeClock) -> Merchant:
    config = {"api_base": "http://127.0.0.1:9", **VENDOR.credentials("test")}  # nobody answers there
    return open_merchant(database, clock, provider="braintree", config=config)


@pytest.fixture
async def client(merchant: Merchant) -> AsyncIterator[httpx.AsyncClient]:
    app = merchant.app()
    async with app.lifespan(), new_client(app) as client:
        yield client


def path(merchant: Merchant, provider: str = "braintree", app_id: str | None = None) -> str:
    return f"/hooks/{provider}/{app_id or merchant.app_id}"


async def register(client: httpx.AsyncClient, books: Books, address: str) -> None:
    async def fetch(url: str) -> tuple[int, str]:
        answer = await client.get(url)
        return answer.status_code, answer.text

    await VENDOR.register_webhook(books, address, fetch)


async def ask(client: httpx.AsyncClient, address: str, *challenges: str) -> httpx.Response:
    return await client.get(address, params=[("bt_challenge", each) for each in challenges])


async def test_braintree_takes_the_address_for_its_webhooks(
    client: httpx.AsyncClient, merchant: Merchant
) -> None:
    books, before = Books(), database_dump(merchant.database)
    await register(client, books, path(merchant))
    assert books.state["webhooks"] == [path(merchant)]
    assert database_dump(merchant.database) == before
    headers, body = VENDOR.webhook("test", "check", {"check": True}, merchant.clock.now())
    assert (await client.post(path(merchant), content=body, headers=headers)).status_code == 200


async def test_an_address_with_other_keys_is_not_taken(client: httpx.AsyncClient, merchant: Merchant) -> None:
    books = Books("live")
    with pytest.raises(NotProven):
        await register(client, books, path(merchant))
    assert "webhooks" not in books.state


async def test_the_answer_is_plain_text_that_nobody_keeps(
    client: httpx.AsyncClient, merchant: Merchant
) -> None:
    answer = await ask(client, path(merchant), CHALLENGE)
    assert answer.text == VENDOR.proof("test", CHALLENGE)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert VENDOR.credentials("test")["private_key"] not in answer.text + str(answer.headers)


async def refusals(client: httpx.AsyncClient, merchant: Merchant) -> dict[str, httpx.Response]:
    here = path(merchant)
    found = {
        "no challenge": await client.get(here),
        "an empty one": await ask(client, here, ""),
        "two": await ask(client, here, CHALLENGE, CHALLENGE),
        "other letters": await ask(client, here, CHALLENGE[:-1] + "g"),
        "capitals": await ask(client, here, CHALLENGE.upper()),
        "a line feed after it": await ask(client, here, CHALLENGE + "\n"),
        "too short": await ask(client, here, "a" * 19),
        "too long": await ask(client, here, "a" * 33),
        "far too long": await ask(client, here, "a" * 4096),
        "a payload to be signed": await ask(client, here, "PHhtbD48L3htbD4K"),
        "another field": await client.get(here, params={"challenge": CHALLENGE}),
        "unknown app": await ask(client, path(merchant, app_id="app_nobody"), CHALLENGE),
        "strange app": await ask(client, path(merchant, app_id="%00%F0%9F%92%A5"), CHALLENGE),
        "another provider": await ask(client, path(merchant, "stripe"), CHALLENGE),
        "no such provider": await ask(client, path(merchant, "nobody"), CHALLENGE),
        "a provider without webhooks": await ask(client, path(merchant, "direct"), CHALLENGE),
    }
    merchant.change(provider_config=None)
    found["not connected"] = await ask(client, here, CHALLENGE)
    merchant.change(provider_config="sealed by nobody")
    found["secret gone"] = await ask(client, here, CHALLENGE)
    connect(merchant, "stripe", {"api_key": "sk_" + "test_" + "Example0123456789"})
    found["a vendor who asks for no proof"] = await ask(client, path(merchant, "stripe"), CHALLENGE)
    return found


def connect(merchant: Merchant, provider: str, config: dict[str, Any]) -> None:
    sealed = Vault(merchant.settings.secrets).seal(json.dumps(config))
    merchant.change(provider=provider, provider_config=sealed)


async def test_whatever_is_wrong_the_answer_is_that_of_a_webhook_without_proof(
    client: httpx.AsyncClient, merchant: Merchant
) -> None:
    unknown = await client.post(path(merchant, app_id="app_nobody"), content=b"{}")
    known = VENDOR.credentials("test")
    for name, answer in (await refusals(client, merchant)).items():
        assert (answer.status_code, answer.content) == (400, unknown.content), name
        assert answer.headers["content-type"] == "application/problem+json", name
        assert known["public_key"] not in answer.text, name


async def test_whoever_runs_it_can_see_why_and_no_secret(
    client: httpx.AsyncClient, merchant: Merchant
) -> None:
    with structlog.testing.capture_logs() as logs:
        await refusals(client, merchant)
    told = [entry for entry in logs if entry["event"] == "webhook.refused"]
    assert {entry["app_id"] for entry in told} == {merchant.app_id}
    assert {"There is not one challenge.", "The challenge is none of Braintree's."} <= {
        entry["reason"] for entry in told
    }
    assert VENDOR.credentials("test")["private_key"] not in str(logs)


async def test_a_stranger_who_keeps_asking_waits_and_keeps_no_vendor_out(
    merchant: Merchant, clock: FakeClock
) -> None:
    slow = replace(merchant, settings=replace(merchant.settings, api_rate=3))
    app = slow.app()
    async with app.lifespan(), new_client(app) as client:
        headers, body = VENDOR.webhook("test", "check", {"check": True}, clock.now())
        assert (await client.post(path(merchant), content=body, headers=headers)).status_code == 200
        for _ in range(3):
            assert (await ask(client, path(merchant), CHALLENGE)).status_code == 200
        held_up = await ask(client, path(merchant), CHALLENGE)
        assert (held_up.status_code, held_up.headers["retry-after"]) == (429, "20")
        assert (await client.post(path(merchant), content=body, headers=headers)).status_code == 200
        clock.advance(seconds=20)
        assert (await ask(client, path(merchant), CHALLENGE)).status_code == 200
