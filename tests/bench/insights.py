"""The Data API over a million sessions beside ten thousand, as many of them in the month that is asked about; and what
memory a long answer takes."""

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from app.core.calendar import add_months
from app.insights.dimensions import DIMENSIONS
from tests.bench import archive, report, servers
from tests.bench.archive import FEW, IN_MONTH, MANY, MONTH, Asked, Stock, served

STREAMED = 10_000
MEMORY_BAR_MB = 40


def measure(kind: str, few: Stock, many: Stock) -> None:
    with served(few) as at_few, served(many) as at_many:
        rows = [
            archive.compared(name, partial(at_few.get, path), partial(at_many.get, path))
            for name, path in _questions()
        ]
        streamed = [_streamed(f"{FEW:,} sessions", at_few), _streamed(f"{MANY:,} sessions", at_many)]
    report.table(
        f"Data API over {MANY:,} sessions, over what it costs with {FEW:,}; {IN_MONTH:,} of them in the month · "
        f"{servers.TITLES[kind]}",
        archive.HEAD,
        rows,
        notes=(archive.seeded(few, many),),
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
    yield "one customer", f"sessions?customerId=cus_{archive.STAYS}"
    yield "the month's total", f"session-aggregation?{span}"
    for dimension in DIMENSIONS:
        yield f"by {dimension}", f"session-aggregation?breakdown={dimension}&{span}"
    yield "by day in New York", f"session-aggregation?breakdown=day&timeZone=America/New_York&{span}"


def _streamed(name: str, asked: Asked) -> Sequence[str]:
    """The most that the process takes while it answers, over what it took before."""
    asked.get(
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
