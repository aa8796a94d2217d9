"""A vendor's library takes a part of a second to import. Nobody who is served meanwhile notices, and a server whose
merchants have other vendors does not keep it."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.adapters.billing.registry import PROVIDERS
from app.connections import queries
from app.db.database import Database
from tests.connections.conftest import Process
from tests.support import databases, watched_imports
from tests.support import office as offices
from tests.support.clock import FakeClock
from tests.support.merchant import Merchant, open_merchant
from tests.support.office import Office
from tests.support.pages import FROM_A_PAGE, new_client

WAIT_S = 10
BEFORE_IT_IS_THERE = """
from tests.connections.test_loading import GATES
gate = GATES[__name__]
gate.has_begun.set()
assert gate.may_end.wait(10), "nobody else was served meanwhile"
from tests.support.office import connect
"""


@dataclass
class Gate:
    """Where a library stands while it is imported."""

    has_begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)


GATES: dict[str, Gate] = {}


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, office: Office) -> Gate:
    """A vendor `slow`, whose library is not there before its gate is opened; else he is the office."""
    name = f"slow_vendor_{len(GATES)}"
    (tmp_path / f"{name}.py").write_text(BEFORE_IT_IS_THERE)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(PROVIDERS, dict)
    monkeypatch.setitem(PROVIDERS, "slow", replace(offices.KIND, name="slow", module=name))
    GATES[name] = Gate()
    return GATES[name]


async def link(client: httpx.AsyncClient, merchant: Merchant) -> httpx.Response:
    return await client.get(merchant.mint("cus_ben"), headers=FROM_A_PAGE)


async def entry(client: httpx.AsyncClient, merchant: Merchant) -> httpx.Response:
    return await client.get(f"/cancel/{merchant.app_id}")


async def request(client: httpx.AsyncClient, merchant: Merchant) -> httpx.Response:
    return await client.get(f"/cancel/r/{merchant.app_id}")


async def webhook(client: httpx.AsyncClient, merchant: Merchant) -> httpx.Response:
    body, headers = offices.webhook()
    return await client.post(f"/hooks/slow/{merchant.app_id}", content=body, headers=dict(headers))


async def challenge(client: httpx.AsyncClient, merchant: Merchant) -> httpx.Response:
    return await client.get(f"/hooks/slow/{merchant.app_id}")


@pytest.mark.parametrize(
    ("door", "status"), [(link, 200), (entry, 200), (request, 200), (webhook, 200), (challenge, 400)]
)
async def test_others_are_served_while_a_library_is_imported(
    merchant: Merchant, process: Process, slow: Gate, door: Callable[..., Any], status: int
) -> None:
    app = merchant.app(mailer=NoMailer())
    async with app.lifespan(), new_client(app) as client, new_client(app) as other:
        sealed = process.vault.seal(json.dumps(offices.config()))
        merchant.change(
            provider="slow", provider_config=sealed
        )  # by another process, after this one has started
        first = asyncio.create_task(door(client, merchant))
        assert await asyncio.to_thread(slow.has_begun.wait, WAIT_S)
        assert (await other.get("/healthz")).status_code == 200
        assert not first.done()
        slow.may_end.set()
        assert (await first).status_code == status


async def test_a_server_starts_with_the_libraries_of_its_merchants(
    merchant: Merchant, process: Process, slow: Gate
) -> None:
    """So that no customer has to wait for one; and in a thread, for a worker of the process may be at it."""
    sealed = process.vault.seal(json.dumps(offices.config()))
    merchant.change(provider="slow", provider_config=sealed)
    app = merchant.app()

    async def start() -> None:
        async with app.lifespan():
            pass

    starting = asyncio.create_task(start())
    assert await asyncio.to_thread(slow.has_begun.wait, WAIT_S)
    slow.may_end.set()
    await starting


def test_what_is_not_connected_is_not_loaded(database: Database, clock: FakeClock) -> None:
    assert database.read_sync(queries.list_connected_providers) == []
    merchant = open_merchant(database, clock)
    assert database.read_sync(queries.list_connected_providers) == ["demo"]
    merchant.change(provider_config=None)
    assert database.read_sync(queries.list_connected_providers) == []


class NoMailer:
    async def send(self, *_: object) -> None:
        raise AssertionError("nothing is mailed here")


# --- The real ones, each in a process that has not imported it yet ----------------------------------------------


def watched(run_folder: Path, folder: Path, at_start: str, later: str) -> dict[str, Any]:
    url = databases.fresh_sqlite(run_folder, folder)
    command = [sys.executable, "-m", watched_imports.__name__, url, at_start, later]
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize(("at_start", "later"), [("stripe", "braintree"), ("braintree", "stripe")])
def test_no_vendors_library_is_imported_on_the_event_loop(
    run_folder: Path, tmp_path: Path, at_start: str, later: str
) -> None:
    told = watched(run_folder, tmp_path, at_start, later)
    assert told["at_start"] == {at_start: "another thread"}
    assert told["at_end"] == {at_start: "another thread", later: "another thread"}


def test_a_server_without_those_vendors_has_none_of_it(run_folder: Path, tmp_path: Path) -> None:
    assert watched(run_folder, tmp_path, "demo", "demo") == {"at_start": {}, "at_end": {}}
