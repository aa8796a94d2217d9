"""Units of work: plain functions `(db, …) -> result`, each one transaction, in threads off the event loop.

Owns threads, queues and retries. Knows no table.
"""

import asyncio
import contextvars
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from app.core.errors import Unavailable
from app.db.deadlines import TookTooLong, keep_time, until
from app.db.engines import is_sqlite, parse_url, postgresql_engine, prepare_file, sqlite_engine

__all__ = ["Database", "Overloaded", "Session", "TookTooLong", "after_commit", "keep_time"]

P = ParamSpec("P")
R = TypeVar("R")

SQLITE_READERS = 4
POSTGRESQL_CONNECTIONS = 8
MAX_WAITING = 256  # units of work that may wait for a thread; one more is refused at once
BUSY_TIMEOUT_S = 5.0  # SQLite: how long a try waits while another process writes
MAX_TRIES = 4  # of a unit of work that lost against another transaction, or its connection

_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6
_SERIALIZATION_FAILURE, _DEADLOCK = "40001", "40P01"
_TOPICS = "after_commit"


class Overloaded(Unavailable):
    code = "overloaded"
    user_message = "There is more to do right now than we can handle. Please try again in a moment."
    retry_after = 2


def after_commit(db: Session, topic: str) -> None:
    """Tell this process's listeners of `topic`, once, when this unit of work has committed; else never."""
    db.info.setdefault(_TOPICS, set()).add(topic)


class Database:
    """One per process. `fn` gets a session of its own and touches nothing but the database: it may run twice.

    What `fn` raises rolls the transaction back and reaches the caller unchanged. What it returns stays
    readable after the commit. When a caller is cancelled, its running unit of work finishes on its thread;
    one that still waits in the queue never runs.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int | None = None,
        max_waiting: int = MAX_WAITING,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self.url = parse_url(url)
        self.is_sqlite = is_sqlite(self.url)
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        if self.is_sqlite:
            readers = pool_size or SQLITE_READERS
            self._writer = sqlite_engine(self.url, pool_size=1, writes=True, busy_timeout_s=busy_timeout_s)
            self._reader = sqlite_engine(
                self.url, pool_size=readers, writes=False, busy_timeout_s=busy_timeout_s
            )
            self._write_lane = _Lane("db-write", threads=1, max_waiting=max_waiting)
            self._read_lane = _Lane("db-read", threads=readers, max_waiting=max_waiting)
        else:
            connections = pool_size or POSTGRESQL_CONNECTIONS
            self._writer = postgresql_engine(self.url, pool_size=connections)
            # The same promise as SQLite's: a read sees one snapshot and cannot write.
            self._reader = self._writer.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self._write_lane = self._read_lane = _Lane("db", threads=connections, max_waiting=max_waiting)

    async def connect(self) -> None:
        """Open the first connection, so that a wrong address fails at start and not at the first request."""
        if self.is_sqlite:
            prepare_file(self.url)
        await self.ping()

    async def ping(self) -> None:
        await self.read(_ping)

    async def close(self) -> None:
        """Finish what was begun, then close every connection."""
        await asyncio.to_thread(self.close_sync)

    async def read(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.wrap_future(self._submit_read(fn, *args, **kwargs))

    async def read_within(
        self,
        seconds: float,
        fn: Callable[Concatenate[Session, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """A read whose statements together take no longer than that from when it begins; else raises TookTooLong.

        Its thread and its connection are free again by then, whether somebody still waits for the answer or not.
        """
        return await asyncio.wrap_future(
            self._read_lane.submit(
                lambda: _run(self._reader, lambda db: fn(db, *args, **kwargs), within_s=seconds)
            )
        )

    async def write(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.wrap_future(self._submit_write(fn, *args, **kwargs))

    def read_sync(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """For the command line and tests; blocks the thread. Never from within a unit of work."""
        return self._submit_read(fn, *args, **kwargs).result()

    def write_sync(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        return self._submit_write(fn, *args, **kwargs).result()

    def close_sync(self) -> None:
        self._write_lane.close()
        self._read_lane.close()
        self._reader.dispose()
        self._writer.dispose()

    def __enter__(self) -> Self:
        if self.is_sqlite:
            prepare_file(self.url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_sync()

    def listen(self, topic: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` (from a database thread; it must not raise) after each commit that named `topic`.

        Returns the function that ends it.
        """
        listeners = self._listeners.setdefault(topic, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def _submit_read(
        self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]:
        return self._read_lane.submit(lambda: _run(self._reader, lambda db: fn(db, *args, **kwargs)))

    def _submit_write(
        self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]:
        return self._write_lane.submit(
            lambda: _run(self._writer, lambda db: fn(db, *args, **kwargs), committed=self._announce)
        )

    def _announce(self, db: Session) -> None:
        for topic in db.info.get(_TOPICS, ()):
            for listener in list(self._listeners.get(topic, ())):
                listener()


class _Lane:
    """A fixed number of threads behind a queue of bounded length."""

    def __init__(self, name: str, *, threads: int, max_waiting: int) -> None:
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._slots = threading.BoundedSemaphore(threads + max_waiting)

    def submit(self, job: Callable[[], R]) -> Future[R]:
        if not self._slots.acquire(blocking=False):
            raise Overloaded
        try:
            # The context goes along, so that what is logged in the thread carries the request's id.
            future = self._threads.submit(contextvars.copy_context().run, job)
        except BaseException:
            self._slots.release()
            raise
        future.add_done_callback(lambda _: self._slots.release())
        return future

    def close(self) -> None:
        self._threads.shutdown(wait=True)


def _run(
    engine: Engine,
    fn: Callable[[Session], R],
    committed: Callable[[Session], None] | None = None,
    within_s: float | None = None,
) -> R:
    """Run `fn` in a transaction; commit it if there is somebody to tell, else roll it back (a read)."""
    tries = 0
    deadline = time.monotonic() + within_s if within_s is not None else None
    while True:
        tries += 1
        is_committing = False
        try:
            with Session(engine, expire_on_commit=False) as db:
                if deadline is None:
                    result = fn(db)
                else:
                    with until(db, deadline):
                        result = fn(db)
                if committed is None:
                    return result
                db.flush()
                is_committing = True
                db.commit()
                committed(db)
                return result
        except DBAPIError as error:
            has_lost_race = _has_lost_race(error)
            if not has_lost_race and not _is_cut_off(error):
                raise
            # Cut off while committing, nobody knows whether it was done; running it again could do it twice.
            if tries == MAX_TRIES or (is_committing and not has_lost_race):
                raise (Overloaded() if has_lost_race else Unavailable()) from error
        time.sleep(random.uniform(0.5, 1) * 0.02 * 2**tries)  # noqa: S311 (jitter, not a secret)


def _has_lost_race(error: DBAPIError) -> bool:
    """Another transaction was in the way and this one is rolled back: the same again may well succeed."""
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return (sqlite_code & 0xFF) in (_SQLITE_BUSY, _SQLITE_LOCKED)
    return getattr(error.orig, "sqlstate", None) in (_SERIALIZATION_FAILURE, _DEADLOCK)


def _is_cut_off(error: DBAPIError) -> bool:
    """PostgreSQL could not be reached, or went away."""
    if error.connection_invalidated:
        return True
    sqlstate = getattr(error.orig, "sqlstate", "")
    return (sqlstate is None and error.statement is None) or str(sqlstate).startswith(("08", "57P"))


def _ping(db: Session) -> None:
    db.connection().execute(text("SELECT 1"))
