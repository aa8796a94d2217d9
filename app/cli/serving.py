"""serve, worker, migrate, secret: what runs the installation."""

import asyncio
import errno
import secrets
import socket
from typing import Protocol, TypeVar

import click
import uvicorn

from app.adapters.vault import Vault
from app.cli.console import Failed, Workshop, check_schema, pairs, read_settings, remark, say, workshop
from app.db import schema
from app.db.database import Session
from app.main import create_app, run_worker
from app.settings import Settings
from app.setup import sealing
from app.setup.sealing import ResealedBatch

BACKLOG = 2048
LAST_REQUESTS_S = 10  # how long a stopping server lets its requests finish

Place = TypeVar("Place")


class ResealBatch(Protocol[Place]):
    """One unit of work of resealing, from behind a place on."""

    def __call__(self, db: Session, vault: Vault, *, after: Place | None = None) -> ResealedBatch[Place]: ...


@click.command()
@click.option("--migrate", "migrates", is_flag=True, help="Bring the database to this version first.")
def serve(migrates: bool) -> None:
    """Serve customers and the API, at HOST and PORT."""
    settings = read_settings()
    if migrates:
        schema.upgrade(settings.database_url)
    check_schema(settings)
    _warn(settings)
    listeners = _listen(settings.host, settings.port)
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
    server.run(sockets=listeners)
    if not server.started:
        raise SystemExit(1)


def _warn(settings: Settings) -> None:
    """What works without it, but not as customers would wish."""
    if settings.smtp is None:
        remark(
            "SMTP_URL is not set, so no mail leaves: who has no link can only leave a request, and nobody gets a "
            "receipt by mail."
        )


def _listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address of the host; says so where that cannot be."""
    listeners = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        ):
            # Named as TCP, or the event loop leaves Nagle's algorithm on: 40 ms an answer.
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
    except OSError as problem:
        for listener in listeners:
            listener.close()
        if problem.errno == errno.EADDRINUSE:
            raise Failed(
                f"Port {port} of {host} is in use. Stop what uses it, or choose another PORT."
            ) from None
        raise Failed(f"Cannot listen on {host}:{port}: {problem.strerror}. Check HOST and PORT.") from None
    return listeners


@click.command(short_help="Do the background work, apart from the server.")
def worker() -> None:
    """Do the background work, apart from the server (LEAVEWELL_WORKER=none there)."""
    settings = read_settings()
    check_schema(settings)
    _warn(settings)
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


@click.group(invoke_without_command=True)
@click.pass_context
def secret(context: click.Context) -> None:
    """Print a new secret for LEAVEWELL_SECRET."""
    if context.invoked_subcommand is None:
        say(secrets.token_urlsafe(48))


@secret.command()
def reseal() -> None:
    """Encrypt what is stored with the first secret of LEAVEWELL_SECRET."""
    with workshop() as at:
        done = at.database.write_sync(sealing.reseal, at.vault)
        answers, lost_answers = _in_batches(at, sealing.reseal_answers)
        mails, lost_mails = _in_batches(at, sealing.reseal_mails)
        codes, lost_codes = _in_batches(at, sealing.reseal_verifications)
    pairs(
        [
            ("API keys", done.api_keys),
            ("connection secrets", done.connections),
            ("webhook secrets", done.webhook_secrets),
            ("receipt keys", done.receipt_keys),
            ("kept answers", answers),
            ("owed mails", mails),
            ("codes", codes),
        ]
    )
    if lost_mails:
        remark(f"{lost_mails} owed mails open with none of the secrets. They will not be sent.")
    if done.lost_receipt_keys:
        remark(
            f"{done.lost_receipt_keys} receipt keys open with none of the secrets. They sign nothing any more; "
            "what they signed stays valid."
        )
    if lost_answers:
        remark(
            f"{lost_answers} kept answers open with none of the secrets. They are forgotten within 24 hours."
        )
    if lost_codes:
        remark(
            f"{lost_codes} codes open with none of the secrets. Who waits for one has to ask for another; "
            "they are forgotten within 24 hours."
        )


def _in_batches(at: Workshop, reseal_batch: ResealBatch[Place]) -> tuple[int, int]:
    """How many were encrypted anew, and how many no secret opens."""
    resealed = unreadable = 0
    last: Place | None = None
    while True:
        batch = at.database.write_sync(reseal_batch, at.vault, after=last)
        resealed, unreadable, last = resealed + batch.resealed, unreadable + batch.unreadable, batch.last
        if last is None:
            return resealed, unreadable
