"""webhooks: endpoints that are told what happens, what became of each delivery, and sending again."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Final

import click

from app.accounts import service as accounts
from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.cli.console import Failed, Workshop, pairs, remark, say, span, table, workshop
from app.core.calendar import parse_moment
from app.db.tables.webhooks import WebhookDelivery, WebhookEndpoint
from app.setup import webhooks as setup
from app.webhooks import dispatching, endpoints, queries, settling
from app.webhooks.dispatching import WebhookPorts
from app.webhooks.endpoints import NewSecret, Told
from app.webhooks.kinds import (
    KEPT,
    LONGEST_OLD_SECRET,
    DeliveryStatus,
    DisabledReason,
    Format,
    SigningScheme,
)
from app.webhooks.messages import has_old_secret
from app.webhooks.queries import Owed
from app.webhooks.sending import DEADLINE_S, Tried
from app.worker import new_worker_name

TEST_LEASE: Final = timedelta(seconds=2 * DEADLINE_S)
_WHY_OFF: Final = {
    DisabledReason.OPERATOR: "disabled by hand",
    DisabledReason.GONE: "disabled: it answered 410",
    DisabledReason.FAILING: "disabled: it took nothing for three days",
}


@click.group()
def webhooks() -> None:
    """Endpoints of a merchant's that are told what happens (docs/webhooks.md)."""


# --- Endpoints --------------------------------------------------------------------------------------------------------


@webhooks.command()
@click.argument("app_id")
@click.argument("url")
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only this type; may be repeated. Without: all."
)
@click.option("--description", help="For whoever reads the list.")
@click.option(
    "--format",
    "format_",
    type=click.Choice([one.value for one in Format]),
    default=Format.STANDARD.value,
    show_default=True,
    help="compatible: finished sessions alone, in Churnkey's envelope.",
)
@click.option(
    "--sign",
    "scheme",
    type=click.Choice([one.value for one in SigningScheme]),
    default=SigningScheme.V1.value,
    show_default=True,
    help="v1: a shared secret (HMAC). v1a: a key pair (Ed25519).",
)
def add(
    app_id: str, url: str, types: tuple[str, ...], description: str | None, format_: str, scheme: str
) -> None:
    """Tell URL what happens from now on, and print what it verifies with, this once."""
    with workshop() as at:
        made = at.database.write_sync(
            setup.add_endpoint,
            at.vault,
            app_id=app_id,
            url=url,
            types=types,
            description=description,
            format=Format(format_),
            scheme=SigningScheme(scheme),
            allowed=at.settings.allowed_networks,
            now=at.now,
        )
    _hand_over(made, SigningScheme(scheme))
    remark(
        f"This is endpoint {made.endpoint.id}. Try it: leavewell webhooks test {app_id} {made.endpoint.id}"
    )


@webhooks.command("list")
@click.argument("app_id")
def list_(app_id: str) -> None:
    """The environment's endpoints, oldest first."""
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        found = at.database.read_sync(queries.list_endpoints, app_id)
    rows = [(one.id, one.url, _types(one), one.format, _standing(one), one.description) for one in found]
    table(
        ("ENDPOINT", "URL", "TYPES", "FORMAT", "STATUS", "DESCRIPTION"),
        rows,
        f"Nobody is told yet: leavewell webhooks add {app_id} https://…",
    )


@webhooks.command()
@click.argument("app_id")
@click.argument("endpoint")
def show(app_id: str, endpoint: str) -> None:
    """One ENDPOINT: what it gets, how it is signed, how it fares."""
    with workshop() as at:
        one = _get(at, app_id, endpoint)
        owed = at.database.read_sync(queries.count_owed, one.id)
        scheme = endpoints.scheme_of(one, at.vault)
        keys = endpoints.public_keys(one, at.vault, at.now)
    pairs(
        [
            ("endpoint", one.id),
            ("url", one.url),
            ("description", one.description),
            ("types", _types(one)),
            ("format", one.format),
            ("signatures", scheme.value),
            *((f"public key{'' if place == 0 else ', old'}", key) for place, key in enumerate(keys)),
            ("old secret until", one.old_secret_until if has_old_secret(one, at.now) else None),
            ("status", _standing(one)),
            ("made", one.created_at),
            ("last taken", one.last_success_at),
            ("last failed", one.last_failure_at),
            ("why", one.last_error),
            ("still owed", owed),
        ]
    )


@webhooks.command()
@click.argument("app_id")
@click.argument("endpoint")
@click.option("--url", help="Where it is now.")
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only these from now on; may be repeated."
)
@click.option("--all-types", is_flag=True, help="Every type from now on.")
@click.option("--description", help="For whoever reads the list; an empty one takes it away.")
def update(
    app_id: str,
    endpoint: str,
    url: str | None,
    types: tuple[str, ...],
    all_types: bool,
    description: str | None,
) -> None:
    """Change an ENDPOINT. What it is owed goes to the new URL."""
    if types and all_types:
        raise click.UsageError("Give --type or --all-types, not both.")
    if url is None and not types and not all_types and description is None:
        raise click.UsageError("Say what to change: --url, --type, --all-types or --description.")
    with workshop() as at:
        at.database.write_sync(
            setup.update_endpoint,
            app_id=app_id,
            endpoint_id=endpoint,
            url=url,
            types=types if types or all_types else None,
            description=description,
            allowed=at.settings.allowed_networks,
        )
    remark(f"{endpoint} is changed.")


@webhooks.command()
@click.argument("app_id")
@click.argument("endpoint")
def remove(app_id: str, endpoint: str) -> None:
    """Remove an ENDPOINT, with what it is owed. Its log goes too."""
    with workshop() as at:
        at.database.write_sync(endpoints.remove, at.vault, app_id=app_id, endpoint_id=endpoint, now=at.now)
    remark(f"{endpoint} is removed.")


@webhooks.command()
@click.argument("app_id")
@click.argument("endpoint")
@click.option("--keep-old", metavar="SPAN", help="How long the old secret signs too.  [default: 24h]")
@click.option(
    "--end-old", is_flag=True, help="Make no new secret: end the old one of an earlier rotation now."
)
def rotate(app_id: str, endpoint: str, keep_old: str | None, end_old: bool) -> None:
    """Give an ENDPOINT a new secret. Messages are signed with both until the old one ends."""
    if end_old:
        if keep_old is not None:
            raise click.UsageError(
                "Give --keep-old, or --end-old: the one begins a rotation, the other ends one."
            )
        with workshop() as at:
            had_one = at.database.write_sync(endpoints.end_old_secret, app_id=app_id, endpoint_id=endpoint)
        remark("The old secret signs no more." if had_one else "There was no old secret.")
        return
    kept = timedelta() if keep_old == "0" else span("--keep-old", keep_old or "24h")
    if kept > LONGEST_OLD_SECRET:
        raise Failed(f"--keep-old: Must be at most {LONGEST_OLD_SECRET.days}d.")
    with workshop() as at:
        made = at.database.write_sync(
            endpoints.rotate,
            at.vault,
            app_id=app_id,
            endpoint_id=endpoint,
            now=at.now,
            keep_old_for=kept,
        )
        scheme = endpoints.scheme_of(made.endpoint, at.vault)
    _hand_over(made, scheme)
    until = made.endpoint.old_secret_until
    if until is None:
        remark("The old one is worth nothing any more.")
    else:
        remark(f"The old one signs too until {until:%Y-%m-%d %H:%M:%S} UTC.")


@webhooks.command()
@click.argument("app_id")
@click.argument("endpoint")
@click.option("--off", is_flag=True, help="Disable it: nothing is sent there, or kept for it.")
def enable(app_id: str, endpoint: str, off: bool) -> None:
    """Switch an ENDPOINT on again. What it is owed still goes out at once."""
    with workshop() as at:
        if off:
            at.database.write_sync(endpoints.disable, app_id=app_id, endpoint_id=endpoint, now=at.now)
        else:
            at.database.write_sync(endpoints.enable, app_id=app_id, endpoint_id=endpoint)
    if off:
        remark(f"{endpoint} is disabled.")
    else:
        remark(
            f"{endpoint} is on. What it missed: leavewell webhooks redeliver {app_id} {endpoint} --since …"
        )


# --- Deliveries -------------------------------------------------------------------------------------------------------


@webhooks.command()
@click.argument("app_id")
@click.argument("endpoint")
def test(app_id: str, endpoint: str) -> None:
    """Send a test event to an ENDPOINT at once, and say what it made of it."""
    with workshop() as at:
        one = _get(at, app_id, endpoint)
        tried = asyncio.run(_send_test(at, one))
    pairs(
        [
            ("url", tried.url),
            ("webhook-id", tried.request_headers.get("webhook-id")),
            ("status", tried.status),
            ("took", f"{tried.latency_ms} ms"),
        ]
    )
    if tried.response_body:
        say()
        say(tried.response_body)
    if tried.failure:
        raise Failed(tried.failure)
    remark("It was taken.")


async def _send_test(at: Workshop, one: WebhookEndpoint) -> Tried:
    """The worker's way, but at once and only once."""
    http, holder = OutboundHttp(at.settings.allowed_networks), new_worker_name()
    ports = WebhookPorts(at.database, SystemClock(), http, at.vault, holder, TEST_LEASE)
    try:
        owed: Owed = await at.database.write(
            endpoints.owe_test,
            app_id=one.app_id,
            endpoint_id=one.id,
            holder=holder,
            now=at.now,
            lease=TEST_LEASE,
        )
        record = await dispatching.record_for(ports.database, owed)
        tried = await dispatching.try_once(ports, owed, record, now=at.now)
        await at.database.write(settling.settle, at.vault, owed, tried, worker=holder, chance=0.0)
    finally:
        await http.aclose()
    return tried


@webhooks.command()
@click.argument("app_id")
@click.argument("endpoint")
@click.option("--status", type=click.Choice([status.value for status in DeliveryStatus]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--before", metavar="DELIVERY", help="Where to go on: the last delivery of an earlier list.")
@click.option("--show", "shown", metavar="DELIVERY", help="This one alone, with each of its tries.")
def deliveries(
    app_id: str, endpoint: str, status: str | None, limit: int, before: str | None, shown: str | None
) -> None:
    """What an ENDPOINT was sent in the last 30 days, newest first."""
    with workshop() as at:
        one = _get(at, app_id, endpoint)
        if shown is not None:
            _show(at.database.read_sync(endpoints.tell, one, _find(at, app_id, one.id, shown)))
            return
        last = _find(at, app_id, one.id, before) if before else None
        found = at.database.read_sync(
            queries.list_deliveries,
            endpoint_id=one.id,
            limit=limit + 1,
            before=(last.created_at, last.id) if last else None,
            status=status,
        )
    page = found[:limit]
    rows = [
        (
            delivery.id,
            type,
            delivery.event_id,
            delivery.status,
            delivery.tries,
            delivery.created_at,
            delivery.due_at,
        )
        for delivery, type in page
    ]
    table(
        ("DELIVERY", "TYPE", "EVENT", "STATUS", "FAILED TRIES", "OWED SINCE", "NEXT TRY"),
        rows,
        "Nothing was sent.",
    )
    if len(found) > len(page):
        remark(f"More: --before {page[-1][0].id}")


@webhooks.command()
@click.argument("app_id")
@click.argument("endpoint")
@click.argument("delivery", required=False)
@click.option(
    "--since", metavar="TIME", help="Everything since then: 2026-11-21T08:00:00Z, or 30m, 12h, 7d ago."
)
@click.option("--delivered-too", is_flag=True, help="With --since: also what was taken.")
def redeliver(
    app_id: str, endpoint: str, delivery: str | None, since: str | None, delivered_too: bool
) -> None:
    """Send one DELIVERY again, or, with --since, all that an ENDPOINT has missed.

    What was missed is what failed and what happened while the endpoint was disabled. Each event keeps its webhook-id.
    """
    if delivery is None and since is None:
        raise click.UsageError("Give a DELIVERY, or --since.")
    if delivery is not None and since is not None:
        raise click.UsageError("Give a DELIVERY or --since, not both.")
    with workshop() as at:
        one = _get(at, app_id, endpoint)
        if delivery is not None:
            found = _find(at, app_id, one.id, delivery)
            at.database.write_sync(endpoints.redeliver, app_id=app_id, delivery_id=found.id, now=at.now)
            remark(f"{found.id} is sent again.")
            return
        count = _redeliver_since(at, one, _moment(since or "", at.now), delivered_too)
    remark(f"{count} events are sent again." if count != 1 else "One event is sent again.")


def _redeliver_since(at: Workshop, one: WebhookEndpoint, since: datetime, takes_delivered: bool) -> int:
    count, last = 0, None
    while True:
        batch = at.database.write_sync(
            endpoints.redeliver_since,
            app_id=one.app_id,
            endpoint_id=one.id,
            since=since,
            after=last,
            takes_delivered=takes_delivered,
            now=at.now,
        )
        count, last = count + batch.count, batch.last
        if last is None:
            return count


# --- Words ------------------------------------------------------------------------------------------------------------


def _hand_over(made: NewSecret, scheme: SigningScheme) -> None:
    say(made.shown)
    if scheme is SigningScheme.V1A:
        remark("This is the public key: the endpoint verifies with it. `webhooks show` tells it again.")
    else:
        remark("This is the secret: the endpoint verifies with it. It is not shown again.")


def _get(at: Workshop, app_id: str, endpoint_id: str) -> WebhookEndpoint:
    at.database.read_sync(accounts.get_environment, app_id)
    return at.database.read_sync(
        endpoints.get, app_id=app_id, endpoint_id=endpoint_id if endpoint_id.isprintable() else ""
    )


def _find(at: Workshop, app_id: str, endpoint_id: str, delivery_id: str) -> WebhookDelivery:
    found = (
        at.database.read_sync(queries.find_delivery, app_id=app_id, delivery_id=delivery_id)
        if delivery_id.isprintable()
        else None
    )
    if found is None or found.endpoint_id != endpoint_id:
        raise Failed(
            f"There is no delivery {delivery_id} to this endpoint. They are kept for {KEPT.days} days."
        )
    return found


def _show(told: Told) -> None:
    delivery = told.delivery
    pairs(
        [
            ("delivery", delivery.id),
            ("type", told.type),
            ("event", delivery.event_id),
            ("status", delivery.status),
            ("owed since", delivery.created_at),
            ("next try", delivery.due_at),
        ]
    )
    say()
    say(json.dumps(told.payload, indent=2, ensure_ascii=False))
    for attempt in told.attempts:
        say()
        pairs(
            [
                ("tried", attempt.tried_at),
                ("url", attempt.url),
                ("took", f"{attempt.latency_ms} ms"),
                ("status", attempt.status),
                ("failed", attempt.failure),
                *((f"> {name}", value) for name, value in sorted(attempt.request_headers.items())),
                *((f"< {name}", value) for name, value in sorted(attempt.response_headers.items())),
            ]
        )
        for line in (attempt.response_body or "").splitlines():
            say(f"  {line}")


def _types(one: WebhookEndpoint) -> list[str] | str:
    return one.types or "all"


def _standing(one: WebhookEndpoint) -> str:
    if one.disabled_reason is not None:
        return _WHY_OFF[DisabledReason(one.disabled_reason)]
    return f"failing since {one.failing_since:%Y-%m-%d %H:%M} UTC" if one.failing_since else "on"


def _moment(text: str, now: datetime) -> datetime:
    if text[-1:] in ("m", "h", "d"):
        return now - span("--since", text)
    try:
        return parse_moment(text)
    except ValueError as problem:
        raise Failed(f"--since: {problem}") from None
