"""What other customers notice while twenty requests hang at the billing system: the same bursts, quiet and hung."""

import asyncio
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

import httpx
from sqlalchemy import text
from sqlmodel import Session

from app.db.database import Database
from tests.bench import load, report, servers, stock
from tests.bench.handlers import HANDLERS, Handler
from tests.bench.ratios import Side
from tests.bench.servers import Room
from tests.support import databases
from tests.support.merchant import BILLING_KEY

HUNG = 20
ROUNDS = 7
CONNECTIONS = 4
BURST = 200
WATCHED = ("survey, answered", "landing")
QUIET_WITHIN_S = 30.0
NOISE = 1.25  # p99 of a few hundred requests on a shared machine


@dataclass
class Seen:
    """Latencies of one kind of request, quiet and hung, round by round."""

    quiet: list[tuple[float, ...]] = field(default_factory=list)
    hung: list[tuple[float, ...]] = field(default_factory=list)

    def row(self, name: str) -> Sequence[str]:
        ratios = [_p99(hung) / _p99(quiet) for quiet, hung in zip(self.quiet, self.hung, strict=True)]
        ratio = statistics.median(ratios)
        low, _, high = statistics.quantiles(ratios, n=4)
        return [
            name,
            *(f"{1000 * value:.2f}" for share in (self.quiet, self.hung) for value in _figures(share)),
            f"{ratio:.2f}",
            f"{low:.2f} to {high:.2f}",
            report.verdict(ratio <= NOISE),
        ]


def measure() -> None:
    for kind in databases.KINDS:
        with servers.open_room(kind) as room, room.side("leavewell", "hanging", rows=servers.SMALL) as side:
            seen = asyncio.run(_take_turns(room, side))
        report.table(
            f"Others, while {HUNG} customers wait for a billing system that hangs · {servers.TITLES[kind]}",
            ("", "quiet p50 ms", "p99", "hung p50 ms", "p99", "p99 ratio", "middle half", ""),
            [watched.row(name) for name, watched in seen.items()],
        )


async def _take_turns(room: Room, side: Side) -> dict[str, Seen]:
    seen = {name: Seen() for name in WATCHED}
    headers = {"authorization": f"Bearer {BILLING_KEY}"}
    async with httpx.AsyncClient(base_url=room.outside, headers=headers, trust_env=False) as billing:
        for _ in range(ROUNDS + 1):  # the first warms up
            for name, handler in _watched():
                seen[name].quiet.append(await _burst(handler, room, side))
            waiting = await _hang(billing, room, side)
            for name, handler in _watched():
                seen[name].hung.append(await _burst(handler, room, side))
            await _let_go(billing, side, waiting)
    for watched in seen.values():
        del watched.quiet[0], watched.hung[0]
    return seen


def _watched() -> list[tuple[str, Handler]]:
    return [(handler.name, handler) for handler in HANDLERS if handler.name in WATCHED]


async def _burst(handler: Handler, room: Room, side: Side) -> tuple[float, ...]:
    asked = await asyncio.to_thread(
        lambda: list(islice(handler.ours(room.stock, side.database, BURST), BURST))
    )
    done = await load.burst(side.port, asked, connections=CONNECTIONS, expect=handler.expect)
    return done.latencies_s


async def _hang(billing: httpx.AsyncClient, room: Room, side: Side) -> list[asyncio.Task[load.Answer]]:
    """Twenty customers confirm, and billing keeps each of them waiting."""
    planned = {"point": "read", "kind": "hang", "times": HUNG}
    (await billing.post("/faults", json=planned)).raise_for_status()
    sessions = await asyncio.to_thread(stock.add_sessions, room.stock, side.database, "confirm", HUNG)
    waiting = [
        asyncio.create_task(load.ask(side.port, room.stock.press("confirm", session_id)))
        for session_id in sessions
    ]
    async with asyncio.timeout(QUIET_WITHIN_S):
        while (await billing.get("/faults")).json()["held"].get("read", 0) < HUNG:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    return waiting


async def _let_go(
    billing: httpx.AsyncClient, side: Side, waiting: Sequence[asyncio.Task[load.Answer]]
) -> None:
    """Answer them, and wait until nothing is left of it for the worker to do."""
    (await billing.post("/faults/release")).raise_for_status()
    await asyncio.gather(*waiting)
    with suppress(TimeoutError):  # what is left then is at rest
        async with asyncio.timeout(QUIET_WITHIN_S):
            while await asyncio.to_thread(_is_busy, side.database):  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.05)


def _is_busy(database: Database) -> bool:
    return database.read_sync(_count_jobs) > 0


def _count_jobs(db: Session) -> int:
    due = text("SELECT count(*) FROM outbox_jobs WHERE kind <> 'mail'")
    found: int = db.connection().execute(due).scalar_one()
    return found


def _figures(rounds: Sequence[tuple[float, ...]]) -> tuple[float, float]:
    every = [latency for latencies in rounds for latency in latencies]
    return statistics.median(every), _p99(every)


def _p99(latencies: Sequence[float]) -> float:
    return report.percentile(latencies, 99)
