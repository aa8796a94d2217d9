"""The databases and processes of a comparison, and the two comparisons: with bare handlers, with many rows."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.db.database import Database
from tests.bench import ratios, report, stock
from tests.bench.handlers import HANDLERS
from tests.bench.ratios import Side
from tests.bench.stock import Stock
from tests.support import databases, postgres, run, server

SMALL, LARGE = 1_000, 50_000
GROWTH_BAR = 1.15  # differences below are noise
GROWING = ("mint", "landing", "survey, answered", "confirm page, seen")
# A server as people run it: what is committed is on the disk.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_wal_size": "1GB"}
TITLES = {"sqlite": "SQLite (WAL, synchronous=FULL)", "postgresql": "PostgreSQL (fsync on)"}


@dataclass(frozen=True)
class Room:
    """One kind of database with the stock in it, the merchant's systems running beside it."""

    kind: str
    folder: Path
    original: str
    stock: Stock
    outside: str

    @contextmanager
    def side(self, role: str, name: str, *, rows: int) -> Iterator[Side]:
        """A server of that role on its own copy of the database, filled to that many rows."""
        url = _copy(self.kind, self.original, self.folder, name)
        with Database(url) as database:
            stock.fill(database, rows)
            with _process(role, self.folder, url, self.outside) as address:
                yield Side(_port(address), database)


def against_bare() -> None:
    """The ratios: time per request of ours over that of the bare handler."""
    for kind in databases.KINDS:
        rows = []
        with (
            open_room(kind) as room,
            room.side("leavewell", "ours", rows=SMALL) as ours,
            room.side("front", "front", rows=SMALL) as front,
            room.side("bare", "bare", rows=SMALL) as bare,
        ):
            for handler in HANDLERS:
                side = front if handler.has_worker_elsewhere else ours
                found = ratios.compare(
                    handler, room.stock, side, bare, asks_other=handler.bare, bar=handler.bar
                )
                rows += [result.row() for result in found]
        title = f"Against a bare handler with the same reads, writes and calls · {TITLES[kind]}"
        report.table(title, ratios.head("ours", "bare"), rows)


def against_few_rows() -> None:
    """What a request costs with many sessions and links stored, over what it costs with few."""
    for kind in databases.KINDS:
        rows = []
        with (
            open_room(kind) as room,
            room.side("leavewell", "large", rows=LARGE) as large,
            room.side("leavewell", "small", rows=SMALL) as small,
        ):
            for handler in HANDLERS:
                if handler.name in GROWING:
                    found = ratios.compare(
                        handler,
                        room.stock,
                        large,
                        small,
                        asks_other=handler.ours,
                        bar=GROWTH_BAR,
                        loads=(ratios.LOW,),
                    )
                    rows += [result.row() for result in found]
        title = f"{LARGE:,} sessions and links stored against {SMALL:,} · {TITLES[kind]}"
        report.table(title, ratios.head(f"{LARGE:,}", f"{SMALL:,}"), rows)


@contextmanager
def open_room(kind: str) -> Iterator[Room]:
    """The folder of a run as the tests have it, in it a database with the walked session."""
    postgres.SETTINGS.update(DURABLE)
    run.begin()
    with ExitStack() as open_things:
        open_things.callback(run.end)
        folder = Path(open_things.enter_context(tempfile.TemporaryDirectory(prefix="leavewell-bench-")))
        outside = open_things.enter_context(_process("outside", folder))
        if kind == "sqlite":
            original = databases.fresh_sqlite(run.folder(), folder)
        else:
            original = databases.worker_postgresql(run.folder(), "bench")
        with Database(original) as database:
            merchant = stock.set_up(database, outside)
            with _process("leavewell", folder, original, outside) as address:
                walked = asyncio.run(stock.walk(merchant, _port(address)))
        yield Room(kind, folder, original, walked, outside)


@contextmanager
def _process(role: str, folder: Path, database_url: str = "", outside: str = "") -> Iterator[str]:
    """One measured process; yields its address."""
    env: Mapping[str, str] = {
        "DATABASE_URL": database_url,
        "LEAVEWELL_BENCH_OUTSIDE": outside,
        "LEAVEWELL_BENCH_BILLING": str(folder / "billing.sqlite3"),
    }
    command = [sys.executable, "-m", "tests.bench.serve", role]
    with server.started(command, env=env, log=folder / f"{role}.log") as running:
        yield running.url


def _copy(kind: str, original: str, folder: Path, name: str) -> str:
    """A database like the original one, which nobody has open."""
    if kind == "sqlite":
        file = folder / f"{name}.sqlite3"
        shutil.copyfile(original.removeprefix("sqlite:///"), file)
        return f"sqlite:///{file}"
    whole = postgres.server_url(run.folder())
    template = urlsplit(original).path.lstrip("/").partition("?")[0]
    return postgres.create_database(whole, postgres.database_name(run.folder(), name), template=template)


def _port(address: str) -> int:
    port = urlsplit(address).port
    assert port is not None
    return port
