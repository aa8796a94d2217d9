"""Forgets what is personal once its time is over: the worker's sweep. What is not finished is left for later.

Each environment has its time, and its turn: a bite of each, one after the other, so that a backlog holds up no other.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlmodel import Session, col, select

from app.adapters.clock import Clock
from app.db import pauses
from app.db.database import Database
from app.db.tables.links import CancelLink
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.privacy import erasing, overdue
from app.privacy.erasing import Measure
from app.privacy.overdue import KINDS, Place, Span

LONGEST_S: Final = 20.0  # of one sweep; what is left then is for the next one


@dataclass(frozen=True, slots=True)
class _Part:
    """A table of an environment, and behind which row to look next."""

    kind: str
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class _Walk:
    """An environment, and its tables whose end has not been seen, in the order of their turns."""

    app_id: str
    parts: tuple[_Part, ...] = tuple(_Part(kind) for kind in KINDS)


@dataclass(slots=True)
class Rota:
    """The environments that a sweep has not come to the end of, in the order of their turns. One per process: a sweep
    whose time is up leaves the others to the next one."""

    walks: deque[_Walk] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class _Turn:
    """What there is to forget, and how the walk goes on."""

    kind: str
    span: Span
    ids: Sequence[str]
    rest: _Walk


async def sweep(database: Database, clock: Clock, rota: Rota | None = None) -> bool:
    """Forget what is due, in bites that hold nobody up, for a while. True: there is more, so begin again soon.

    It may be cut off at any time, and several processes may do it at once.
    """
    rota = rota or Rota()
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + LONGEST_S
    if not rota.walks:
        if failed := await database.read(overdue.list_failed, clock.now()):
            await database.write(erasing.forget_failures, failed)
        rota.walks.extend(_Walk(app_id) for app_id in await database.read(overdue.list_keeping))
    while rota.walks:
        # Taken off first: if this one fails, the next sweep begins with the others.
        turn = await database.read(_look, rota.walks.popleft(), clock.now())
        if turn is not None:
            began = loop.time()
            if turn.ids:  # else there is no need to take the writer for it
                await database.write(_forget, turn)
            if turn.rest.parts:
                rota.walks.append(turn.rest)
            if turn.ids:
                await asyncio.sleep(pauses.pause_s(database, loop.time() - began))
        if loop.time() >= ends_at:
            break
    return bool(rota.walks)


def _look(db: Session, walk: _Walk, now: datetime) -> _Turn | None:
    """The next table that is not at its end; None when all are. The time is read anew: it may have been changed."""
    cut = overdue.cut_of(db, walk.app_id, now)
    if cut is None:
        return None
    for place, part in enumerate(walk.parts):
        span = Span(walk.app_id, cut, now, part.after)
        seen = overdue.look(db, KINDS[part.kind], span)
        if seen.ids or seen.last is not None:
            again = (_Part(part.kind, seen.last),) if seen.last is not None else ()
            return _Turn(part.kind, span, seen.ids, _Walk(walk.app_id, (*walk.parts[place + 1 :], *again)))
    return None


def _forget(db: Session, turn: _Turn) -> None:
    ids = overdue.hold(db, KINDS[turn.kind], turn.span, turn.ids)
    if ids:
        _FORGET[turn.kind](db, ids, Measure(turn.span.now, keeps_reason=True))


# --- One bite a table -------------------------------------------------------------------------------------------------


def _sessions(db: Session, ids: Sequence[str], measure: Measure) -> None:
    for id in ids:
        erasing.erase_session(db, id, measure)


def _links(db: Session, ids: Sequence[str], measure: Measure) -> None:
    for link in db.exec(select(CancelLink).where(col(CancelLink.id).in_(ids))).all():
        erasing.erase_link(db, link, measure)


def _requests(db: Session, ids: Sequence[str], measure: Measure) -> None:
    for request in db.exec(select(CancellationRequest).where(col(CancellationRequest.id).in_(ids))).all():
        erasing.erase_request(db, request, measure)


def _mails(db: Session, ids: Sequence[str], measure: Measure) -> None:
    erasing.delete_mails(db, db.exec(select(Mail).where(col(Mail.id).in_(ids))).all())


def _events(db: Session, ids: Sequence[str], measure: Measure) -> None:
    erasing.delete_events(db, ids)


def _records(db: Session, ids: Sequence[str], measure: Measure) -> None:
    for id in ids:
        erasing.erase_record(db, id, measure)


_FORGET: Final[Mapping[str, Callable[[Session, Sequence[str], Measure], Any]]] = MappingProxyType(
    {
        "sessions": _sessions,
        "links": _links,
        "requests": _requests,
        "mails": _mails,
        "events": _events,
        "records": _records,
    }
)
