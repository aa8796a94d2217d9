"""What a run of the bench prints: the machine, tables with a title, the bars beside the figures."""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("litestar", "sqlalchemy", "sqlmodel", "pydantic", "uvicorn", "uvloop")


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def machine() -> None:
    """One line about the machine, for nobody can read figures without it."""
    load = os.getloadavg()[0]
    say(
        f"{_processor()}, {os.cpu_count()} cores, load {load:.1f} · {platform.system()} {platform.release()} · "
        f"Python {platform.python_version()} · fsync {_fsync_ms():.2f} ms"
    )
    say(" · ".join(f"{name} {version(name)}" for name in LIBRARIES))


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Columns as wide as they need to be; the first is text, the others are figures."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    say(f"\n{title}")
    for line in (head, ["-" * width for width in widths], *rows):
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        say("  " + "  ".join([first, *others]).rstrip())
    for note in notes:
        say(f"  {note}")


def verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else values[0]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _fsync_ms() -> float:
    """What one commit costs at the least: SQLite runs with synchronous=FULL."""
    with tempfile.TemporaryFile() as file:
        took = []
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - started)
    return statistics.median(took) * 1000
