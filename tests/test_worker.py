import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from app.core.errors import Unavailable
from app.db import outbox
from app.db.database import Database
from app.db.outbox import Job, RetryLater
from app.worker import GRACE_S, LEASE_S, Handler, Sweep, Worker, backoff_s
from tests.db.support import list_jobs, owe
from tests.support.clock import START, FakeClock

pytestmark = pytest.mark.anyio

LONG_S = 60.0  # longer than any test takes: whatever happens, it is not because of polling


class Broken(Exception):
    pass


class Desk:
    """A handler that notes what it gets, and finishes when it is told to."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.jobs: list[Job] = []
        self.has_job = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.is_cancelled = asyncio.Event()
        if is_open:
            self.may_finish.set()

    async def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        self.has_job.set()
        try:
            await self.may_finish.wait()
        except asyncio.CancelledError:
            self.is_cancelled.set()
            raise


async def break_down(job: Job) -> None:
    raise Broken("card 4242 4242 4242 4242")


def make_worker(database: Database, clock: FakeClock, handler: Handler, **options: Any) -> Worker:
    return Worker(database, clock, handlers={"effect": handler}, **{"poll_s": LONG_S, **options})


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[None]:
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(20):
            yield
    finally:
        worker.stop()
        await running


async def until(condition: Callable[[], Any]) -> None:
    while not await condition():
        pass


async def test_a_job_that_is_done_is_gone(database: Database, clock: FakeClock) -> None:
    desk = Desk()
    await database.write(owe, START)
    assert await make_worker(database, clock, desk).drain() == 1
    assert [job.subject_id for job in desk.jobs] == ["eff_1"]
    assert await database.read(list_jobs) == []


async def test_a_job_of_this_process_is_taken_up_at_once(database: Database, clock: FakeClock) -> None:
    desk, is_swept = Desk(), asyncio.Event()

    async def sweep() -> None:
        is_swept.set()

    worker = make_worker(database, clock, desk, sweeps=[Sweep("look", LONG_S, sweep)])
    async with at_work(worker):
        await is_swept.wait()  # from here on it would sleep for a minute
        await database.write(owe, START)
        await desk.has_job.wait()
    assert await database.read(list_jobs) == []


async def test_a_job_of_another_process_is_found_by_looking(database: Database, clock: FakeClock) -> None:
    desk = Desk()
    with Database(database.url.render_as_string(hide_password=False)) as other:
        async with at_work(make_worker(database, clock, desk, poll_s=0.01)):
            await other.write(owe, START)
            await desk.has_job.wait()


async def test_a_failure_is_tried_again_later_and_keeps_no_details(
    database: Database, clock: FakeClock
) -> None:
    worker = make_worker(database, clock, break_down)
    await database.write(owe, START)
    for attempt in (1, 2, 3):
        assert await worker.drain() == 1
        [row] = await database.read(list_jobs)
        assert (row.attempts, row.last_error, row.locked_by) == (attempt, "Broken", None)
        assert row.due_at == clock.now() + timedelta(seconds=backoff_s(attempt))
        assert await worker.drain() == 0
        clock.set(row.due_at)


def test_waits_double_up_to_ten_minutes_and_never_end() -> None:
    assert [backoff_s(n) for n in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert backoff_s(11) == backoff_s(10_000) == 600


async def test_a_handler_may_say_when(database: Database, clock: FakeClock) -> None:
    async def ask_for_a_minute(job: Job) -> None:
        raise RetryLater("the provider asks for a minute", after_s=60)

    await database.write(owe, START)
    await make_worker(database, clock, ask_for_a_minute).drain()
    [row] = await database.read(list_jobs)
    assert (row.due_at, row.last_error) == (START + timedelta(minutes=1), "the provider asks for a minute")


async def test_a_job_nobody_knows_is_kept_and_harms_no_other(database: Database, clock: FakeClock) -> None:
    desk = Desk()
    await database.write(outbox.enqueue, kind="unheard_of", subject_id="x", due_at=START)
    await database.write(owe, START)
    assert await make_worker(database, clock, desk).drain() == 2
    assert len(desk.jobs) == 1
    assert [row.kind for row in await database.read(list_jobs)] == ["unheard_of"]


async def test_a_drain_sees_the_time_it_is_given(database: Database, clock: FakeClock) -> None:
    desk = Desk()
    later = START + timedelta(hours=1)
    await database.write(owe, later)
    worker = make_worker(database, clock, desk)
    assert await worker.drain() == 0
    assert await worker.drain(later) == 1


async def test_no_more_jobs_at_once_than_allowed(database: Database, clock: FakeClock) -> None:
    desk = Desk(is_open=False)
    for n in range(5):
        await database.write(owe, START, f"eff_{n}")
    async with at_work(make_worker(database, clock, desk, concurrency=2)):
        await desk.has_job.wait()
        await database.ping()
        assert len(desk.jobs) <= 2
        desk.may_finish.set()
        await until(lambda: _is_empty(database))
    assert len(desk.jobs) == 5


async def test_a_lane_that_is_full_holds_up_no_other(database: Database, clock: FakeClock) -> None:
    stuck, free = Desk(is_open=False), Desk()
    worker = Worker(
        database,
        clock,
        handlers={"mail": stuck, "effect": free, "other": free},
        lanes=[frozenset({"effect"}), frozenset({"mail"})],
        concurrency=2,
        poll_s=LONG_S,
    )
    kinds = ["mail", "mail", "mail", "effect", "other"]
    for kind in kinds:
        await database.write(partial(outbox.enqueue, kind=kind, subject_id=kind, due_at=START))
    async with at_work(worker):
        await until(lambda: _kinds_left(database, {"mail"}))
        assert {job.kind for job in free.jobs} == {"effect", "other"}
        assert len(stuck.jobs) == 2, "the third waits for a place in its own lane"
        stuck.may_finish.set()
        await until(lambda: _kinds_left(database, set()))
    assert len(stuck.jobs) == 3


async def _kinds_left(database: Database, kinds: set[str]) -> bool:
    return {job.kind for job in await database.read(list_jobs)} == kinds


async def test_a_heartbeat_keeps_a_long_job(database: Database, clock: FakeClock) -> None:
    desk = Desk(is_open=False)
    await database.write(owe, START)
    async with at_work(make_worker(database, clock, desk, lease_s=0.05)):
        await desk.has_job.wait()
        later = clock.advance(minutes=5)

        async def is_extended() -> bool:
            [row] = await database.read(list_jobs)
            return row.locked_until is not None and row.locked_until > later

        await until(is_extended)
        desk.may_finish.set()
    assert await database.read(list_jobs) == []


async def test_a_lost_lease_stops_the_job(database: Database, clock: FakeClock) -> None:
    desk = Desk(is_open=False)
    await database.write(owe, START)
    async with at_work(make_worker(database, clock, desk, lease_s=0.3)):
        await desk.has_job.wait()
        stolen_at = START + timedelta(seconds=1)
        [stolen] = await database.write(
            outbox.claim_due, worker="thief", now=stolen_at, lease_s=LEASE_S, limit=1
        )
        await desk.is_cancelled.wait()
    assert await database.write(outbox.finish, stolen, "thief")


async def test_a_hung_job_is_cut_off_and_tried_again(database: Database, clock: FakeClock) -> None:
    desk = Desk(is_open=False)
    await database.write(owe, START)
    assert await make_worker(database, clock, desk, deadline_s=0.01).drain() == 1
    assert desk.is_cancelled.is_set()
    [row] = await database.read(list_jobs)
    assert (row.last_error, row.locked_by) == ("TimeoutError", None)


async def test_stopping_lets_a_job_finish(database: Database, clock: FakeClock) -> None:
    desk = Desk(is_open=False)
    await database.write(owe, START)
    worker = make_worker(database, clock, desk)
    running = asyncio.create_task(worker.run())
    await desk.has_job.wait()
    worker.stop()
    desk.may_finish.set()
    await asyncio.wait_for(running, GRACE_S)
    assert await database.read(list_jobs) == []


async def test_stopping_gives_back_what_does_not_finish(database: Database, clock: FakeClock) -> None:
    desk = Desk(is_open=False)
    await database.write(owe, START)
    async with at_work(make_worker(database, clock, desk, grace_s=0.01)):
        await desk.has_job.wait()
    assert desk.is_cancelled.is_set()
    [row] = await database.read(list_jobs)
    assert (row.locked_by, row.due_at) == (None, START), "another worker may take it at once"


async def test_sweeps_come_round_again_and_survive_a_failure(database: Database, clock: FakeClock) -> None:
    runs: list[str] = []
    came_round = asyncio.Event()

    async def tidy() -> None:
        runs.append("tidy")
        if len(runs) > 2:
            came_round.set()

    async def fail() -> None:
        raise Broken

    sweeps = [Sweep("fail", 0.001, fail), Sweep("tidy", 0.001, tidy)]
    async with at_work(make_worker(database, clock, Desk(), sweeps=sweeps, poll_s=0.001)):
        await came_round.wait()


async def test_a_sweep_that_has_more_begins_again_at_once(database: Database, clock: FakeClock) -> None:
    answers = [True, True, False]
    is_through = asyncio.Event()

    async def sweep() -> bool:
        if len(answers) == 1:
            is_through.set()
        return answers.pop(0)

    async with at_work(make_worker(database, clock, Desk(), sweeps=[Sweep("tidy", LONG_S, sweep)])):
        await is_through.wait()
    assert answers == [], "and then not before its time"


async def test_a_drain_has_a_sweep_come_to_its_end(database: Database, clock: FakeClock) -> None:
    answers = [True, True, False]

    async def sweep() -> bool:
        return answers.pop(0)

    await make_worker(database, clock, Desk(), sweeps=[Sweep("tidy", LONG_S, sweep)]).drain()
    assert answers == []


async def test_stopping_cuts_a_sweep_off_at_once_and_lets_a_job_finish(
    database: Database, clock: FakeClock
) -> None:
    desk, is_swept, is_cut_off = Desk(is_open=False), asyncio.Event(), asyncio.Event()

    async def sweep() -> None:
        is_swept.set()
        try:
            await asyncio.Event().wait()
        finally:
            is_cut_off.set()

    await database.write(owe, START)
    worker = make_worker(database, clock, desk, sweeps=[Sweep("tidy", LONG_S, sweep)], grace_s=LONG_S)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(20):
        await is_swept.wait()
        await desk.has_job.wait()
        worker.stop()
        await is_cut_off.wait()
        assert not desk.is_cancelled.is_set(), "a job has its grace"
        desk.may_finish.set()
        await running
    assert await database.read(list_jobs) == []


async def test_stopping_waits_for_no_sweep(database: Database, clock: FakeClock) -> None:
    is_swept = asyncio.Event()

    async def sweep() -> None:
        is_swept.set()
        await asyncio.Event().wait()

    worker = make_worker(database, clock, Desk(), sweeps=[Sweep("tidy", LONG_S, sweep)], grace_s=LONG_S)
    async with at_work(worker):
        await is_swept.wait()
        worker.stop()


async def test_a_database_that_is_away_does_not_end_the_loop(database_url: str, clock: FakeClock) -> None:
    class Shaky(Database):
        failures = 2

        async def write(self, *args: Any, **kwargs: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise Unavailable
            return await super().write(*args, **kwargs)

    desk = Desk()
    with Shaky(database_url) as database:
        database.write_sync(owe, START)
        async with at_work(make_worker(database, clock, desk, poll_s=0.001)):
            await desk.has_job.wait()


@pytest.mark.crash
async def test_a_killed_process_loses_no_job(database_url: str) -> None:
    with Database(database_url) as database:
        now = datetime.now(UTC)
        owed = database.write_sync(owe, now)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.stuck_worker", database_url, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), 20)
        finally:
            process.kill()
        assert line.decode().strip() == owed.id
        assert await process.wait() == -signal.SIGKILL
        desk, clock = Desk(), FakeClock(now)
        worker = make_worker(database, clock, desk)
        assert await worker.drain() == 0, "until the lease runs out it may still be alive"
        clock.set(datetime.now(UTC) + timedelta(seconds=LEASE_S))
        assert await worker.drain() == 1
        assert [(job.id, job.attempts) for job in desk.jobs] == [(owed.id, 2)]
        assert database.read_sync(list_jobs) == []


async def _is_empty(database: Database) -> bool:
    return not await database.read(list_jobs)
