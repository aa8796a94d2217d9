"""The crash matrix: {action} × {provider} × {fault point}, each case once, on a few stages side by side."""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from app.db.database import Database
from tests.crash import billing as billings
from tests.crash import stage as stages
from tests.crash.actions import ACTIONS, Action, is_possible
from tests.crash.faults import Fault, ask_and_count, ask_and_suffer, faults_of
from tests.crash.stage import Stage
from tests.crash.truth import assert_made_once
from tests.support import databases, run
from tests.support.simulator.vendors import VENDORS

PROVIDERS: Final = ("demo", "direct", *VENDORS)
CASE_WITHIN_S: Final = 90.0
LONGEST_LINE: Final = 300
MOST_LINES: Final = 12
# What a case may end with; anything else is a mistake of the matrix itself and stops it.
_ENDINGS: Final = (AssertionError, TimeoutError, httpx.HTTPError)


@dataclass(frozen=True)
class Result:
    """One case. `write` counts the calls that change something, of which the action needs `writes` at that provider;
    without a `fault` nothing went wrong. `disagreement` is None where everything came out right."""

    provider: str
    action: Action
    fault: Fault | None
    write: int = 1
    writes: int = 1
    disagreement: str | None = None

    def __str__(self) -> str:
        which = f", call {self.write} of {self.writes}" if self.writes > 1 else ""
        return f"{self.provider} · {self.action.title} · {self.fault or 'nothing goes wrong'}{which}"


@dataclass
class Run:
    """What has come out so far; `report` is told of each case as it ends."""

    until: float
    report: Callable[[Result], None]
    results: list[Result] = field(default_factory=list)
    impossible: set[tuple[str, Action]] = field(default_factory=set)
    is_complete: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.until

    def take(self, result: Result) -> None:
        with self._lock:
            self.results.append(result)
            self.report(result)

    def rule_out(self, provider: str, action: Action) -> None:
        with self._lock:
            self.impossible.add((provider, action))


def carry_out(
    providers: Sequence[str], *, folder: Path, lanes: int, limit_s: float, report: Callable[[Result], None]
) -> Run:
    """Every case of these providers. Stops after `limit_s` and says so in the result."""
    todo: queue.SimpleQueue[tuple[str, Action]] = queue.SimpleQueue()
    for provider in providers:
        for action in ACTIONS:
            todo.put((provider, action))
    outcome = Run(time.monotonic() + limit_s, report)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            lane = folder / f"lane{number}"
            lane.mkdir()
            asyncio.run(_work(todo, outcome, lane))
        except BaseException as error:  # a thread's error is nobody's unless it is carried over
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(lanes)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        outcome.until = 0.0
        for thread in threads:
            thread.join()
        raise
    if failures:
        raise failures[0]
    return outcome


async def _work(todo: "queue.SimpleQueue[tuple[str, Action]]", outcome: Run, folder: Path) -> None:
    with ExitStack() as stack:
        database = stack.enter_context(Database(databases.fresh_sqlite(run.folder(), folder)))
        systems = stack.enter_context(billings.running(folder))
        stage = stack.enter_context(stages.set_up(database, systems, folder))
        while True:
            try:
                provider, action = todo.get_nowait()
            except queue.Empty:
                return
            if not is_possible(action, provider, stage.capabilities(provider)):
                outcome.rule_out(provider, action)
                continue
            async for result in cases(stage, provider, action):
                outcome.take(result)
                if outcome.is_over:
                    outcome.is_complete = False
                    return


async def cases(stage: Stage, provider: str, action: Action) -> AsyncIterator[Result]:
    """The action with each fault in turn, after once without."""
    clean, writes = await _without_fault(stage, provider, action)
    yield clean
    for fault in faults_of(provider) if clean.disagreement is None else ():
        for write in range(1, writes + 1) if fault.moment.is_write else (writes,):
            yield await one(stage, provider, action, fault, write=write, writes=writes)


async def _without_fault(stage: Stage, provider: str, action: Action) -> tuple[Result, int]:
    writes = 1

    async def made() -> None:
        nonlocal writes
        writes = await count_writes(stage, provider, action)

    disagreement = await _disagreement(stage, made)
    return Result(provider, action, None, writes, writes, disagreement), writes


async def one(
    stage: Stage, provider: str, action: Action, fault: Fault, *, write: int, writes: int
) -> Result:
    async def made() -> None:
        await suffer(stage, provider, action, fault, write=write, writes=writes)

    return Result(provider, action, fault, write, writes, await _disagreement(stage, made))


async def _disagreement(stage: Stage, made: Callable[[], Awaitable[None]]) -> str | None:
    stage.ensure_running()
    stage.billings.forget_faults()
    try:
        async with asyncio.timeout(CASE_WITHIN_S):
            await made()
    except _ENDINGS as error:
        stage.stop()  # what is wrong with this server is not to be the next case's trouble
        return _shortened(str(error) or f"{type(error).__name__}: it did not end in time")
    return None


def _shortened(text: str) -> str:
    """Without the pages that some messages quote."""
    lines = [line[:LONGEST_LINE] for line in text.splitlines() if not line.lstrip().startswith("<")]
    return "\n".join(lines[:MOST_LINES])


async def count_writes(stage: Stage, provider: str, action: Action) -> int:
    """Make it once while nothing goes wrong; how many calls that change something it takes."""
    async with stage.customer(provider, action) as customer:
        screen = await action.reach(customer.visitor, customer.page)
        writes = await ask_and_count(customer, action, screen)
        await assert_made_once(customer, provider, action)
    assert writes, f"{provider} was never asked for a {action.title}"
    return writes


async def suffer(
    stage: Stage, provider: str, action: Action, fault: Fault, *, write: int, writes: int
) -> None:
    """Make it once with the fault. Raises AssertionError, naming all that disagrees once everything is over."""
    async with stage.customer(provider, action) as customer:
        screen = await action.reach(customer.visitor, customer.page)
        await ask_and_suffer(customer, action, screen, fault, write=write, writes=writes)
        await assert_made_once(customer, provider, action)
