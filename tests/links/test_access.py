"""Who may ask: every way of being wrong gets the same answer, and nobody sees another's links."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event

from app.accounts import service as accounts
from app.adapters.vault import Vault
from app.db.database import Database
from app.db.tables.accounts import ApiKey
from tests.support.backend import LINKS, Backend, Backends, serving
from tests.support.clock import FakeClock


async def ask(backend: Backend, body: Any = None, **headers: str) -> httpx.Response:
    """Mint with some headers changed; "" leaves one out."""
    sent = {**backend.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    sent = {name: value for name, value in sent.items() if value}
    return await backend.client.post(LINKS, json=backend.body() if body is None else body, headers=sent)


def strangers(backends: Backends) -> list[dict[str, str]]:
    """Every way of being wrong."""
    return [
        {"x_ck_app": ""},
        {"x_ck_api_key": ""},
        {"x_ck_app": "", "x_ck_api_key": ""},
        {"x_ck_app": "app_test_unknown"},
        {"x_ck_app": backends.live.app_id},
        {"x_ck_app": "a\x7fb"},
        {"x_ck_api_key": "test_unknown"},
        {"x_ck_api_key": backends.live.api_key},
        {"x_ck_api_key": backends.test.api_key.upper()},
        {"x_ck_api_key": f"{backends.test.api_key}x"},
        {"x_ck_api_key": "x" * 5000},
    ]


@contextmanager
def noted_statements() -> Iterator[list[str]]:
    """Every statement about rows that any database runs meanwhile."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def test_every_way_of_being_wrong_is_the_same_401_after_the_same_query(backends: Backends) -> None:
    seen = set()
    for stranger in strangers(backends):
        with noted_statements() as statements:
            answer = await ask(backends.test, **stranger)
        assert answer.status_code == 401, stranger
        seen.add((answer.text, *statements))
    assert len(seen) == 1


async def test_a_stranger_with_a_bad_body_learns_nothing_of_it(backends: Backends) -> None:
    for stranger in strangers(backends):
        assert (await ask(backends.test, {"surprise": 1}, **stranger)).status_code == 401


async def test_every_address_asks_who_it_is(backends: Backends) -> None:
    link_id = (await backends.test.minted())["id"]
    client = backends.test.client
    for answer in (
        await client.get(LINKS),
        await client.get(f"{LINKS}?limit=nonsense"),
        await client.get(f"{LINKS}/{link_id}"),
        await client.post(f"{LINKS}/{link_id}/revoke"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_a_revoked_key_stops_working_and_the_other_goes_on(backends: Backends) -> None:
    backend = backends.test
    database, now = backend.database, backend.clock.now()
    second = database.write_sync(
        accounts.create_key, Vault(backend.settings.secrets), app_id=backend.app_id, now=now
    )
    database.write_sync(accounts.revoke_key, app_id=backend.app_id, key_id=backend.key_id, now=now)
    assert (await ask(backend)).status_code == 401
    assert (await ask(backend, x_ck_api_key=second.secret)).status_code == 201


async def test_another_environments_link_is_not_found(backends: Backends) -> None:
    link_id = (await backends.live.minted())["id"]
    for answer in (await backends.test.get(f"/{link_id}"), await backends.test.revoke(link_id)):
        assert (answer.status_code, answer.json()["code"]) == (404, "link_not_found")
    assert (await backends.test.get()).json()["data"] == []
    assert (await backends.live.get(f"/{link_id}")).json()["status"] == "active"


async def test_the_use_of_a_key_is_noted_once_a_minute(backends: Backends) -> None:
    backend = backends.test

    def used_at() -> object:
        return backend.database.read_sync(lambda db: db.get_one(ApiKey, backend.key_id).last_used_at)

    first = backend.clock.now()
    await backend.minted()
    assert used_at() == first
    backend.clock.advance(seconds=59)
    with noted_statements() as statements:
        await backend.minted()
    assert used_at() == first
    assert not any(statement.startswith("UPDATE") for statement in statements)
    backend.clock.advance(seconds=2)
    await backend.get()
    assert used_at() == backend.clock.now()


async def test_who_asks_too_often_is_told_when_to_come_back(database: Database, clock: FakeClock) -> None:
    async with serving(database, clock, api_rate=3) as backends:
        for _ in range(3):
            await backends.test.minted()
        refused = await backends.test.mint()
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == "20"
        assert (await backends.test.get()).status_code == 200
        assert (await backends.live.mint()).status_code == 201
        clock.advance(seconds=20)
        await backends.test.minted()


async def test_who_guesses_keys_is_stopped_before_anything_is_looked_up(
    database: Database, clock: FakeClock
) -> None:
    async with serving(database, clock, api_rate=60) as backends:
        assert (await backends.test.mint()).status_code == 201  # known from here on
        for number in range(60):
            assert (await ask(backends.test, x_ck_api_key=f"test_guess_{number}")).status_code == 401
        with noted_statements() as statements:
            refused = await ask(backends.test, x_ck_api_key="test_guess_again")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == "1"
        assert statements == []
        assert (await backends.test.mint()).status_code == 201
        assert (await backends.test.get()).status_code == 200
        # Right, but new here: it waits with the strangers.
        assert (await backends.live.mint()).status_code == 429
        clock.advance(seconds=1)
        assert (await backends.live.mint()).status_code == 201
        assert (await backends.live.mint()).status_code == 201


async def test_guesses_are_counted_by_the_address_that_a_trusted_proxy_names(
    database: Database, clock: FakeClock
) -> None:
    async with serving(database, clock, api_rate=60, trusted_proxies=(ip_network("127.0.0.1"),)) as backends:
        for number in range(60):
            guess = {"x_ck_api_key": f"test_guess_{number}", "x_forwarded_for": f"2001:db8::{number:x}"}
            assert (await ask(backends.test, **guess)).status_code == 401
        assert (await ask(backends.test, x_forwarded_for="2001:db8::beef")).status_code == 429
        assert (await ask(backends.test, x_forwarded_for="2001:db8:0:1::1")).status_code == 201
        assert (await ask(backends.test, x_forwarded_for="2001:db8::beef")).status_code == 201


async def test_a_key_that_is_revoked_is_a_strangers_from_then_on(
    database: Database, clock: FakeClock
) -> None:
    async with serving(database, clock, api_rate=60) as backends:
        backend = backends.test
        await backend.minted()
        database.write_sync(
            accounts.revoke_key, app_id=backend.app_id, key_id=backend.key_id, now=clock.now()
        )
        clock.advance(seconds=1)
        assert [(await backend.mint()).status_code for _ in range(61)] == [401] * 60 + [429]


async def test_a_stranger_does_not_get_the_one_writer(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    link_id = (await backends.live.minted())["id"]

    async def write(*given: object, **named: object) -> None:
        raise AssertionError

    monkeypatch.setattr(backends.test.database, "write", write)
    for stranger in strangers(backends):
        assert (await ask(backends.test, **stranger)).status_code == 401
    assert (await backends.test.client.post(f"{LINKS}/{link_id}/revoke")).status_code == 401
