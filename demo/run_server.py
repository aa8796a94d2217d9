"""Serves Leavewell with the shop under /demo, in one process, and says when both answer."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

import httpx
import uvicorn
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.adapters.vault import Vault
from app.db import schema
from app.db.database import Database
from app.main import create_app
from app.settings import Settings, SettingsError
from app.web.edge import has_large_head, refuse_head
from demo import simulated
from demo.customers import CUSTOMERS
from demo.mailbox import Mailbox
from demo.provision import Merchant, provision
from demo.run import HOST, Billing, CannotStart, MerchantSecrets, Options, write_atomically
from demo.shop.app import create_shop
from demo.shop.config import MODES, Keys, Mode, ShopConfig

_SHOP: Final = "/demo"
_POLL_S: Final = 0.02
_LAST_REQUESTS_S: Final = 5

Announce = Callable[[], None]


def serve(
    options: Options,
    *,
    listener: socket.socket,
    billing: Billing,
    merchant_secrets: MerchantSecrets,
    announce: Announce,
) -> None:
    """Set up, serve until a signal comes, and call `announce` once customers can be served. Raises CannotStart."""
    settings = _settings(options)
    mailbox = None if settings.smtp else Mailbox(options.folder / "mail")
    leavewell = create_app(
        settings, mailer=mailbox
    )  # first, for it sets up the log; it opens nothing before it is served
    merchant = Merchant(
        origins=(options.url, f"http://localhost:{options.port}"),
        provider=options.provider,
        billing=billing,
        secrets=merchant_secrets,
        simulated=asyncio.run(simulated.ask(billing)) if options.vendor else None,
    )
    keys = asyncio.run(_set_up(settings, merchant))
    shop = create_shop(
        ShopConfig(
            origins=merchant.origins,
            leavewell_url=settings.base_url,
            billing_url=billing.url,
            billing_key=billing.key,
            cookie_secret=merchant_secrets.text("cookie"),
            keys=keys,
            action_secrets={mode: merchant.action_secret(mode) for mode in MODES},
            sends_billing_data=options.provider == "direct",
            provider=options.provider,
            names=merchant.simulated.names if merchant.simulated else {},
            mail=mailbox or (settings.smtp.host if settings.smtp else ""),
        )
    )
    doors = HeldUntilReady(Doors(leavewell, shop))
    server = uvicorn.Server(
        uvicorn.Config(
            doors,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_REQUESTS_S,
        )
    )

    async def run() -> None:
        async def open_up() -> None:
            await _answers_at_home(server, leavewell)
            _write_envs(options, billing, keys)
            doors.open()
            await _answers_at(f"{billing.api_url or billing.url}/healthz")
            announce()

        ready = asyncio.create_task(open_up())
        try:
            await server.serve(sockets=[listener])
        finally:
            ready.cancel()

    asyncio.run(run())


class Doors:
    """Two applications behind one port: what is at or under /demo is the shop's, everything else Leavewell's."""

    def __init__(self, leavewell: ASGIApp, shop: ASGIApp) -> None:
        self._leavewell = leavewell
        self._shop = shop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Each request goes to one of them unchanged, unless its head is endless; start and stop are Leavewell's."""
        path = scope.get("path", "")
        is_shop = path == _SHOP or path.startswith(f"{_SHOP}/")
        if is_shop and scope["type"] == ScopeType.HTTP and has_large_head(scope):
            await refuse_head(scope, receive, send)  # the shop reads cookies in quadratic time
        else:
            await (self._shop if is_shop else self._leavewell)(scope, receive, send)


class HeldUntilReady:
    """Keeps early requests waiting until `open`, so that whoever got an answer finds demo.env written."""

    def __init__(self, behind: ASGIApp) -> None:
        self._behind = behind
        self._ready = asyncio.Event()

    def open(self) -> None:
        """Let them in."""
        self._ready.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and stop go through at once."""
        if scope["type"] == ScopeType.HTTP:
            await self._ready.wait()
        await self._behind(scope, receive, send)


def _settings(options: Options) -> Settings:
    """The environment's settings, with the demo's own where it has to insist. Raises CannotStart."""
    database = (options.folder / "leavewell.sqlite3").resolve()
    defaults = {"DATABASE_URL": f"sqlite:///{database}", "LEAVEWELL_LOG_LEVEL": "warning"}
    if not os.environ.get("LEAVEWELL_SECRET"):
        defaults["LEAVEWELL_SECRET_FILE"] = str(options.folder / "secret")
    insisted = {
        "HOST": HOST,
        "PORT": str(options.port),
        "LEAVEWELL_BASE_URL": options.url,
        "LEAVEWELL_DEMO": "1",
        "LEAVEWELL_ALLOWED_NETWORKS": f"{HOST}/32 {os.environ.get('LEAVEWELL_ALLOWED_NETWORKS', '')}".strip(),
    }
    given = {name: value for name, value in os.environ.items() if value}
    try:
        return Settings.from_env({**defaults, **given, **insisted})
    except SettingsError as problem:
        raise CannotStart(str(problem)) from None


async def _set_up(settings: Settings, merchant: Merchant) -> Mapping[Mode, Keys]:
    await asyncio.to_thread(schema.upgrade, settings.database_url)
    database = Database(settings.database_url)
    http = OutboundHttp(settings.allowed_networks)
    try:
        await database.connect()
        vault = Vault(settings.secrets)
        return await database.write(
            provision,
            merchant,
            vault=vault,
            http=http,
            clock=SystemClock(),
            allowed=settings.allowed_networks,
        )
    finally:
        await http.aclose()
        await database.close()


async def _answers_at_home(server: uvicorn.Server, leavewell: ASGIApp) -> None:
    """Return once Leavewell can serve; asked behind the doors, for they are still closed."""
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(_POLL_S)
    inside = httpx.ASGITransport(app=leavewell)  # type: ignore[arg-type]  # Litestar's types are narrower
    await _answers_at(f"http://{HOST}/healthz", inside)


async def _answers_at(url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
    """Return once the address answers with 200."""
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        while not await _answers(http, url):  # noqa: ASYNC110 - what is waited for may be another process
            await asyncio.sleep(_POLL_S)


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


def _write_envs(options: Options, billing: Billing, keys: Mapping[Mode, Keys]) -> None:
    write_atomically(
        options.folder / "billing.env", {"DEMO_BILLING_URL": billing.url, "DEMO_BILLING_KEY": billing.key}
    )
    write_atomically(
        options.folder / "demo.env",
        {
            "LEAVEWELL_URL": options.url,
            "LEAVEWELL_APP_ID": keys["test"].app_id,
            "LEAVEWELL_API_KEY": keys["test"].api_key,
            "LEAVEWELL_LIVE_APP_ID": keys["live"].app_id,
            "LEAVEWELL_LIVE_API_KEY": keys["live"].api_key,
            "LEAVEWELL_DEMO_CUSTOMERS": ",".join(customer.id for customer in CUSTOMERS),
        },
    )
