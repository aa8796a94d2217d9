"""Ends what a unit of work asks of its connection when its time is over. Knows no unit of work."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from app.core.errors import AppError

SQLITE_STEPS: Final = (
    20_000  # of its virtual machine, between two looks at the clock: less than a millisecond
)
PRECISION_S: Final = 1.0  # PostgreSQL: how much time may go by until it is told anew how much is left

_SQLITE_INTERRUPTED: Final = 9
_QUERY_CANCELED: Final = "57014"
_LIMIT: Final = "limit"


class TookTooLong(AppError):
    """A question that cost more than one may. Asked again it would cost as much, so no time to wait is named."""

    code = "took_too_long"
    status = 503
    user_message = "This took too long. Ask for a shorter span, or for less."


@contextmanager
def until(db: Session, deadline: float) -> Iterator[None]:
    """Let nothing of this unit of work run beyond `deadline` (of `time.monotonic`).

    A statement that is running then is cut off, another one does not begin: raises TookTooLong. Afterwards the
    connection is as it was, once the transaction has ended.
    """
    connection = db.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    limit = _Limit(deadline, tells_server=not is_sqlite)
    db.info[_LIMIT] = limit
    event.listen(connection, "before_cursor_execute", limit.before_statement)
    driver: Any = connection.connection.driver_connection
    if is_sqlite:
        driver.set_progress_handler(limit.is_over, SQLITE_STEPS)
    try:
        yield
    except DBAPIError as error:
        if _was_cut_off(error):
            raise TookTooLong from None
        raise
    finally:
        event.remove(connection, "before_cursor_execute", limit.before_statement)
        if is_sqlite:
            driver.set_progress_handler(None, 0)


def keep_time(db: Session) -> None:
    """For who fetches many rows of one statement piece by piece: raises TookTooLong when the time is over."""
    limit = db.info.get(_LIMIT)
    if limit is not None and limit.is_over():
        raise TookTooLong


class _Limit:
    def __init__(self, deadline: float, *, tells_server: bool) -> None:
        self._deadline = deadline
        self._tells_server = tells_server
        self._told = math.inf  # how much was left when PostgreSQL was told

    def is_over(self) -> bool:
        return self._left() <= 0

    def before_statement(
        self,
        connection: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        executemany: bool,
    ) -> None:
        """A statement may take what is left. PostgreSQL holds each to it by itself, also one that waits for a lock."""
        left = self._left()
        if left <= 0:
            raise TookTooLong
        if self._tells_server and self._told - left > PRECISION_S:
            with cursor.connection.cursor() as own:
                own.execute(f"SET LOCAL statement_timeout = {math.ceil(left * 1000)}")
            self._told = left

    def _left(self) -> float:
        return self._deadline - time.monotonic()


def _was_cut_off(error: DBAPIError) -> bool:
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    return sqlite_code == _SQLITE_INTERRUPTED or getattr(error.orig, "sqlstate", None) == _QUERY_CANCELED
