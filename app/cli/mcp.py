"""mcp: lets a model read what happened, over the Model Context Protocol."""

import asyncio
import importlib
import os
from typing import Any, Final

import click
import uvicorn

from app.accounts import service as accounts
from app.cli.console import Failed, check_schema, read_settings, read_text, remark
from app.main import make_ports
from app.web.deps import Ports

KEY_VARIABLE: Final = "LEAVEWELL_DATA_KEY"
LAST_REQUESTS_S: Final = 10


@click.command(short_help="Serve the Model Context Protocol, read-only.")
@click.argument("app_id", required=False)
@click.option("--key-file", type=click.Path(), help=f"A file with the data key, in place of {KEY_VARIABLE}.")
@click.option(
    "--http", metavar="HOST:PORT", help="Serve streamable HTTP at /mcp; each request has its own key."
)
def mcp(app_id: str | None, key_file: str | None, http: str | None) -> None:
    """Let a model read sessions, counts and flows of one environment; it can change nothing.

    Over standard input and output for APP_ID, with a data key from LEAVEWELL_DATA_KEY or a file. Or with --http, for
    whoever sends `x-ck-app` and `x-ck-api-key`. Scopes are those of the Data API: without sessions.read_pii there are
    no addresses and no free text.
    """
    if (app_id is None) is (http is None):
        raise click.UsageError("Give an APP_ID, or --http HOST:PORT.")
    settings = read_settings()
    check_schema(settings)
    serving = _load()
    ports = make_ports(settings)
    if http is not None:
        host, port = _place(http)
        remark(f"Serving MCP at http://{http}/mcp.")
        asyncio.run(_serve_http(serving, ports, host, port))
        return
    key = read_text(key_file).strip() if key_file else os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise Failed(
            f"No data key: set {KEY_VARIABLE}, or give --key-file. `leavewell keys create --data` makes one."
        )
    asyncio.run(_serve_stdio(serving, ports, accounts.credentials(app_id or "", key)))


def _load() -> Any:
    # Imported here: the library is as large as all the rest, and nothing else needs it.
    return importlib.import_module("app.insights.mcp.serving")


async def _serve_stdio(serving: Any, ports: Ports, credentials: accounts.Credentials) -> None:
    try:
        await ports.database.connect()
        await serving.serve_stdio(ports, credentials)
    finally:
        await ports.http.aclose()
        await ports.database.close()


async def _serve_http(serving: Any, ports: Ports, host: str, port: int) -> None:
    try:
        await ports.database.connect()
        config = uvicorn.Config(
            serving.http_app(ports),
            host=host,
            port=port,
            lifespan="on",
            log_config=None,  # ours has no keys in it
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=LAST_REQUESTS_S,
        )
        await uvicorn.Server(config).serve()
    finally:
        await ports.http.aclose()
        await ports.database.close()


def _place(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise click.UsageError("--http must be HOST:PORT, such as 127.0.0.1:8090.")
    return host.strip("[]"), int(port)
