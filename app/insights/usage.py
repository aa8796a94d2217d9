"""Counts what data keys ask for, in memory, and writes it down at most once a minute for each key."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from litestar import Litestar

from app.accounts.service import DataCaller
from app.adapters.clock import Clock
from app.db.database import Database
from app.insights import queries

EVERY: Final = timedelta(minutes=1)
_Key = tuple[str, str, str, str]  # App ID, day, key, endpoint

log = structlog.get_logger("leavewell.usage")


class UsageCounter:
    """One a process. What a process that dies has not written yet, at most a minute's, is not counted."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._pending: dict[_Key, list[int]] = {}
        self._written: dict[str, datetime] = {}  # by key, of those that have something pending or had lately
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def pending(self, app_id: str) -> dict[_Key, tuple[int, int]]:
        """What is counted here and not written yet."""
        return {key: (requests, rows) for key, (requests, rows) in self._pending.items() if key[0] == app_id}

    async def note(self, caller: DataCaller, endpoint: str, *, rows: int) -> None:
        """Count one request."""
        now = self._clock.now()
        key = (caller.app_id, day_of(now), caller.key_id, endpoint)
        counted = self._pending.setdefault(key, [0, 0])
        counted[0] += 1
        counted[1] += rows
        last = self._written.get(caller.key_id)
        if last is None or now - last >= EVERY:
            await self.flush(caller.key_id)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY.total_seconds(), self._on_time)

    async def flush(self, only: str | None = None) -> None:
        """Write down what is pending, of one key or of all. What cannot be written stays pending."""
        taken = {key: figures for key, figures in self._pending.items() if only in (None, key[2])}
        if not taken:
            return
        now = self._clock.now()
        self._written = {key: at for key, at in self._written.items() if now - at < EVERY}
        self._written |= dict.fromkeys((key[2] for key in taken), now)
        for key in taken:
            del self._pending[key]
        try:
            await self._database.write(queries.add_usage, [_row(*item) for item in taken.items()])
        except Exception:
            log.exception("usage not written")
            for key, (requests, rows) in taken.items():
                counted = self._pending.setdefault(key, [0, 0])
                counted[0] += requests
                counted[1] += rows

    def lifespan(self) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
        """Writes the rest when the server stops; to be closed before the database is."""

        @asynccontextmanager
        async def closing(_: Litestar) -> AsyncIterator[None]:
            yield
            await self.close()

        return closing

    async def close(self) -> None:
        """Write the rest."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._writing)
        await self.flush()

    def _on_time(self) -> None:
        self._timer = None
        task = asyncio.get_running_loop().create_task(self.flush())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


def day_of(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def _row(key: _Key, figures: list[int]) -> dict[str, Any]:
    app_id, day, key_id, endpoint = key
    return {
        "app_id": app_id,
        "day": day,
        "key_id": key_id,
        "endpoint": endpoint,
        "requests": figures[0],
        "rows": figures[1],
    }
