"""Two servers side by side: bursts of both in turn, the ratio of each pair, the median of the pairs."""

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from app.db.database import Database
from tests.bench import load, report
from tests.bench.handlers import Handler, Requests
from tests.bench.load import Burst
from tests.bench.stock import Stock

PAIRS = 9
LOW, HIGH = 1, 16  # connections


@dataclass(frozen=True)
class Side:
    """A server, the database below it, and how it is asked."""

    port: int
    database: Database


@dataclass(frozen=True)
class Result:
    handler: Handler
    connections: int
    bar: float
    ours: Sequence[Burst]
    other: Sequence[Burst]

    @property
    def ratios(self) -> list[float]:
        return [a.cost_s / b.cost_s for a, b in zip(self.ours, self.other, strict=True)]

    def row(self) -> list[str]:
        ratio = statistics.median(self.ratios)
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return [
            self.handler.name,
            f"{self.connections}",
            *_figures(self.ours),
            *_figures(self.other),
            f"{ratio:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{self.bar:.2f}",
            report.verdict(round(ratio, 2) <= self.bar),
        ]


def head(ours: str, other: str) -> Sequence[str]:
    figures = ("p50 ms", "p99", "req/s")
    return (
        "",
        "conns",
        *(f"{ours} {name}" if name == "p50 ms" else name for name in figures),
        *(f"{other} {name}" if name == "p50 ms" else name for name in figures),
        "ratio",
        "middle half",
        "bar",
        "",
    )


def compare(
    handler: Handler,
    stocked: Stock,
    ours: Side,
    other: Side,
    *,
    asks_other: Requests,
    bar: float,
    loads: Sequence[int] = (LOW, HIGH),
) -> list[Result]:
    """Closed loops over each number of connections. Rows are prepared before, by the databases' own threads."""
    count = handler.burst * (PAIRS + 1) * len(loads)
    asked = handler.ours(stocked, ours.database, count)
    others = asks_other(stocked, other.database, count)
    measured = []
    for connections in loads:
        share = handler.burst * (PAIRS + 1)
        # As lists: what it takes to make them must not stand between the bursts.
        lines = list(islice(asked, share)), list(islice(others, share))
        kept = asyncio.run(_take_turns(handler, (ours.port, other.port), lines, connections))
        measured.append(Result(handler, connections, bar, *kept))
    return measured


async def _take_turns(
    handler: Handler, ports: tuple[int, int], lines: tuple[list[bytes], list[bytes]], connections: int
) -> tuple[list[Burst], list[Burst]]:
    """Burst after burst, now one first and now the other; the first of each only warms up."""
    kept: tuple[list[Burst], list[Burst]] = ([], [])
    waiting: tuple[Iterator[bytes], Iterator[bytes]] = (iter(lines[0]), iter(lines[1]))
    for number in range(PAIRS + 1):
        for side in (0, 1) if number % 2 else (1, 0):
            asked = list(islice(waiting[side], handler.burst))
            done = await load.burst(ports[side], asked, connections=connections, expect=handler.expect)
            if number:
                kept[side].append(done)
    return kept


def _figures(bursts: Sequence[Burst]) -> list[str]:
    latencies = [1000 * latency for burst in bursts for latency in burst.latencies_s]
    rate = sum(len(burst.latencies_s) for burst in bursts) / sum(burst.took_s for burst in bursts)
    return [f"{statistics.median(latencies):.2f}", f"{report.percentile(latencies, 99):.2f}", f"{rate:.0f}"]
