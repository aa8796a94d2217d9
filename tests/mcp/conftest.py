"""A model's two ways in: a process of its own over stdio, and a server over HTTP."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.accounts.service import Scope
from app.insights.mcp.serving import http_app
from app.main import make_ports
from app.settings import Network
from tests.privacy.conftest import Bureau, billing_server, bureau
from tests.support import server
from tests.support.apps import SECRET

__all__ = ["billing_server", "bureau"]

ROOT = Path(__file__).parents[2]
PII = (Scope.SESSIONS, Scope.SESSIONS_PII, Scope.FLOWS)
PLAIN = (Scope.SESSIONS, Scope.FLOWS)

Asking = Callable[..., AbstractAsyncContextManager[Client]]


@dataclass
class Asked:
    """What a tool answered."""

    is_error: bool
    data: dict[str, Any]
    text: str


async def call(client: Client, tool: str, **arguments: Any) -> Asked:
    result = await client.call_tool(tool, arguments)
    text = "".join(block.text for block in result.content if block.type == "text")
    return Asked(bool(result.is_error), dict(result.structured_content or {}), text)


def key(bureau: Bureau, *scopes: Scope) -> str:
    return bureau.database.write_sync(
        accounts.create_data_key,
        bureau.desk.ports.vault,
        app_id=bureau.desk.merchant.app_id,
        scopes=scopes,
        now=bureau.desk.clock.now(),
    ).secret


def another_merchants(bureau: Bureau) -> tuple[str, str]:
    """The App ID and a data key of an organization without a flow."""
    organization_id, now = bureau.another_organization(), bureau.desk.clock.now()
    app_id = bureau.database.read_sync(accounts_queries.list_environments, organization_id)[0].app_id
    made = bureau.database.write_sync(
        accounts.create_data_key, bureau.desk.ports.vault, app_id=app_id, scopes=PII, now=now
    )
    return app_id, made.secret


def revoke_data_keys(bureau: Bureau) -> None:
    app_id = bureau.desk.merchant.app_id
    for one in bureau.database.read_sync(accounts_queries.list_keys, app_id, kind="data"):
        bureau.database.write_sync(
            accounts.revoke_key, app_id=app_id, key_id=one.id, now=bureau.desk.clock.now()
        )


@pytest.fixture
def over_stdio(bureau: Bureau) -> Asking:
    """`leavewell mcp APP_ID` in a process of its own."""

    @asynccontextmanager
    async def asking(*scopes: Scope, data_key: str | None = None) -> AsyncIterator[Client]:
        program = "import sys; from app.cli import main; sys.argv[0] = 'leavewell'; main()"
        described = StdioServerParameters(
            command=sys.executable,
            args=["-c", program, "mcp", bureau.desk.merchant.app_id],
            cwd=ROOT,
            env={
                "DATABASE_URL": bureau.database.url.render_as_string(hide_password=False),
                "LEAVEWELL_SECRET": SECRET,
                "LEAVEWELL_DEMO": "1",  # any secret is good enough
                "LEAVEWELL_DATA_KEY": data_key or key(bureau, *scopes),
            },
        )
        async with Client(described, read_timeout_seconds=30) as client:
            yield client

    return asking


@pytest.fixture
def mcp_url(bureau: Bureau) -> Iterator[str]:
    with server.served(http_app(bureau.desk.ports)) as url:
        yield f"{url}/mcp"


@contextmanager
def strict(bureau: Bureau, *trusted: Network) -> Iterator[str]:
    """A server that lets three wrong keys a minute through, and believes these proxies."""
    settings = replace(bureau.desk.ports.settings, trusted_proxies=trusted, api_rate=3)
    ports = make_ports(
        settings, database=bureau.database, clock=bureau.desk.clock, http=bureau.desk.ports.http
    )
    with server.served(http_app(ports)) as url:
        yield f"{url}/mcp"


@pytest.fixture
def over_http(bureau: Bureau, mcp_url: str) -> Asking:
    @asynccontextmanager
    async def asking(
        *scopes: Scope, data_key: str | None = None, app_id: str | None = None
    ) -> AsyncIterator[Client]:
        headers = {
            "x-ck-app": app_id or bureau.desk.merchant.app_id,
            "x-ck-api-key": data_key or key(bureau, *scopes),
        }
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(mcp_url, http_client=http)) as client,
        ):
            yield client

    return asking


@pytest.fixture(params=["stdio", "http"])
def asking(request: pytest.FixtureRequest, bureau: Bureau) -> Asking:
    """Either way."""
    found: Asking = request.getfixturevalue(f"over_{request.param}")
    return found
