"""Has the questions of reports run a few at a time and none of them for long, so that customers find threads free."""

import asyncio
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlmodel import Session

from app.db.database import Database, Overloaded

P = ParamSpec("P")
R = TypeVar("R")

AT_ONCE: Final = 2
DEADLINE_S: Final = 30.0  # of one unit of work, once it has its turn
WAIT_S: Final = 30.0  # for a turn


class Turns:
    """One a process. Who no longer waits for an answer gives the turn back only when its unit of work has ended."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    async def read(
        self,
        database: Database,
        fn: Callable[Concatenate[Session, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Raises Overloaded where no turn comes, TookTooLong where the question costs more than it may."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded from None
        running = asyncio.ensure_future(database.read_within(DEADLINE_S, fn, *args, **kwargs))
        running.add_done_callback(self._end)
        return await asyncio.shield(running)

    def _end(self, running: asyncio.Future[Any]) -> None:
        self._free.release()
        if not running.cancelled():
            running.exception()  # asked for, so that nothing is logged where nobody waits for it any more
