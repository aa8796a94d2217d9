"""What the server takes when nobody asks it anything, and how soon it gives its first answer."""

import secrets
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tests.bench import demo, report
from tests.support import databases, run, server
from tests.support.server import ServerProcess

MEMORY_BAR_MB, START_BAR_S, TIMES = 150, 2.0, 3

Start = Callable[[], AbstractContextManager[ServerProcess]]


def measure() -> None:
    rows: list[Sequence[str]] = []
    run.begin()
    try:
        with demo.folder() as folder:
            alone = _alone(folder, databases.fresh_sqlite(run.folder(), folder))
            rows += _rows("server alone (SQLite)", alone)
            with demo.running(folder):
                pass  # the first start sets everything up
            rows += _rows("demo, second start", lambda: demo.running(folder))
    finally:
        run.end()
    report.table(
        "Idle memory after one request, start to first answer", ("", "median", "spread", "bar", ""), rows
    )


def _alone(folder: Path, database_url: str) -> Start:
    secret = secrets.token_urlsafe(48)
    env = {"DATABASE_URL": database_url, "LEAVEWELL_SECRET": secret, "LEAVEWELL_LOG_LEVEL": "warning"}
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    return lambda: server.started(command, env=env, log=folder / "serve.log")


def _rows(name: str, start: Start) -> Sequence[Sequence[str]]:
    memory, took = [], []
    for _ in range(TIMES):
        started = time.perf_counter()
        with start() as process:
            took.append(time.perf_counter() - started)
            urllib.request.urlopen(f"{process.url}/", timeout=5).read()
            memory.append(_resident_mb(process.process.pid))
    return [
        [
            f"{name}: memory, MB",
            *_figures(memory, "{:.0f}"),
            f"{MEMORY_BAR_MB}",
            _is_met(memory, MEMORY_BAR_MB),
        ],
        [
            f"{name}: first answer, s",
            *_figures(took, "{:.2f}"),
            f"{START_BAR_S:.0f}",
            _is_met(took, START_BAR_S),
        ],
    ]


def _resident_mb(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError("the kernel does not tell what the process takes")


def _figures(values: Sequence[float], form: str) -> tuple[str, str]:
    return form.format(statistics.median(values)), f"{form} to {form}".format(min(values), max(values))


def _is_met(values: Sequence[float], bar: float) -> str:
    return report.verdict(statistics.median(values) <= bar)
