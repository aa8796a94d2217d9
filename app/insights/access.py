"""Lets a data key in: how often it may ask, and what it may ask for."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Concatenate, ParamSpec, TypeVar

from sqlmodel import Session

from app.accounts import service as accounts
from app.accounts.service import DataCaller, Scope
from app.core.errors import FieldError, InvalidInput
from app.insights.turns import Turns
from app.insights.usage import UsageCounter
from app.links.api import MODE_HEADER, ApiRates, Asked
from app.web.bodies import AnyRequest
from app.web.deps import Ports

P = ParamSpec("P")
R = TypeVar("R")


class DataDesk:
    """What the handlers of the Data API share, one a process."""

    def __init__(self, per_minute: int, usage: UsageCounter) -> None:
        self.usage = usage
        self._rates = ApiRates(per_minute)
        self._turns = Turns()

    @asynccontextmanager
    async def admitted(self, request: AnyRequest, ports: Ports) -> AsyncIterator[Asked]:
        """Raises TooManyRequests. Counted as at the mint API, and apart from it."""
        async with self._rates.admitted(request, ports) as asked:
            yield asked

    async def read(
        self,
        asked: Asked,
        scope: Scope,
        fn: Callable[Concatenate[Session, DataCaller, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[DataCaller, R]:
        """Authenticate and read in one unit of work. Raises Unauthorized, InvalidInput (`x-ck-mode`), ScopeMissing,
        TookTooLong, Overloaded."""

        def read(db: Session) -> tuple[DataCaller, R]:
            caller = accounts.authenticate_data(db, asked.credentials)
            if asked.mode is not None and asked.mode.strip().lower() != caller.mode:
                message = f"This key reads {caller.mode} data. Use a key of the other environment."
                raise InvalidInput(fields=[FieldError(MODE_HEADER, message)])
            caller.require(scope)
            return caller, fn(db, caller, *args, **kwargs)

        caller, found = await self._turns.read(asked.ports.database, read)
        if caller.is_use_news(asked.now):
            await asked.ports.database.write(accounts.note_use, caller, now=asked.now)
        return caller, found

    async def read_on(
        self,
        ports: Ports,
        fn: Callable[Concatenate[Session, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """The next piece of an answer that has begun. Raises TookTooLong, Overloaded."""
        return await self._turns.read(ports.database, fn, *args, **kwargs)
