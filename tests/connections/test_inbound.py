"""Webhooks of billing systems: who is believed, what is owed then, and what a stranger learns."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
import structlog
from sqlmodel import select

from app.connections import inbound, queries
from app.db.tables.connections import InboundEvent
from app.db.tables.outbox import OutboxJob
from app.main import worker_of
from app.web.deps import ports_of
from tests.connections.conftest import Process
from tests.support.clock import FakeClock
from tests.support.merchant import Merchant
from tests.support.office import HOOK_SECRET, KEY, Office, config, webhook
from tests.support.pages import new_client


@pytest.fixture
async def client(merchant: Merchant) -> AsyncIterator[httpx.AsyncClient]:
    app = merchant.app()
    async with app.lifespan(), new_client(app) as client:
        yield client


def jobs(merchant: Merchant) -> list[OutboxJob]:
    return merchant.database.read_sync(lambda db: list(db.exec(select(OutboxJob))))


def path(merchant: Merchant, provider: str = "office", app_id: str | None = None) -> str:
    return f"/hooks/{provider}/{app_id or merchant.app_id}"


async def send(
    client: httpx.AsyncClient, url: str, body: bytes, headers: Mapping[str, str]
) -> httpx.Response:
    return await client.post(url, content=body, headers=dict(headers))


async def test_a_genuine_webhook_owes_the_reading_back_and_nobody_is_asked(
    client: httpx.AsyncClient, merchant: Merchant, office: Office
) -> None:
    body, headers = webhook(subscriptions=["sub_1", "sub_2"], customers=["cus_1"], amount="believe me")
    answer = await send(client, path(merchant), body, headers)
    assert (answer.status_code, answer.content) == (200, b"")
    [job] = jobs(merchant)
    assert (job.kind, job.subject_id) == (inbound.RECONCILE_JOB, merchant.app_id)
    assert job.payload == {"subscription_ids": ["sub_1", "sub_2"], "customer_ids": ["cus_1"]}
    assert job.due_at == merchant.clock.now()
    assert office.calls == []


async def test_a_webhook_that_comes_again_owes_nothing_more(
    client: httpx.AsyncClient, merchant: Merchant, clock: FakeClock
) -> None:
    body, headers = webhook()
    for _ in range(3):
        assert (await send(client, path(merchant), body, headers)).status_code == 200
        clock.advance(days=3)
    at_once = await asyncio.gather(*(send(client, path(merchant), *webhook(id="evt_2")) for _ in range(4)))
    assert {answer.status_code for answer in at_once} == {200}
    assert len(jobs(merchant)) == 2


async def test_what_is_none_of_our_business_is_taken_and_forgotten(
    client: httpx.AsyncClient, merchant: Merchant
) -> None:
    for event in ({"type": "invoice"}, {"subscriptions": []}, {"subscriptions": ["", "a\x00b", "x" * 300]}):
        assert (await send(client, path(merchant), *webhook(**event))).status_code == 200
    assert jobs(merchant) == []


async def test_of_many_ids_some_are_kept(client: httpx.AsyncClient, merchant: Merchant) -> None:
    many = ["sub_0", *(f"sub_{n}" for n in range(50))]
    await send(client, path(merchant), *webhook(id="evt_\x00\ud800" * 500, subscriptions=many))
    [job] = jobs(merchant)
    assert job.payload["subscription_ids"] == [f"sub_{n}" for n in range(inbound.MOST_NAMED)]


async def test_both_secrets_are_good_while_one_is_changed(
    client: httpx.AsyncClient, process: Process, merchant: Merchant
) -> None:
    from_now_on = "office-hook-secret-of-tomorrow"
    merchant.change(
        provider_config=process.vault.seal(json.dumps(config(hook_secret=f"{from_now_on} {HOOK_SECRET}")))
    )
    for number, secret in enumerate((HOOK_SECRET, from_now_on)):
        body, headers = webhook(secret, id=f"evt_{number}")
        assert (await send(client, path(merchant), body, headers)).status_code == 200
    assert len(jobs(merchant)) == 2


# --- Strangers --------------------------------------------------------------------------------------------------


async def refusals(
    client: httpx.AsyncClient, merchant: Merchant, process: Process
) -> dict[str, httpx.Response]:
    body, headers = webhook()
    found = {
        "tampered": await send(client, path(merchant), body.replace(b"sub_1", b"sub_2"), headers),
        "signed by another": await send(client, path(merchant), *webhook("another-secret")),
        "unsigned": await send(client, path(merchant), body, {}),
        "empty": await send(client, path(merchant), b"", headers),
        "too old": await send(client, path(merchant), body, {**headers, "x-office-age": "301"}),
        "unknown app": await send(client, path(merchant, app_id="app_nobody"), body, headers),
        "strange app": await send(client, path(merchant, app_id="%00%F0%9F%92%A5"), body, headers),
        "another provider": await send(client, path(merchant, "stripe"), body, headers),
        "no such provider": await send(client, path(merchant, "nobody"), body, headers),
        "a provider without webhooks": await send(client, path(merchant, "direct"), body, headers),
    }
    merchant.change(provider_config=None)
    found["not connected"] = await send(client, path(merchant), body, headers)
    merchant.change(provider_config=process.vault.seal(json.dumps({**config(), "hook_secret": ""})))
    found["no secret"] = await send(client, path(merchant), body, headers)
    merchant.change(provider_config="sealed by nobody")
    found["secret gone"] = await send(client, path(merchant), body, headers)
    return found


async def test_whatever_is_wrong_the_answer_is_the_same_and_nothing_is_owed(
    client: httpx.AsyncClient, merchant: Merchant, process: Process
) -> None:
    found = await refusals(client, merchant, process)
    for name, answer in found.items():
        assert answer.status_code == 400, name
        assert answer.headers["content-type"] == "application/problem+json", name
        assert answer.json()["code"] == "webhook_refused", name
    assert len({answer.content for answer in found.values()}) == 1
    assert jobs(merchant) == []
    assert merchant.database.read_sync(lambda db: list(db.exec(select(InboundEvent)))) == []


async def test_a_webhook_that_is_too_large_is_not_read(client: httpx.AsyncClient, merchant: Merchant) -> None:
    largest = b" " * (inbound.MAX_BYTES - 200)
    body, headers = webhook(note=largest.decode())
    assert len(body) <= inbound.MAX_BYTES
    assert (await send(client, path(merchant), body, headers)).status_code == 200
    body, headers = webhook(id="evt_2", note=" " * inbound.MAX_BYTES)
    answer = await send(client, path(merchant), body, headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert len(jobs(merchant)) == 1


async def test_a_form_is_a_webhook_too(client: httpx.AsyncClient, merchant: Merchant) -> None:
    body, headers = webhook()
    answer = await send(
        client, path(merchant), body, {**headers, "content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 200


async def test_a_stranger_who_keeps_trying_waits_and_keeps_no_vendor_out(
    process: Process, merchant: Merchant, clock: FakeClock
) -> None:
    slow = replace(merchant, settings=replace(merchant.settings, api_rate=3))
    app = slow.app()
    async with app.lifespan(), new_client(app) as client:
        body, headers = webhook()
        assert (await send(client, path(merchant), body, headers)).status_code == 200
        for _ in range(3):
            wrong = await send(client, path(merchant, app_id="app_nobody"), body, headers)
            assert wrong.status_code == 400
        held_up = await send(client, path(merchant, app_id="app_nobody"), body, headers)
        assert (held_up.status_code, held_up.headers["retry-after"]) == (429, "20")
        assert (await send(client, path(merchant), *webhook(id="evt_2"))).status_code == 200
        assert (await send(client, path(merchant), *webhook(id="evt_3"))).status_code == 200
        too_many = await send(client, path(merchant), *webhook(id="evt_4"))
        assert too_many.status_code == 429
        clock.advance(seconds=20)
        assert (await send(client, path(merchant), *webhook(id="evt_4"))).status_code == 200
    assert len(jobs(merchant)) == 4


async def test_no_log_holds_what_a_webhook_says(
    client: httpx.AsyncClient, merchant: Merchant, process: Process, capfd: pytest.CaptureFixture[str]
) -> None:
    body, headers = webhook(email="ben@example.com")
    await send(client, path(merchant), body, headers)
    await refusals(client, merchant, process)
    logged = capfd.readouterr()
    for told in ("ben@example.com", HOOK_SECRET, KEY, headers["X-Office-Signature"]):
        assert told not in logged.err + logged.out


async def test_whoever_runs_it_can_see_why_a_webhook_was_refused(
    client: httpx.AsyncClient, merchant: Merchant, process: Process
) -> None:
    with structlog.testing.capture_logs() as logs:
        await refusals(client, merchant, process)
    told = [entry for entry in logs if entry["event"] == "webhook.refused"]
    assert {entry["app_id"] for entry in told} == {merchant.app_id}
    reasons = [entry["reason"] for entry in told]
    assert {"The signature does not fit.", "It is too old."} <= set(reasons)
    assert "LEAVEWELL_SECRET no longer has" in reasons[-1]


# --- The worker -------------------------------------------------------------------------------------------------


async def test_the_worker_does_what_is_owed_and_forgets_old_webhooks(
    merchant: Merchant, clock: FakeClock, office: Office
) -> None:
    app = merchant.app()
    async with app.lifespan(), new_client(app) as client:
        await send(client, path(merchant), *webhook())
        worker = worker_of(ports_of(app.state))
        await worker.drain()
        assert jobs(merchant) == []
        assert office.calls == [], "nothing of that subscription is known here"
        clock.advance(days=31)
        await worker.drain()
        await send(client, path(merchant), *webhook())
        assert len(jobs(merchant)) == 1


def test_old_webhooks_are_forgotten_in_bites(merchant: Merchant, clock: FakeClock) -> None:
    def remember(db: Any) -> None:
        for number in range(5):
            assert queries.remember_event(
                db, app_id=merchant.app_id, event_sha256=str(number), expires_at=clock.now()
            )

    merchant.database.write_sync(remember)
    forgotten = [
        merchant.database.write_sync(queries.forget_events, now=clock.now(), limit=3) for _ in range(3)
    ]
    assert forgotten == [3, 2, 0]
