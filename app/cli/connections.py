"""connections: how billing systems fare, and asking one now."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import click

from app.accounts import service as accounts
from app.adapters.billing.registry import PROVIDERS
from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.cli.console import Workshop, pairs, remark, say, table, workshop
from app.connections import inbound, queries
from app.connections import service as connections_service
from app.connections.queries import Connected
from app.core.errors import InvalidInput
from app.db.tables.accounts import Environment
from app.db.tables.connections import Connection
from app.setup import connecting

T = TypeVar("T")


@click.group()
def connections() -> None:
    """Connections to billing systems. `leavewell setup provider` makes and changes them."""


@connections.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--after", default="", help="Only those behind this App ID.")
def list_(limit: int, after: str) -> None:
    """All that are made, in the order of their App IDs."""
    with workshop() as at:
        found = at.database.read_sync(queries.list_connected, limit=limit + 1, after=after)
    page = found[:limit]
    rows = [_row(one, at.now) for one in page]
    table(("APP ID", "ORGANIZATION", "PROVIDER", "ACCOUNT", "HEALTH"), rows, "No billing is connected.")
    if len(found) > len(page):
        remark(f"More: --after {page[-1].environment.app_id}")


@connections.command()
@click.argument("app_id")
def show(app_id: str) -> None:
    """Who is at the other end, how it fares, and what it can do."""
    with workshop() as at:
        environment = at.database.read_sync(accounts.get_environment, app_id)
        known = at.database.read_sync(queries.find, app_id)
        able = _capabilities(at, environment)
    kind = PROVIDERS.get(environment.provider)
    has_inbound = kind is not None and kind.has_inbound
    row = known or Connection(app_id=app_id)
    is_connected = environment.provider_config is not None
    pairs(
        [
            ("App ID", f"{environment.app_id} ({environment.mode})"),
            ("provider", environment.provider if is_connected else "not connected yet"),
            ("account", account_line(row.account_id, row.account_name, row.account_mode)),
            ("  asked", row.checked_at),
            ("saved", row.saved_at),
            ("health", health_of(known, at.now)),
            ("  last answer", row.last_ok_at),
            ("  last failure", row.last_failed_at),
            ("  it said", row.last_error),
            ("  in a row", row.failures),
            ("  left alone", row.rest_until),
            ("can", able),
            ("webhooks", webhook_address(at, environment.provider, app_id) if has_inbound else "none"),
        ]
    )


@connections.command()
@click.argument("app_id")
def check(app_id: str) -> None:
    """Ask now who it is. If it answers, it is asked by customers again at once."""
    with workshop() as at:
        account = ask_billing(at, lambda ports: connecting.check_connection(ports, app_id=app_id))
    if account is None:
        remark("Your own billing is asked nothing without a reason. It is called again from now on.")
    else:
        say(account_line(account.id, account.name, account.mode))


def ask_billing(at: Workshop, ask: Callable[[connecting.Ports], Awaitable[T]]) -> T:
    """Run what asks a billing system."""

    async def run() -> T:
        http = OutboundHttp(at.settings.allowed_networks)
        try:
            return await ask(
                connecting.Ports(at.database, at.vault, http, SystemClock(), at.settings.allowed_networks)
            )
        finally:
            await http.aclose()

    return asyncio.run(run())


def account_line(account_id: str | None, name: str | None, mode: str | None) -> str:
    """An account in a line; empty where nobody has been asked."""
    if account_id is None:
        return ""
    named = f"{name} ({account_id})" if name else account_id
    return f"{named}, {mode}" if mode else named


def webhook_address(at: Workshop, provider: str, app_id: str) -> str:
    return at.settings.base_url + inbound.path_of(provider, app_id)


def health_of(row: Connection | None, now: datetime) -> str:
    """How it fares, in a few words."""
    if row is None:
        return "not known yet"
    if row.needs_attention:
        return "it does not accept the credentials"
    if row.rest_until is not None:
        wait = row.rest_until - now
        return f"left alone for {_span(wait)}" if wait > timedelta() else "has failed; asked again next time"
    if row.failures:
        return f"failed {row.failures} times in a row" if row.failures > 1 else "failed once"
    return "good" if row.last_ok_at else "not asked yet"


def trouble(row: Connection | None, now: datetime) -> list[tuple[str, object]]:
    """What there is to say about one that does not fare well."""
    if row is None or not (row.needs_attention or row.rest_until or row.failures):
        return []
    return [("health", health_of(row, now)), ("it said", row.last_error)]


def _row(one: Connected, now: datetime) -> Sequence[object]:
    row = one.connection
    account = account_line(row.account_id, row.account_name, None) if row else ""
    return (
        one.environment.app_id,
        one.organization.slug,
        one.environment.provider,
        account,
        health_of(row, now),
    )


def _capabilities(at: Workshop, environment: Environment) -> list[str]:
    try:
        return sorted(
            connections_service.capabilities(
                environment, vault=at.vault, http=OutboundHttp(()), clock=SystemClock()
            )
        )
    except InvalidInput:  # it was never finished
        return []


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds()) + 1
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
