"""A million whole sessions beside ten thousand, as many of them in one month and of the people asked about: what
`insights` and `privacy` compare. Seeded once for both.
"""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from app.accounts import service as accounts
from app.accounts.service import Scope
from app.adapters.clock import SystemClock
from app.adapters.vault import Vault
from app.core.calendar import add_months
from app.db.database import Database
from tests.bench import report, servers
from tests.support import databases, postgres, run, seed_rows, seed_sessions, server
from tests.support.apps import make_settings
from tests.support.backend import provisioned
from tests.support.clock import FakeClock
from tests.support.seed_rows import Stocked

MONTH = datetime(2026, 10, 1, tzinfo=UTC)
NOW = add_months(MONTH, 1)  # it is looked at as of then
IN_MONTH = int(os.environ.get("LEAVEWELL_BENCH_MONTH", "8000"))
FEW = 10_000
MANY = int(os.environ.get("LEAVEWELL_BENCH_SESSIONS", "1000000"))
TURNS, ROUNDS = 15, 3
BAR = 2.0
SECRET = secrets.token_urlsafe(48)
HEAD = ("", f"{FEW:,} ms", f"{MANY:,} ms", "ratio", "bar", "")
# People of whom there are as many sessions in both; one of them stays, the others are erased one by one.
EACH, STAYS = 5, 9_000_000
PEOPLE = tuple(range(STAYS, STAYS + 2 * TURNS * ROUNDS))


@dataclass(frozen=True)
class Stock:
    """One database with its sessions, and the key that reads them."""

    name: str
    url: str
    stocked: Stocked
    key: str
    seeded_s: float

    def age(self, count: int, *, prefix: str) -> None:
        """Add sessions whose time has just been over, and which nobody has forgotten yet."""
        over = NOW - seed_rows.RETENTION
        personal = replace(self.stocked, retention=None)
        made = seed_rows.whole(
            personal, start=over - timedelta(days=3), end=over - timedelta(days=2), count=count, prefix=prefix
        )
        seed_sessions.insert_whole(self.url, made, is_vacuumed=False)


@dataclass(frozen=True)
class Asked:
    """A server, asked with the key."""

    client: httpx.Client
    process: int

    def get(self, path: str) -> None:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text

    def post(self, path: str, email: str) -> None:
        answer = self.client.post(path, json={"email": email})
        assert answer.status_code == 200, answer.text

    def memory_mb(self, name: str) -> float:
        """`VmRSS` now, `VmHWM` the most since it was last reset."""
        for line in Path(f"/proc/{self.process}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        raise ValueError("the kernel does not tell what the process takes")


Part = Callable[[str, Stock, Stock], None]  # kind of database, few, many


def measure(parts: Sequence[Part]) -> None:
    postgres.SETTINGS.update(servers.DURABLE)
    for kind in databases.KINDS:
        run.begin()
        try:
            few, many = _stock(kind, "few", FEW), _stock(kind, "many", MANY)
            for part in parts:
                part(kind, few, many)
        finally:
            run.end()


def seeded(few: Stock, many: Stock) -> str:
    return f"Seeded in {few.seeded_s:.0f} s and {many.seeded_s:.0f} s."


def compared(
    name: str, few: Callable[[], object], many: Callable[[], object], *, turns: int = TURNS
) -> Sequence[str]:
    """The two in turn, the best of each: what else the machine does can only add to it. A miss is looked at again.

    What has something to prepare tells itself how many seconds the rest took.
    """
    took: list[tuple[float, float]] = []
    low = high = 1.0
    for _ in range(ROUNDS):
        took += [(_timed(few), _timed(many)) for _ in range(turns)]
        low, high = (min(side) * 1000 for side in zip(*took, strict=True))
        if high <= BAR * low:
            break
    ratio = high / low
    return [name, f"{low:.1f}", f"{high:.1f}", f"{ratio:.2f}", f"{BAR:.1f}", report.verdict(ratio <= BAR)]


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    told = act()
    return told if isinstance(told, float) else time.perf_counter() - began


@contextmanager
def served(stock: Stock) -> Iterator[Asked]:
    """Leavewell itself on that database, in a process of its own."""
    env = {
        "DATABASE_URL": stock.url,
        "LEAVEWELL_SECRET": SECRET,
        "LEAVEWELL_LOG_LEVEL": "warning",
        "LEAVEWELL_API_RATE": "1000000",
        "LEAVEWELL_WORKER": "none",  # it would forget what is older than its time, meanwhile
    }
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    headers = {"x-ck-app": stock.stocked.shop.app_id, "x-ck-api-key": stock.key}
    with (
        server.started(command, env=env, log=run.folder() / "archive.log") as running,
        httpx.Client(base_url=f"{running.url}/v1/data/", headers=headers, timeout=120) as client,
    ):
        yield Asked(client, running.process.pid)


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
        stocked = database.write_sync(seed_rows.stock, app_id, now=NOW)
    began = time.monotonic()
    asked = len(PEOPLE) * EACH
    anybody = seed_rows.people(count)
    for prefix, start, end, some, who in (
        ("before", add_months(MONTH, -23), MONTH, count - IN_MONTH - asked, anybody),
        ("asked", add_months(MONTH, -11), MONTH, asked, lambda chance, number: PEOPLE[number % len(PEOPLE)]),
        ("month", MONTH, NOW, IN_MONTH, anybody),
    ):
        made = seed_rows.whole(
            stocked, start=start, end=end, count=some, seed=len(prefix), prefix=prefix, who=who
        )
        seed_sessions.insert_whole(url, made)
    return Stock(name, url, stocked, key.secret, time.monotonic() - began)


def _database(kind: str, folder: Path, name: str) -> str:
    if kind == "sqlite":
        (folder / name).mkdir()
        return databases.fresh_sqlite(folder, folder / name)
    return databases.worker_postgresql(folder, f"archive_{name}")
