"""`/v1/data`: a merchant's programs read what happened (DESIGN §2.11)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from litestar import Response, Router, route
from litestar.di import NamedDependency
from litestar.response import Stream
from sqlmodel import Session

from app.accounts.service import DataCaller, Scope
from app.core.errors import FieldError
from app.db.base import dump_json
from app.insights import dsr, queries, telling
from app.insights.access import DataDesk
from app.insights.aggregation import AggregationQuery, aggregate, read_aggregation_query
from app.insights.filters import (
    MEDIA_TYPES,
    Format,
    Given,
    InvalidParameters,
    SessionsQuery,
    read_sessions_query,
)
from app.insights.queries import Place, Told
from app.insights.usage import day_of
from app.web.assets import READ
from app.web.bodies import AnyRequest
from app.web.deps import Ports, after_ports

PREFIX: Final = "/v1/data"
PIECE: Final = 250  # records that are in memory at once
USAGE_DAYS: Final = 30
MOST_USAGE_DAYS: Final = 400
MOST_USAGE_ROWS: Final = 10_000
USAGE_COLUMNS: Final = ("day", "keyId", "endpoint", "requests", "rows")
HEADERS: Final = {"Cache-Control": "no-store", "Vary": "Accept"}

Pairs = Sequence[tuple[str, str]]


def router(desk: DataDesk) -> Router:
    return Router(
        PREFIX,
        route_handlers=[sessions, aggregation, usage, *dsr.HANDLERS],
        dependencies=after_ports(desk=desk),
    )


# --- Sessions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records of an answer; `left` is how many may still come, 0 where the list is at its end."""

    records: Sequence[Told]
    left: int
    has_more: bool

    @property
    def cursor(self) -> str | None:
        return self.records[-1].session_id if self.has_more and self.records else None


@route("/sessions", http_method=READ)
async def sessions(
    request: AnyRequest, ports: NamedDependency[Ports], desk: NamedDependency[DataDesk]
) -> Response[Any]:
    """Records of closed sessions, newest first. A long answer is read and sent in pieces."""
    async with desk.admitted(request, ports) as asked:
        caller, (query, first) = await desk.read(asked, Scope.SESSIONS, _first_piece, *_asked_for(request))
    if not first.left or request.method == "HEAD":
        await desk.usage.note(caller, "sessions", rows=len(first.records))
        return _answer(_whole(query, first, caller), query.format)
    return Stream(
        _pieces(ports, desk, caller, query, first),
        media_type=MEDIA_TYPES[query.format],
        headers=HEADERS,
    )


def _first_piece(db: Session, caller: DataCaller, pairs: Pairs, accept: str) -> tuple[SessionsQuery, Piece]:
    query = read_sessions_query(pairs, accept)
    if query.selection.asks_about("customerEmail"):
        caller.require(Scope.SESSIONS_PII)  # else it could be asked whose record this is
    behind = None
    if query.cursor is not None:
        behind = queries.find_place(db, app_id=caller.app_id, session_id=query.cursor)
        if behind is None:
            raise InvalidParameters(FieldError("cursor", "Must be the nextCursor of an earlier answer."))
    return query, _piece(db, caller.app_id, query, query.limit, behind, query.skip)


def _piece(
    db: Session, app_id: str, query: SessionsQuery, left: int, behind: Place | None, skip: int = 0
) -> Piece:
    """The next records of those `left`; one more is read, to see whether the list goes on."""
    size = min(PIECE, left)
    found = queries.list_records(
        db, app_id=app_id, selection=query.selection, limit=size + 1, behind=behind, skip=skip
    )
    has_more = len(found) > size
    return Piece(found[:size], left - size if has_more else 0, has_more)


async def _pieces(
    ports: Ports, desk: DataDesk, caller: DataCaller, query: SessionsQuery, first: Piece
) -> AsyncIterator[str]:
    has_pii, piece, rows = caller.may(Scope.SESSIONS_PII), first, 0
    is_json = query.format == "json"
    yield _opening(query.format)
    try:
        while True:
            records = [told.record for told in piece.records]
            if is_json:
                comma = "," if rows and records else ""
                yield comma + ",".join(telling.session_texts(records, has_pii=has_pii))
            else:
                yield telling.session_rows(records, query.format, has_pii=has_pii)
            rows += len(records)
            if not piece.left:
                break
            last = piece.records[-1]
            piece = await desk.read_on(
                ports, _piece, caller.app_id, query, piece.left, Place(last.created_at, last.session_id)
            )
    finally:
        await desk.usage.note(caller, "sessions", rows=rows)
    if is_json:
        yield _closing(piece)


def _whole(query: SessionsQuery, piece: Piece, caller: DataCaller) -> str:
    has_pii = caller.may(Scope.SESSIONS_PII)
    records = [told.record for told in piece.records]
    if query.format != "json":
        return _opening(query.format) + telling.session_rows(records, query.format, has_pii=has_pii)
    return _opening("json") + ",".join(telling.session_texts(records, has_pii=has_pii)) + _closing(piece)


def _opening(format: Format) -> str:
    match format:
        case "json":
            return '{"data":['
        case "csv":
            return telling.csv_lines([telling.SESSION_COLUMNS])
        case "ndjson":
            return ""


def _closing(last: Piece) -> str:
    return f'],"nextCursor":{dump_json(last.cursor)}}}'


# --- Aggregation ----------------------------------------------------------------------------------


@route("/session-aggregation", http_method=READ)
async def aggregation(
    request: AnyRequest, ports: NamedDependency[Ports], desk: NamedDependency[DataDesk]
) -> Response[Any]:
    """How many sessions there were, by dimensions."""
    async with desk.admitted(request, ports) as asked:
        caller, (query, rows) = await desk.read(
            asked, Scope.SESSIONS, _aggregate, *_asked_for(request), asked.now
        )
    await desk.usage.note(caller, "session-aggregation", rows=len(rows))
    columns = (*query.dimensions, *query.measures)
    return _answer(telling.plain_rows(rows, columns, query.format), query.format)


def _aggregate(
    db: Session, caller: DataCaller, pairs: Pairs, accept: str, now: datetime
) -> tuple[AggregationQuery, list[dict[str, Any]]]:
    query = read_aggregation_query(pairs, accept)
    if query.selection.asks_about("customerEmail"):
        caller.require(Scope.SESSIONS_PII)
    return query, aggregate(db, app_id=caller.app_id, query=query, now=now)


# --- Usage ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UsageQuery:
    first: date
    last: date
    format: Format


@route("/api-usage", http_method=READ)
async def usage(
    request: AnyRequest, ports: NamedDependency[Ports], desk: NamedDependency[DataDesk]
) -> Response[Any]:
    """How often each data key of the environment asked, day by day (UTC)."""
    today = date.fromisoformat(day_of(ports.clock.now()))
    async with desk.admitted(request, ports) as asked:
        caller, (query, found) = await desk.read(asked, Scope.USAGE, _usage, *_asked_for(request), today)
    counted = {(row.day, row.key_id, row.endpoint): (row.requests, row.rows) for row in found}
    for (_, day, key_id, endpoint), (requests, rows) in desk.usage.pending(caller.app_id).items():
        if query.first.isoformat() <= day <= query.last.isoformat():
            known = counted.get((day, key_id, endpoint), (0, 0))
            counted[day, key_id, endpoint] = (known[0] + requests, known[1] + rows)
    told = [
        dict(zip(USAGE_COLUMNS, (*key, *figures), strict=True)) for key, figures in sorted(counted.items())
    ]
    await desk.usage.note(caller, "api-usage", rows=len(told))
    return _answer(telling.plain_rows(told, USAGE_COLUMNS, query.format), query.format)


def _usage(
    db: Session, caller: DataCaller, pairs: Pairs, accept: str, today: date
) -> tuple[UsageQuery, list[Any]]:
    query = read_usage_query(pairs, accept, today)
    found = queries.list_usage(
        db,
        app_id=caller.app_id,
        first=query.first.isoformat(),
        last=query.last.isoformat(),
        limit=MOST_USAGE_ROWS + 1,
    )
    if len(found) > MOST_USAGE_ROWS:
        message = f"This makes more than {MOST_USAGE_ROWS} rows: ask for a shorter span."
        raise InvalidParameters(FieldError("startDate", message))
    return query, found


def read_usage_query(pairs: Pairs, accept: str, today: date) -> UsageQuery:
    """The last thirty days unless asked otherwise. Raises InvalidParameters."""
    given = Given(pairs)
    end = given.day("endDate")
    last = end or today
    first = given.day("startDate") or last - timedelta(days=USAGE_DAYS - 1)
    if last < first and end is None:
        given.refuse("startDate", "Must not be after today.")
    elif last < first:
        given.refuse("endDate", "Must not be before startDate.")
    elif (last - first).days >= MOST_USAGE_DAYS:
        given.refuse("startDate", f"Ask for at most {MOST_USAGE_DAYS} days.")
    query = UsageQuery(first, last, given.format(accept))
    given.finish()
    return query


# --- All of them ----------------------------------------------------------------------------------


def _asked_for(request: AnyRequest) -> tuple[Pairs, str]:
    return list(request.query_params.multi_items()), request.headers.get("accept", "")


def _answer(text: str, format: Format) -> Response[bytes]:
    return Response(
        text.encode(),
        media_type=MEDIA_TYPES[format],
        headers=HEADERS,
    )
