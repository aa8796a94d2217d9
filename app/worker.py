"""The background loop: does what the outbox owes and runs the periodic sweeps. Knows no kind of work."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from app.adapters.clock import Clock
from app.db import outbox
from app.db.database import Database, Session
from app.db.outbox import Job, RetryLater

__all__ = ["Companion", "Handler", "RetryLater", "Sweep", "Worker", "backoff_s", "new_worker_name"]

Handler = Callable[[Job], Awaitable[None]]

CONCURRENCY = 8
LEASE_S = 30.0  # how long a dead worker's jobs wait for another one
DEADLINE_S = 120.0  # of one job or sweep
POLL_S = 1.0  # how often to look for what has become due, and for what other processes left
GRACE_S = 10.0  # how long a stopping worker lets its jobs finish; sweeps it cuts off
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 600.0
MAX_DRAIN_ROUNDS = 1000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Something to look after every so often. Several processes may do it at once, so it claims its rows.

    It is made of short transactions and may be cut off between any two: at the deadline, and at once when the worker
    stops. Where `run` returns True there is more to do, and it begins again as soon as it has ended.
    """

    name: str
    every_s: float
    run: Callable[[], Awaitable[object]]


class Companion(Protocol):
    """Work with a queue of its own, which begins and ends with the worker's."""

    async def run(self) -> None:
        """Work until `stop()`; failures are its own affair."""

    def stop(self) -> None: ...

    async def drain(self, now: datetime | None = None) -> int:
        """For tests: all that is due. Returns how much that was."""


def new_worker_name() -> str:
    """Tells this process from every other, and from an earlier one that had its number."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def backoff_s(attempts: int) -> float:
    """How long to wait after that many tries: 1, 2, 4, … seconds, at most ten minutes. Never for good."""
    return min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 30), LAST_RETRY_S)


class Worker:
    """Runs each job, at least once, through the handler of its kind.

    A handler returns when the job is done. It raises `RetryLater`, or anything else, to have it tried again,
    so it decides itself when to give up. It is cancelled at the deadline, and when its lease went to another.

    Each lane is some kinds of job that have their `concurrency` to themselves, and so have all the others together:
    mails to a server that hangs hold up no change at a billing system.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        handlers: Mapping[str, Handler],
        sweeps: Sequence[Sweep] = (),
        name: str | None = None,
        lanes: Sequence[frozenset[str]] = (),
        companions: Sequence[Companion] = (),
        concurrency: int = CONCURRENCY,
        lease_s: float = LEASE_S,
        deadline_s: float = DEADLINE_S,
        poll_s: float = POLL_S,
        grace_s: float = GRACE_S,
    ) -> None:
        self.name = name or new_worker_name()
        self._database = database
        self._clock = clock
        self._handlers = dict(handlers)
        self._sweeps = tuple(sweeps)
        self._lanes = tuple(lanes)
        self._companions = tuple(companions)
        self._concurrency = concurrency
        self._lease_s = lease_s
        self._deadline_s = deadline_s
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._sweeping: dict[str, asyncio.Task[bool]] = {}
        self._next_sweep: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._is_stopping = False

    async def run(self) -> None:
        """Work until `stop()`; then let what runs finish, and give back what does not."""
        loop = asyncio.get_running_loop()
        forget = self._database.listen(outbox.TOPIC, lambda: _set_from_thread(loop, self._wake))
        heart = asyncio.create_task(self._beat())
        beside = [asyncio.create_task(companion.run()) for companion in self._companions]
        self._next_sweep = dict.fromkeys((sweep.name for sweep in self._sweeps), loop.time())
        try:
            while not self._is_stopping:
                self._wake.clear()
                for sweep in self._sweeps:
                    if loop.time() >= self._next_sweep[sweep.name] and sweep.name not in self._sweeping:
                        self._next_sweep[sweep.name] = loop.time() + sweep.every_s
                        self._start_sweep(sweep)
                await self._start_due_jobs()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._wake.wait()
        finally:
            forget()
            for companion in self._companions:
                companion.stop()
            await self._wind_down()
            heart.cancel()
            await asyncio.wait([heart, *beside])

    def stop(self) -> None:
        self._is_stopping = True
        self._wake.set()

    async def drain(self, now: datetime | None = None) -> int:
        """For tests: each sweep until it has no more, then job after job, and what companions have to do, until nothing
        is due. Returns how much that was."""
        for sweep in self._sweeps:
            while await sweep.run() is True:
                pass
        count = 0
        for _ in range(MAX_DRAIN_ROUNDS):
            at = now or self._clock.now()
            lanes = (*self._lanes, frozenset[str]())
            jobs = [job for lane in lanes for job in await self._claim(self._concurrency, at, lane)]
            for job in jobs:
                await self._carry_out(job, now)
            done = len(jobs) + sum([await companion.drain(now) for companion in self._companions])
            if not done:
                return count
            count += done
        raise RuntimeError("jobs become due as fast as they are done")

    async def _claim(self, limit: int, now: datetime, only: Collection[str] = ()) -> list[Job]:
        """Of these kinds; without any, of those that are in no lane."""
        return await self._database.write(
            outbox.claim_due,
            worker=self.name,
            now=now,
            lease_s=self._lease_s,
            limit=limit,
            only=only,
            besides=() if only else frozenset().union(*self._lanes),
        )

    async def _start_due_jobs(self) -> None:
        for lane in (*self._lanes, frozenset[str]()):
            running = sum(self._lane_of(job.kind) == lane for job in self._jobs.values())
            if running < self._concurrency:
                await self._start_due_jobs_of(lane, self._concurrency - running)

    def _lane_of(self, kind: str) -> frozenset[str]:
        return next((lane for lane in self._lanes if kind in lane), frozenset())

    async def _start_due_jobs_of(self, lane: frozenset[str], limit: int) -> None:
        try:
            jobs = await self._claim(limit, self._clock.now(), lane)
        except Exception:
            _log.exception("worker.claim_failed")
            return
        for job in jobs:
            task = asyncio.create_task(self._carry_out(job), name=f"job {job.kind} {job.id}")
            self._jobs[task] = job
            task.add_done_callback(self._forget_job)

    def _forget_job(self, task: asyncio.Task[None]) -> None:
        del self._jobs[task]
        self._wake.set()  # a place is free

    async def _carry_out(self, job: Job, now: datetime | None = None) -> None:
        """Run the handler and write down what became of the job. Does not raise, except when cancelled."""
        log = _log.bind(job=job.id, kind=job.kind, subject=job.subject_id, attempt=job.attempts)
        error: str | None = None
        after_s = backoff_s(job.attempts)
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._handlers[job.kind](job)
        except RetryLater as later:
            error = str(later)
            after_s = after_s if later.after_s is None else later.after_s
            log.info("job.retry_later", reason=error, after_s=after_s)
        except Exception as failure:
            # Only its name is stored: what an unforeseen error says may hold what must not be kept.
            error = type(failure).__name__
            log.exception("job.failed", after_s=after_s)
        try:
            if error is not None:
                due_at = (now or self._clock.now()) + timedelta(seconds=after_s)
                is_ours = await self._database.write(outbox.retry, job, self.name, due_at=due_at, error=error)
            else:
                is_ours = await self._database.write(outbox.finish, job, self.name)
        except Exception:
            log.exception("job.not_recorded")  # it is done again when the lease runs out
        else:
            if not is_ours:
                log.warning("job.lease_lost")

    def _start_sweep(self, sweep: Sweep) -> None:
        task = asyncio.create_task(self._sweep(sweep), name=f"sweep {sweep.name}")
        self._sweeping[sweep.name] = task
        task.add_done_callback(partial(self._forget_sweep, sweep))

    def _forget_sweep(self, sweep: Sweep, task: asyncio.Task[bool]) -> None:
        del self._sweeping[sweep.name]
        if not task.cancelled() and task.result():
            self._next_sweep[sweep.name] = asyncio.get_running_loop().time()
            self._wake.set()

    async def _sweep(self, sweep: Sweep) -> bool:
        """Whether there is more to do. Does not raise, except when cancelled."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await sweep.run() is True
        except Exception:
            _log.exception("sweep.failed", sweep=sweep.name)
            return False

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            held = dict(self._jobs)
            if not held:
                continue
            until = self._clock.now() + timedelta(seconds=self._lease_s)
            try:
                kept = await self._database.write(_extend_all, list(held.values()), self.name, until)
            except Exception:
                _log.exception("worker.heartbeat_failed")
                continue
            for task, is_kept in zip(held, kept, strict=True):
                if not is_kept:
                    task.cancel()

    async def _wind_down(self) -> None:
        held, sweeping = dict(self._jobs), list(self._sweeping.values())
        for sweep in sweeping:
            sweep.cancel()
        unfinished = set[asyncio.Task[Any]](sweeping)
        if held:
            _, late = await asyncio.wait(held, timeout=self._grace_s)
            for task in late:
                task.cancel()
            unfinished |= late
        if unfinished:
            await asyncio.wait(unfinished)
        cut_short = [job for task, job in held.items() if task in unfinished]
        if cut_short:
            try:
                await self._database.write(_give_back_all, cut_short, self.name, self._clock.now())
            except Exception:
                _log.exception("worker.jobs_not_given_back")  # others take them when the lease runs out


def _extend_all(db: Session, jobs: list[Job], worker: str, until: datetime) -> list[bool]:
    """Returns, job by job, whether it is still held."""
    return [outbox.extend(db, job, worker, until=until) for job in jobs]


def _give_back_all(db: Session, jobs: list[Job], worker: str, now: datetime) -> None:
    for job in jobs:
        outbox.retry(db, job, worker, due_at=now, error="the worker was stopped")


def _set_from_thread(loop: asyncio.AbstractEventLoop, flag: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody is left to wake
        loop.call_soon_threadsafe(flag.set)
