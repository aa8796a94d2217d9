"""A merchant's reporting program at the Data API, with a few hundred sessions behind it."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.accounts import service as accounts
from app.accounts.service import Scope
from app.adapters.vault import Vault
from app.db.database import Database
from tests.support import desk as desks
from tests.support import seed_sessions
from tests.support.backend import Backend, Backends, serving
from tests.support.clock import FakeClock
from tests.support.desk import BillingServer, Desk

START = datetime(2025, 9, 1, tzinfo=UTC)
END = datetime(2026, 11, 1, tzinfo=UTC)
EVERYTHING = tuple(Scope)


@dataclass
class Reports:
    """One environment's data key, and what can be asked with it."""

    backend: Backend
    key: accounts.NewKey
    rows: list[dict[str, Any]] = field(default_factory=list)  # what is there, oldest first

    @property
    def client(self) -> httpx.AsyncClient:
        return self.backend.client

    @property
    def headers(self) -> dict[str, str]:
        return {"x-ck-app": self.backend.app_id, "x-ck-api-key": self.key.secret}

    def with_key(self, *scopes: Scope) -> "Reports":
        return Reports(self.backend, new_key(self.backend, *scopes), self.rows)

    async def ask(
        self,
        path: str,
        params: Sequence[tuple[str, str]] = (),
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        answer = await self.client.get(
            f"/v1/data/{path}", params=list(params), headers={**self.headers, **(headers or {})}
        )
        assert answer.status_code == status, answer.text
        return answer

    async def sessions(self, *params: tuple[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask("sessions", params)).json()["data"]
        return found

    async def ids(self, *params: tuple[str, str]) -> list[str]:
        return [one["_id"] for one in await self.sessions(*params)]

    async def counts(self, *params: tuple[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask("session-aggregation", params)).json()["data"]
        return found

    def add(self, count: int, *, seed: int = 1, start: datetime = START, end: datetime = END) -> None:
        """More sessions, as the seeding command makes them."""
        shop = self.backend.database.read_sync(seed_sessions.shop_of, self.backend.app_id)
        made = list(
            seed_sessions.sessions(
                shop, start=start, end=end, count=count, seed=seed, prefix=f"{shop.mode}{seed}"
            )
        )
        seed_sessions.insert(self.backend.database.url.render_as_string(hide_password=False), made)
        self.rows += made

    def told(self, *, bounced: bool = False) -> list[dict[str, Any]]:
        """The rows with their records, newest first; without the bounced ones, unless asked for."""
        found = [row for row in self.rows if bounced or not row["is_bounced"]]
        found.sort(key=lambda row: (row["created_at"], row["session_id"]), reverse=True)
        return [{**row, "record": json.loads(row["record"])} for row in found]


def new_key(backend: Backend, *scopes: Scope) -> accounts.NewKey:
    return backend.database.write_sync(
        accounts.create_data_key,
        Vault(backend.settings.secrets),
        app_id=backend.app_id,
        scopes=[*scopes],
        now=backend.clock.now(),
    )


@pytest.fixture
async def backends(database: Database, clock: FakeClock) -> AsyncIterator[Backends]:
    async with serving(database, clock, api_rate=100_000) as found:
        yield found


@pytest.fixture
async def reports(backends: Backends) -> Reports:
    """Of the live environment, with every scope and no session yet."""
    return Reports(backends.live, new_key(backends.live, *EVERYTHING))


@pytest.fixture
async def stocked(reports: Reports) -> Reports:
    reports.add(400)
    return reports


@pytest.fixture(scope="session")
def billing_server() -> Iterator[BillingServer]:
    with desks.billing_server() as serving_billing:
        yield serving_billing


@pytest.fixture
async def desk(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> AsyncIterator[Desk]:
    async with desks.desk_of(database, clock, tmp_path, billing_server) as opened:
        yield opened
