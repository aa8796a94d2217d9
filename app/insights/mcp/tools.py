"""What each tool answers, as units of work with who asks as their first argument. Knows no protocol."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from app.accounts.service import DataCaller, Scope
from app.core.calendar import iso
from app.core.errors import FieldError, NotFound
from app.core.explaining import explained
from app.core.session_record import redact
from app.db.base import load_json
from app.db.tables.flows import FlowVersion
from app.db.tables.records import SessionRecord
from app.db.tables.sessions import CancelSession
from app.flows import queries as flows
from app.insights import queries
from app.insights.aggregation import aggregate, read_aggregation_query
from app.insights.filters import InvalidParameters, read_sessions_query
from app.insights.mcp.story import story, summary

MOST_SESSIONS: Final = 50
MOST_ROWS: Final = 500
MOST_VERSIONS: Final = 50
MOST_FILTERS: Final = 20
MOST_LINES: Final = 200

Filters = Mapping[str, str | Sequence[str]]


class SessionNotFound(NotFound):
    """Another environment's, or one that goes on."""

    code = "session_not_found"
    user_message = "There is no record of such a session in this environment. One that goes on has none yet."


class FlowVersionNotFound(NotFound):
    code = "flow_version_not_found"
    user_message = "The organization's flow has no such version."


def list_sessions(
    db: Session,
    caller: DataCaller,
    *,
    filters: Filters,
    start_date: str | None,
    end_date: str | None,
    time_zone: str | None,
    limit: int,
    cursor: str | None,
) -> dict[str, Any]:
    """Newest first, shortened. Raises InvalidParameters, ScopeMissing."""
    caller.require(Scope.SESSIONS)
    span = {"startDate": start_date, "endDate": end_date, "timeZone": time_zone, "cursor": cursor}
    size = min(limit, MOST_SESSIONS)
    query = read_sessions_query(_pairs(filters, {**span, "limit": str(size)}))
    if query.selection.asks_about("customerEmail"):
        caller.require(Scope.SESSIONS_PII)  # else it could be asked whose session this is
    behind = None
    if query.cursor is not None:
        behind = queries.find_place(db, app_id=caller.app_id, session_id=query.cursor)
        if behind is None:
            raise InvalidParameters(FieldError("cursor", "Must be the nextCursor of an earlier answer."))
    found = queries.list_records(
        db, app_id=caller.app_id, selection=query.selection, limit=size + 1, behind=behind
    )
    page = found[:size]
    return {
        "sessions": [summary(_seen_by(caller, load_json(one.record))) for one in page],
        "nextCursor": page[-1].session_id if len(found) > len(page) else None,
    }


def aggregate_sessions(
    db: Session,
    caller: DataCaller,
    *,
    breakdown: str,
    filters: Filters,
    start_date: str | None,
    end_date: str | None,
    time_zone: str | None,
    sums_prices: bool,
    now: datetime,
) -> dict[str, Any]:
    """Counts by dimensions. Raises InvalidParameters, also for more rows than are told; ScopeMissing."""
    caller.require(Scope.SESSIONS)
    asked = {
        "breakdown": breakdown or None,
        "startDate": start_date,
        "endDate": end_date,
        "timeZone": time_zone,
        "sum": "subscriptionPrice" if sums_prices else None,
    }
    query = read_aggregation_query(_pairs(filters, asked))
    if query.selection.asks_about("customerEmail"):
        caller.require(Scope.SESSIONS_PII)
    rows = aggregate(db, app_id=caller.app_id, query=query, now=now)
    if len(rows) > MOST_ROWS:
        message = f"This makes {len(rows)} rows, and {MOST_ROWS} are told: ask for less, or a shorter span."
        raise InvalidParameters(FieldError("breakdown", message))
    return {"rows": rows}


def explain_session(db: Session, caller: DataCaller, *, session_id: str) -> dict[str, Any]:
    """One session as a story, with its whole record and why each rule did or did not match.

    What rules saw of the customer needs `sessions.read_pii`. Raises SessionNotFound, ScopeMissing.
    """
    caller.require(Scope.SESSIONS)
    record = db.get(SessionRecord, session_id) if _may_be_id(session_id) else None
    if record is None or record.app_id != caller.app_id:
        raise SessionNotFound
    told = _seen_by(caller, record.record)
    has_pii = caller.may(Scope.SESSIONS_PII)
    row = db.get(CancelSession, session_id) if has_pii else None
    return {
        "story": story(told),
        "record": told,
        "rules": [
            {"at": entry["at"], "why": list(explained(entry["why"]))[:MOST_LINES]}
            for entry in (row.explanations if row is not None else ())
        ],
    }


def list_flows(db: Session, caller: DataCaller) -> dict[str, Any]:
    """The versions of the organization's flow, newest first; the first one is what new sessions walk."""
    caller.require(Scope.FLOWS)
    versions = flows.list_versions(db, caller.organization_id, limit=MOST_VERSIONS)
    return {"versions": [{**_version(one), "isPublished": n == 0} for n, one in enumerate(versions)]}


def read_flow(db: Session, caller: DataCaller, *, version: int | None) -> dict[str, Any]:
    """One version's definition; without a number the published one. Raises FlowVersionNotFound, ScopeMissing."""
    caller.require(Scope.FLOWS)
    if version is None:
        found = flows.find_published(db, caller.organization_id)
    else:
        found = flows.find_version(db, caller.organization_id, version)
    if found is None:
        raise FlowVersionNotFound
    return {**_version(found), "definition": found.definition}


def _version(one: FlowVersion) -> dict[str, Any]:
    return {
        "version": one.number,
        "id": one.id,
        "name": one.definition.get("name", ""),
        "note": one.note,
        "publishedAt": iso(one.published_at),
    }


def _seen_by(caller: DataCaller, told: dict[str, Any]) -> dict[str, Any]:
    return told if caller.may(Scope.SESSIONS_PII) else redact(told)


def _pairs(filters: Filters, named: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """As the Data API would be asked. Raises InvalidParameters for a filter that is an argument of its own."""
    if len(filters) > MOST_FILTERS:
        raise InvalidParameters(FieldError("filters", f"Give at most {MOST_FILTERS}."))
    taken = [FieldError(name, "This is no filter.") for name in filters if name in named or name in _OTHER]
    if taken:
        raise InvalidParameters(*taken)
    pairs = [(name, value) for name, value in named.items() if value is not None]
    for name, values in filters.items():
        pairs += [(name, value) for value in ([values] if isinstance(values, str) else values)]
    return pairs


_OTHER: Final = frozenset({"skip", "format", "limit", "cursor", "breakdown", "sum"})


def _may_be_id(text: str) -> bool:
    """Not every text may reach a database: PostgreSQL takes no NUL."""
    return len(text) <= 64 and text.isprintable()
