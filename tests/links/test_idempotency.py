"""`Idempotency-Key`: however often a request is sent, there is one link and one answer."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import func, select

from app.db.database import Database
from app.db.tables.events import EventRow
from app.db.tables.links import CancelLink, IdempotencyRecord
from app.links import queries
from app.main import create_app
from tests.support.apps import OLD_SECRET
from tests.support.backend import LINKS, Backend, Backends
from tests.support.clock import FakeClock
from tests.support.pages import new_client


def count(backend: Backend, table: type) -> int:
    return backend.database.read_sync(lambda db: db.exec(select(func.count()).select_from(table)).one())


async def test_the_same_key_and_body_get_the_same_answer(backend: Backend) -> None:
    first = await backend.mint(key="order-1")
    backend.clock.advance(hours=23, minutes=59)
    again = await backend.mint(key="order-1", expiresAt="2026-11-21T10:00:00Z")
    assert (again.status_code, again.text) == (201, first.text)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert count(backend, CancelLink) == count(backend, EventRow) == 1


async def test_the_body_is_the_same_however_it_is_written(backend: Backend) -> None:
    first = await backend.mint(key="order-1")
    headers = {**backend.headers, "idempotency-key": "order-1", "content-type": "application/json"}
    body = json.dumps(dict(reversed(backend.body().items())), indent=4)
    assert (await backend.client.post(LINKS, content=body, headers=headers)).text == first.text


async def test_another_body_is_a_conflict(backend: Backend) -> None:
    await backend.mint(key="order-1")
    refused = await backend.mint(key="order-1", customerId="cus_2")
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")
    assert count(backend, CancelLink) == 1


async def test_keys_of_two_environments_do_not_meet(backends: Backends) -> None:
    live, test = await backends.live.mint(key="order-1"), await backends.test.mint(key="order-1")
    assert live.json()["id"] != test.json()["id"]


async def test_after_a_day_the_key_is_free_again(backend: Backend) -> None:
    first = await backend.mint(key="order-1")
    backend.clock.advance(hours=24)
    later = await backend.mint(key="order-1", customerId="cus_2")
    assert later.status_code == 201
    assert later.json()["id"] != first.json()["id"]


async def test_a_refusal_leaves_the_key_free(backend: Backend) -> None:
    assert (await backend.mint(key="order-1", expiresAt="2026-11-21T08:00:00Z")).status_code == 422
    assert (await backend.mint(key="order-1")).status_code == 201


async def test_of_many_at_the_same_instant_one_makes_the_link(backend: Backend) -> None:
    answers = await asyncio.gather(*(backend.mint(key="order-1") for _ in range(12)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert count(backend, CancelLink) == count(backend, EventRow) == 1


async def test_of_many_with_other_bodies_one_wins_and_the_rest_conflict(backend: Backend) -> None:
    answers = await asyncio.gather(
        *(backend.mint(key="order-1", customerId=f"cus_{number}") for number in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    assert count(backend, CancelLink) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "tab\there", "ünicode"])
async def test_a_key_that_is_none_is_named(backend: Backend, key: str) -> None:
    headers = {**backend.headers, "idempotency-key": key.encode()}
    answer = await backend.client.post(LINKS, json=backend.body(), headers=headers)  # type: ignore[arg-type]  # raw bytes
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["Idempotency-Key"]


async def test_two_keys_in_one_request_are_none(backend: Backend) -> None:
    headers = [*backend.headers.items(), ("idempotency-key", "a"), ("idempotency-key", "b")]
    assert (await backend.client.post(LINKS, json=backend.body(), headers=headers)).status_code == 422


async def test_the_kept_answer_is_sealed_and_forgotten_in_time(backend: Backend) -> None:
    told = (await backend.mint(key="order-1")).json()
    [record] = backend.database.read_sync(lambda db: list(db.exec(select(IdempotencyRecord))))
    assert told["token"] not in str(record.model_dump())
    assert "order-1" not in str(record.model_dump())
    later = backend.clock.now() + timedelta(hours=24)
    assert backend.database.write_sync(queries.forget_idempotency, now=later, limit=10) == 1
    assert count(backend, IdempotencyRecord) == 0


async def test_a_kept_answer_that_no_secret_opens_is_a_conflict_and_no_second_link(
    backend: Backend, database: Database, clock: FakeClock
) -> None:
    await backend.mint(key="order-1")
    app = create_app(replace(backend.settings, secrets=(OLD_SECRET,)), database=database, clock=clock)
    async with app.lifespan(), new_client(app) as client:
        refused = await replace(backend, client=client).mint(key="order-1")
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_unreadable")
    assert "new key" in refused.json()["detail"]
    assert count(backend, CancelLink) == 1
