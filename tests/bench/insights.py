"""The Data API over a million sessions beside ten thousand, as many of them in the month that is asked about; and what
memory a long answer takes."""

import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from app.accounts import service as accounts
from app.accounts.service import Scope
from app.adapters.clock import SystemClock
from app.adapters.vault import Vault
from app.core.calendar import add_months
from app.db.database import Database
from app.insights.dimensions import DIMENSIONS
from tests.bench import report, servers
from tests.support import databases, postgres, run, seed_sessions, server
from tests.support.apps import make_settings
from tests.support.backend import provisioned
from tests.support.clock import FakeClock

MONTH = datetime(2026, 10, 1, tzinfo=UTC)
IN_MONTH = int(os.environ.get("LEAVEWELL_BENCH_MONTH", "8000"))
FEW = 10_000
MANY = int(os.environ.get("LEAVEWELL_BENCH_SESSIONS", "1000000"))
TURNS, ROUNDS = 15, 3
BAR = 2.0
SECRET = secrets.token_urlsafe(48)
STREAMED = 10_000
MEMORY_BAR_MB = 40


@dataclass(frozen=True)
class Stock:
    """One database with its sessions, and the key that reads them."""

    url: str
    app_id: str
    key: str
    seeded_s: float


@dataclass(frozen=True)
class Asked:
    """A server, asked with the key."""

    client: httpx.Client
    process: int

    def time(self, path: str) -> float:
        began = time.perf_counter()
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return time.perf_counter() - began

    def memory_mb(self, name: str) -> float:
        """`VmRSS` now, `VmHWM` the most since it was last reset."""
        for line in Path(f"/proc/{self.process}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        raise ValueError("the kernel does not tell what the process takes")


def measure() -> None:
    postgres.SETTINGS.update(servers.DURABLE)
    for kind in databases.KINDS:
        run.begin()
        try:
            few, many = _stock(kind, "few", FEW), _stock(kind, "many", MANY)
            with _served(few) as at_few, _served(many) as at_many:
                rows = [_compared(name, path, at_few, at_many) for name, path in _questions()]
                streamed = [_streamed(f"{FEW:,} sessions", at_few), _streamed(f"{MANY:,} sessions", at_many)]
        finally:
            run.end()
        report.table(
            f"Data API over {MANY:,} sessions, over what it costs with {FEW:,}; {IN_MONTH:,} of them in the month · "
            f"{servers.TITLES[kind]}",
            ("", f"{FEW:,} ms", f"{MANY:,} ms", "ratio", "bar", ""),
            rows,
            notes=(f"Seeded in {few.seeded_s:.0f} s and {many.seeded_s:.0f} s.",),
        )
        report.table(
            f"An answer of {STREAMED:,} records · {servers.TITLES[kind]}",
            ("", "answer MB", "s", "memory grew by MB", "bar", ""),
            streamed,
        )


def _questions() -> Iterator[tuple[str, str]]:
    last = add_months(MONTH, 1).date() - timedelta(days=1)
    span = f"startDate={MONTH.date()}&endDate={last}"
    yield "first page", "sessions"
    yield "first page, without canceled", "sessions?-canceled=true"
    yield "first page of the month", f"sessions?{span}"
    yield "one customer", "sessions?customerId=cus_0000042"
    yield "the month's total", f"session-aggregation?{span}"
    for dimension in DIMENSIONS:
        yield f"by {dimension}", f"session-aggregation?breakdown={dimension}&{span}"
    yield "by day in New York", f"session-aggregation?breakdown=day&timeZone=America/New_York&{span}"


def _stock(kind: str, name: str, count: int) -> Stock:
    """Sessions of two years; the last month has as many, whatever there is before it."""
    url = _database(kind, run.folder(), name)
    settings, clock = make_settings(url, secrets=(SECRET,)), FakeClock(SystemClock().now())
    with Database(url) as database:
        app_id, _ = provisioned(database, settings, clock)["live"]
        key = database.write_sync(
            accounts.create_data_key,
            Vault(settings.secrets),
            app_id=app_id,
            scopes=list(Scope),
            now=clock.now(),
        )
        shop = database.read_sync(seed_sessions.shop_of, app_id)
    began = time.monotonic()
    before = seed_sessions.sessions(
        shop, start=add_months(MONTH, -23), end=MONTH, count=count - IN_MONTH, seed=2, prefix="before"
    )
    seed_sessions.insert(url, before)
    inside = seed_sessions.sessions(
        shop, start=MONTH, end=add_months(MONTH, 1), count=IN_MONTH, seed=1, prefix="month"
    )
    seed_sessions.insert(url, inside)
    return Stock(url, app_id, key.secret, time.monotonic() - began)


def _database(kind: str, folder: Path, name: str) -> str:
    if kind == "sqlite":
        (folder / name).mkdir()
        return databases.fresh_sqlite(folder, folder / name)
    return databases.worker_postgresql(folder, f"insights_{name}")


@contextmanager
def _served(stock: Stock) -> Iterator[Asked]:
    """Leavewell itself on that database, in a process of its own."""
    env = {
        "DATABASE_URL": stock.url,
        "LEAVEWELL_SECRET": SECRET,
        "LEAVEWELL_LOG_LEVEL": "warning",
        "LEAVEWELL_API_RATE": "1000000",
        "LEAVEWELL_WORKER": "none",  # it would forget what is older than its time, meanwhile
    }
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    headers = {"x-ck-app": stock.app_id, "x-ck-api-key": stock.key}
    with (
        server.started(command, env=env, log=run.folder() / "insights.log") as running,
        httpx.Client(base_url=f"{running.url}/v1/data/", headers=headers, timeout=120) as client,
    ):
        yield Asked(client, running.process.pid)


def _compared(name: str, path: str, few: Asked, many: Asked) -> Sequence[str]:
    """The two in turn, the best of each: what else the machine does can only add to it. A miss is looked at again."""
    took: list[tuple[float, float]] = []
    low = high = 1.0
    for _ in range(ROUNDS):
        took += [(few.time(path), many.time(path)) for _ in range(TURNS)]
        low, high = (min(side) * 1000 for side in zip(*took, strict=True))
        if high <= BAR * low:
            break
    ratio = high / low
    return [name, f"{low:.1f}", f"{high:.1f}", f"{ratio:.2f}", f"{BAR:.1f}", report.verdict(ratio <= BAR)]


def _streamed(name: str, asked: Asked) -> Sequence[str]:
    """The most that the process takes while it answers, over what it took before."""
    asked.time(
        "sessions?limit=500&bounced=true&bounced=false"
    )  # what is there after the first answer is there
    Path(f"/proc/{asked.process}/clear_refs").write_text("5")
    before, size, began = asked.memory_mb("VmRSS"), 0, time.monotonic()
    path = f"sessions?limit={STREAMED}&bounced=true&bounced=false"
    with asked.client.stream("GET", path) as answer:
        for piece in answer.iter_bytes():
            size += len(piece)
    took, grew = time.monotonic() - began, asked.memory_mb("VmHWM") - before
    is_met = grew <= MEMORY_BAR_MB and answer.status_code == 200
    return [
        name,
        f"{size / 1e6:.1f}",
        f"{took:.1f}",
        f"{grew:.1f}",
        str(MEMORY_BAR_MB),
        report.verdict(is_met),
    ]
