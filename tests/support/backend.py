"""A merchant's backend at the API: an organization with keys in both environments, and a client that sends them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.adapters.vault import Vault
from app.core.calendar import iso
from app.db.database import Database
from app.main import create_app
from app.settings import Settings, WorkerPlace
from app.setup import service as setup
from tests.support.apps import make_settings
from tests.support.clock import FakeClock
from tests.support.pages import new_client

LINKS = "/v1/cancel-sessions"
RETURN_URL = "https://app.example.com/billing"


@dataclass(frozen=True)
class Backend:
    """One environment's backend. `live` and `test` share the client and the database."""

    client: httpx.AsyncClient
    database: Database
    settings: Settings
    clock: FakeClock
    app_id: str
    api_key: str
    key_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"x-ck-app": self.app_id, "x-ck-api-key": self.api_key}

    def body(self, **changes: Any) -> dict[str, Any]:
        """A mint request's body that is fine; None leaves a field out."""
        body = {"customerId": "cus_1", "expiresAt": iso(self.clock.now() + timedelta(hours=1)), **changes}
        return {name: value for name, value in body.items() if value is not None}

    async def mint(self, *, key: str | None = None, **changes: Any) -> httpx.Response:
        """Ask for a link; `key` is an Idempotency-Key."""
        extra = {} if key is None else {"idempotency-key": key}
        return await self.client.post(LINKS, json=self.body(**changes), headers={**self.headers, **extra})

    async def minted(self, **changes: Any) -> dict[str, Any]:
        answer = await self.mint(**changes)
        assert answer.status_code == 201, answer.text
        link: dict[str, Any] = answer.json()
        return link

    async def get(self, path: str = "", **params: Any) -> httpx.Response:
        return await self.client.get(LINKS + path, params=params, headers=self.headers)

    async def revoke(self, link_id: str) -> httpx.Response:
        return await self.client.post(f"{LINKS}/{link_id}/revoke", headers=self.headers)


@dataclass(frozen=True)
class Backends:
    live: Backend
    test: Backend


def provisioned(
    database: Database, settings: Settings, clock: FakeClock, *, name: str = "Acme"
) -> Mapping[str, tuple[str, accounts.NewKey]]:
    """An organization with a key and a return URL in each environment: App ID and key by mode."""
    vault, now = Vault(settings.secrets), clock.now()
    organization = database.write_sync(setup.create_organization, name=name, now=now)
    found = {}
    for environment in database.read_sync(accounts_queries.list_environments, organization.id):
        app_id = environment.app_id
        database.write_sync(setup.set_return_url, app_id=app_id, url=RETURN_URL, allowed=())
        found[environment.mode] = (
            app_id,
            database.write_sync(accounts.create_key, vault, app_id=app_id, now=now),
        )
    return found


@asynccontextmanager
async def serving(database: Database, clock: FakeClock, **changes: Any) -> AsyncIterator[Backends]:
    """The application over that database, and the backends of one organization."""
    url = database.url.render_as_string(hide_password=False)
    settings = replace(make_settings(url, worker=WorkerPlace.NONE), **changes)
    keys = provisioned(database, settings, clock)
    app = create_app(settings, database=database, clock=clock)
    async with app.lifespan(), new_client(app) as client:
        live, test = (
            Backend(client, database, settings, clock, app_id, key.secret, key.id)
            for app_id, key in (keys["live"], keys["test"])
        )
        yield Backends(live, test)
