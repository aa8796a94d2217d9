"""What is told, erased and forgotten of a few people among a million sessions beside ten thousand, and what others who
write notice of it meanwhile.
"""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event

from sqlalchemy import update
from sqlmodel import Session, col, select

from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.core.errors import Unavailable
from app.db.database import Database
from app.db.outbox import Job
from app.db.tables.sessions import CancelSession
from app.privacy import retention, service
from app.privacy.service import PrivacyPorts
from app.sessions import service as sessions
from tests.bench import archive, report, servers
from tests.bench.archive import EACH, FEW, MANY, NOW, PEOPLE, SECRET, STAYS, Stock, served
from tests.support import seed_rows, seed_sessions
from tests.support.clock import FakeClock

DUE = 500  # sessions whose time has just been over
BACKLOG = min(20_000, MANY // 50)
BUSY, PERSON = min(3_000, MANY // 300), 8_000_000  # sessions of one person
SWEEPS = 3  # turns of what takes seconds
EVERY_S = 0.02  # somebody writes
WAIT_BAR_MS = 250


def measure(kind: str, few: Stock, many: Stock) -> None:
    with served(few) as at_few, served(many) as at_many:
        rows = [
            archive.compared(
                f"access, {EACH} sessions",
                partial(at_few.post, "dsr/access", email_of(STAYS)),
                partial(at_many.post, "dsr/access", email_of(STAYS)),
            ),
            archive.compared(
                f"erasure, {EACH} sessions",
                _erasing(at_few.post),
                _erasing(at_many.post),
            ),
        ]
    with Database(few.url) as low, Database(many.url) as high:
        rows += [
            archive.compared("retention, nothing due", partial(_sweep, low), partial(_sweep, high)),
            archive.compared(
                f"retention, {DUE} sessions due", _forgetting(few, low), _forgetting(many, high), turns=SWEEPS
            ),
            archive.compared("idle sessions, none", partial(_close_idle, low), partial(_close_idle, high)),
        ]
    report.table(
        f"What is told, erased and forgotten among {MANY:,} sessions, over what it costs among {FEW:,} · "
        f"{servers.TITLES[kind]}",
        archive.HEAD,
        rows,
        notes=(archive.seeded(few, many),),
    )
    meanwhile = [_backlog(many), _busy(many)]
    report.table(
        f"A large backlog among {MANY:,} sessions, and how long writers wait meanwhile · {servers.TITLES[kind]}",
        ("", "s", "sessions/s", "writes", "refused", "p50 ms", "p99 ms", "longest ms", "bar", ""),
        meanwhile,
    )


def email_of(number: int) -> str:
    return f"person{number}@mail{number % 50}.example"


def _erasing(post: Callable[[str, str], None]) -> Callable[[], None]:
    """Erase the next person each time it is called."""
    whose = iter(PEOPLE[1:])
    return lambda: post("dsr/delete", email_of(next(whose)))


def _sweep(database: Database) -> None:
    asyncio.run(_sweep_all(database))


async def _sweep_all(database: Database) -> None:
    while await retention.sweep(database, FakeClock(NOW)):
        pass


def _close_idle(database: Database) -> None:
    database.write_sync(sessions.close_idle, now=NOW)


def _forgetting(stock: Stock, database: Database) -> Callable[[], float]:
    """Let the time of some be over and sweep, each time it is called; how long the sweep took."""
    numbers = count()

    def act() -> float:
        stock.age(DUE, prefix=f"due{next(numbers)}")
        began = time.perf_counter()
        _sweep(database)
        return time.perf_counter() - began

    return act


# --- Much at once -----------------------------------------------------------------------------------------------------


def _backlog(stock: Stock) -> Sequence[str]:
    """The first sweep of somebody who has just set a retention time."""
    stock.age(BACKLOG, prefix="backlog")
    with Database(stock.url) as database:
        return _meanwhile(f"{BACKLOG:,} sessions past their time", stock, BACKLOG, _sweep_all(database))


def _busy(stock: Stock) -> Sequence[str]:
    """An erasure of somebody who has come thousands of times."""
    made = seed_rows.whole(
        stock.stocked,
        start=NOW - seed_rows.LATELY,
        end=NOW,
        count=BUSY,
        prefix="busy",
        who=lambda chance, number: PERSON,
    )
    seed_sessions.insert_whole(stock.url, made, is_vacuumed=False)
    with Database(stock.url) as database:
        ports = PrivacyPorts(database, FakeClock(NOW), Vault([SECRET]), Signer((SECRET,)), "bench")
        return _meanwhile(f"one person's {BUSY:,} sessions", stock, BUSY, _erase(ports, stock))


async def _erase(ports: PrivacyPorts, stock: Stock) -> None:
    organization_id = stock.stocked.shop.organization_id
    erasure = await service.delete(
        ports, organization_id=organization_id, email=email_of(PERSON), requested_by="cli"
    )
    while erasure.finished_at is None:  # the worker's part
        await service.work_on(ports, Job("job_bench", service.JOB, erasure.id, {}, 1))
        erasure = await ports.database.read(
            service.get, organization_id=organization_id, erasure_id=erasure.id
        )
    assert erasure.counts["sessions"] == BUSY


def _meanwhile(name: str, stock: Stock, number: int, work: Coroutine[None, None, None]) -> Sequence[str]:
    """Do it while another process writes one row every now and then; how long that one has to wait."""
    spawning = multiprocessing.get_context("spawn")
    is_over, ready, took = spawning.Event(), spawning.Event(), spawning.SimpleQueue()
    writer = spawning.Process(target=write_until, args=(stock.url, is_over, ready, took), daemon=True)
    writer.start()
    ready.wait()
    began = time.perf_counter()
    asyncio.run(_run(work))
    seconds = time.perf_counter() - began
    is_over.set()
    told = took.get()
    waits, refused = [abs(wait) * 1000 for wait in told], sum(wait < 0 for wait in told)
    writer.join()
    p99 = report.percentile(waits, 99)
    return [
        name,
        f"{seconds:.1f}",
        f"{number / seconds:.0f}",
        str(len(waits)),
        str(refused),
        f"{statistics.median(waits):.1f}",
        f"{p99:.1f}",
        f"{max(waits):.1f}",
        str(WAIT_BAR_MS),
        report.verdict(p99 <= WAIT_BAR_MS and not refused),
    ]


async def _run(work: Coroutine[None, None, None]) -> None:
    await work


def write_until(url: str, is_over: Event, ready: Event, took: "SimpleQueue[list[float]]") -> None:
    """The other process: a customer's step, as far as waiting goes. Below zero: refused after so long."""
    waits: list[float] = []
    with Database(url) as database:
        session_id = database.read_sync(lambda db: db.exec(select(CancelSession.id).limit(1)).one())
        database.write_sync(_touch, session_id)
        ready.set()
        while not is_over.wait(EVERY_S):
            began = time.perf_counter()
            is_done = False
            with suppress(Unavailable):
                database.write_sync(_touch, session_id)
                is_done = True
            wait = time.perf_counter() - began
            waits.append(wait if is_done else -wait)
    took.put(waits)


def _touch(db: Session, session_id: str) -> None:
    touched = update(CancelSession).where(col(CancelSession.id) == session_id)
    db.connection().execute(touched.values(revision=CancelSession.revision + 1))
