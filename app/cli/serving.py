"""serve, worker, migrate, secret: what runs the installation."""

import asyncio
import secrets

import click
import uvicorn

from app.cli.console import check_schema, read_settings, remark, say
from app.db import schema
from app.main import create_app, run_worker

LAST_REQUESTS_S = 10  # how long a stopping server lets its requests finish


@click.command()
@click.option("--migrate", "migrates", is_flag=True, help="Bring the database to this version first.")
def serve(migrates: bool) -> None:
    """Serve customers and the API, at HOST and PORT."""
    settings = read_settings()
    if migrates:
        schema.upgrade(settings.database_url)
    check_schema(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            lifespan="on",
            log_config=None,  # ours has no tokens in it
            access_log=False,
            server_header=False,
            proxy_headers=False,  # LEAVEWELL_TRUSTED_PROXIES decides whom to believe
            timeout_graceful_shutdown=LAST_REQUESTS_S,
        )
    )
    remark(f"Leavewell at {settings.base_url}, listening on {settings.host}:{settings.port}")
    server.run()
    if not server.started:
        raise SystemExit(1)


@click.command(short_help="Do the background work, apart from the server.")
def worker() -> None:
    """Do the background work, apart from the server (LEAVEWELL_WORKER=none there)."""
    settings = read_settings()
    check_schema(settings)
    asyncio.run(run_worker(settings))


@click.command()
def migrate() -> None:
    """Make the database's tables, or bring them to this version."""
    settings = read_settings()
    before = schema.current_revision(settings.database_url)
    schema.upgrade(settings.database_url)
    if before == schema.HEAD:
        remark(f"The database is at revision {schema.HEAD} already.")
    else:
        remark(f"The database is at revision {schema.HEAD} now.")


@click.command()
def secret() -> None:
    """Print a new secret for LEAVEWELL_SECRET."""
    say(secrets.token_urlsafe(48))
