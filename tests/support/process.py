"""Leavewell in a process of its own, to be killed: `python -m tests.support.process serve|worker`."""

import asyncio
import os
import sys

import uvicorn

from app.main import create_app, run_worker
from app.settings import Settings


def main(what: str) -> None:
    settings = Settings.from_env(os.environ)
    if what == "serve":
        app = create_app(settings)
        uvicorn.run(app, host=settings.host, port=settings.port, log_config=None, lifespan="on")
    else:
        asyncio.run(run_worker(settings))


if __name__ == "__main__":
    main(sys.argv[1])
