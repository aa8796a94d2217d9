"""Gathers what runners want written while the database is busy, and writes it in one transaction. Knows no table."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from sqlmodel import Session

from app.db.database import Database

MOST_IN_ONE: Final = 16
SIDE_BY_SIDE: Final = (
    3  # on PostgreSQL; SQLite has one writer, and a customer waits for one transaction at most
)

P = ParamSpec("P")
R = TypeVar("R")

Unit = Callable[[Session], Any]


@dataclass(frozen=True, slots=True)
class _Waiting:
    order: str
    unit: Unit
    done: asyncio.Future[Any]


class Writer:
    """Has a transaction or a few under way, however many runners there are."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._most = 1 if database.is_sqlite else SIDE_BY_SIDE
        self._flushers: set[asyncio.Task[None]] = set()

    async def write(
        self, order: str, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a unit of work, perhaps in one transaction with others, in the order that `order` gives: processes that
        lock the same rows lock them in the same order. What it raises reaches its caller alone."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(order, lambda db: fn(db, *args, **kwargs), done))
        if len(self._flushers) < self._most:
            self._flushers.add(asyncio.create_task(self._flush()))
        return cast("R", await done)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_IN_ONE], self._waiting[MOST_IN_ONE:]
                await self._write_all(sorted(batch, key=lambda one: one.order))
        finally:  # in the same breath as the look that found nothing: what comes now finds room for another
            self._flushers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _write_all(self, batch: Sequence[_Waiting]) -> None:
        try:
            results = await self._database.write(_run_all, [one.unit for one in batch])
        except Exception as failure:
            if len(batch) == 1:
                _settle(batch[0].done, partial(batch[0].done.set_exception, failure))
                return
            for one in batch:  # one of them may have spoilt it for the others
                await self._write_all([one])
        else:
            for one, result in zip(batch, results, strict=True):
                _settle(one.done, partial(one.done.set_result, result))


def _settle(done: asyncio.Future[Any], settle: Callable[[], None]) -> None:
    if not done.done():  # else nobody waits any more
        settle()


def _run_all(db: Session, units: Sequence[Unit]) -> list[Any]:
    return [unit(db) for unit in units]
