"""Leavewell in a process of its own, to be killed: `python -m tests.support.process serve|worker`."""

import asyncio
import os
import sys

import uvicorn
from jinja2 import FileSystemLoader

from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.db.database import Database
from app.main import ROOT, create_app, worker_of
from app.settings import Settings
from app.web.assets import Assets
from app.web.deps import Ports
from app.web.render import Renderer


def main(what: str) -> None:
    settings = Settings.from_env(os.environ)
    if what == "serve":
        app = create_app(settings)
        uvicorn.run(app, host=settings.host, port=settings.port, log_config=None, lifespan="on")
    else:
        asyncio.run(work(settings))


async def work(settings: Settings) -> None:
    assets = Assets(ROOT / "static")
    with Database(settings.database_url) as database:
        ports = Ports(
            settings=settings,
            database=database,
            clock=SystemClock(),
            signer=Signer(settings.secrets),
            vault=Vault(settings.secrets),
            http=OutboundHttp(settings.allowed_networks),
            renderer=Renderer(FileSystemLoader(ROOT / "templates"), assets),
            assets=assets,
        )
        await worker_of(ports).run()


if __name__ == "__main__":
    main(sys.argv[1])
