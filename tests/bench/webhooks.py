"""What healthy endpoints notice of sick ones: 10,000 events to 50 endpoints, then the same while 5 hang and 5 fail."""

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sqlmodel import Session, col, select

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.adapters.vault import Vault
from app.db.database import Database
from app.db.tables.events import EventRow
from app.settings import LogLevel
from app.setup import webhooks as setup
from app.web import logs
from app.webhooks import service
from app.webhooks.dispatching import Dispatcher, WebhookPorts
from app.webhooks.kinds import Format, SigningScheme
from tests.bench import report, servers
from tests.support import databases, postgres, run
from tests.support.apps import SECRET
from tests.support.merchant import LOOPBACK
from tests.webhooks.conftest import link_created

EVENTS = 10_000
ENDPOINTS = 50
HANGING, FAILING = 5, 5
PER_SECOND = 50  # half of what one process does here: beyond that each waits for the others, sick or not
TICK_S = 0.1
ARRIVED_WITHIN_S = 120.0
NOISE = 1.5  # p99 of eight thousand deliveries on a shared machine
ANSWERS = {
    "ok": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "fail": b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
}


@dataclass
class Town:
    """Endpoints behind one port; the path says what each does. Keeps when a healthy one has got which event."""

    port: int = 0
    arrived: dict[str, float] = field(default_factory=dict)

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                await reader.readexactly(int(fields["content-length"]))
                manner = head.split("/", 2)[1].split(" ", 1)[0].split("?")[0]
                if manner == "hang":
                    await reader.read()  # until the other side gives up
                    break
                if manner == "ok":
                    self.arrived.setdefault(fields["webhook-id"], asyncio.get_running_loop().time())
                writer.write(ANSWERS[manner])
        writer.close()


def measure() -> None:
    logs.configure(level=LogLevel.WARNING, as_json=False)  # each failure is a line else
    run.begin()
    try:
        for kind in databases.KINDS:
            quiet, sick = (asyncio.run(_deliver(kind, is_sick=is_sick)) for is_sick in (False, True))
            ratio = _p99(sick) / _p99(quiet)
            report.table(
                f"{EVENTS} events to {ENDPOINTS} endpoints, {PER_SECOND} a second: from commit to arrival at the "
                f"{ENDPOINTS - HANGING - FAILING} that stay healthy · {servers.TITLES[kind]}",
                ("", "p50 ms", "p99 ms", "most ms", ""),
                [
                    ["all are healthy", *_figures(quiet), ""],
                    [f"{HANGING} hang, {FAILING} fail", *_figures(sick), ""],
                    ["p99 ratio", "", f"{ratio:.2f}", "", report.verdict(ratio <= NOISE)],
                ],
            )
    finally:
        run.end()


async def _deliver(kind: str, *, is_sick: bool) -> list[float]:
    """Seconds from commit to arrival of each event whose endpoint is healthy in both runs."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            url = databases.fresh_sqlite(run.folder(), Path(folder))
        else:
            url = databases.worker_postgresql(run.folder(), "bench_webhooks")
        with Database(url) as database:
            async with _served(database) as town:
                found = await _run(database, town, is_sick=is_sick)
    if kind != "sqlite":
        name = postgres.database_name(run.folder(), "bench_webhooks")
        postgres.drop_database(postgres.server_url(run.folder()), name)
    return found


async def _run(database: Database, town: Town, *, is_sick: bool) -> list[float]:
    app_ids = await database.write(_set_up, town.port, is_sick)
    watched = app_ids[HANGING + FAILING :]
    loop, committed = asyncio.get_running_loop(), dict[str, float]()
    each_tick = round(PER_SECOND * TICK_S)
    begun = loop.time()
    for number in range(EVENTS // each_tick):
        chosen = [app_ids[(number * each_tick + place) % ENDPOINTS] for place in range(each_tick)]
        event_ids = await database.write(_happen, chosen)
        now = loop.time()
        committed |= {event_ids[app_id]: now for app_id in chosen if app_id in watched}
        await asyncio.sleep(max(0.0, begun + (number + 1) * TICK_S - loop.time()))
    async with asyncio.timeout(ARRIVED_WITHIN_S):
        while not committed.keys() <= town.arrived.keys():  # noqa: ASYNC110 - other tasks deliver
            await asyncio.sleep(0.1)
    return [town.arrived[event_id] - at for event_id, at in committed.items()]


@asynccontextmanager
async def _served(database: Database) -> AsyncIterator[Town]:
    town = Town()
    server = await asyncio.start_server(town.meet, "127.0.0.1", 0)
    town.port = server.sockets[0].getsockname()[1]
    http = OutboundHttp((LOOPBACK,))
    ports = WebhookPorts(database, SystemClock(), http, Vault([SECRET]), "bench", timedelta(seconds=15))
    dispatcher = Dispatcher(ports, grace_s=0.5)
    working = asyncio.create_task(dispatcher.run())
    try:
        yield town
    finally:
        dispatcher.stop()
        await asyncio.wait([working])
        await http.aclose()
        server.close()


def _set_up(db: Session, port: int, is_sick: bool) -> list[str]:
    """An environment for each endpoint; those that may be sick come first."""
    now, app_ids = SystemClock().now(), list[str]()
    for number in range(ENDPOINTS // 2):
        organization = accounts.create_organization(db, name=f"Shop {number}", slug=f"shop-{number}", now=now)
        app_ids += [one.app_id for one in accounts_queries.list_environments(db, organization.id)]
    for place, app_id in enumerate(app_ids):
        manner = "hang" if place < HANGING else "fail" if place < HANGING + FAILING else "ok"
        setup.add_endpoint(
            db,
            Vault([SECRET]),
            app_id=app_id,
            url=f"http://127.0.0.1:{port}/{manner if is_sick else 'ok'}",
            types=(),
            description=None,
            format=Format.STANDARD,
            scheme=SigningScheme.V1,
            allowed=(LOOPBACK,),
            now=now,
        )
    return app_ids


def _happen(db: Session, app_ids: Sequence[str]) -> Mapping[str, str]:
    """An event in each environment; its id, by App ID."""
    return {app_id: _emit(db, app_id) for app_id in app_ids}


def _emit(db: Session, app_id: str) -> str:
    service.emit(db, app_id=app_id, events=[link_created()], now=SystemClock().now())
    newest = select(EventRow.id).where(EventRow.app_id == app_id).order_by(col(EventRow.created_at).desc())
    return db.exec(newest.limit(1)).one()


def _figures(latencies: Sequence[float]) -> list[str]:
    return [
        f"{1000 * value:.1f}" for value in (statistics.median(latencies), _p99(latencies), max(latencies))
    ]


def _p99(latencies: Sequence[float]) -> float:
    return statistics.quantiles(latencies, n=100)[98]
