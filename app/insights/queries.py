"""Every SQL statement about records of sessions and the use of the API. Reading goes by the index of an environment's
records in time, so what it costs depends on the span that is asked for, and not on how many there are."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Row,
    Select,
    Table,
    Text,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy import cast as as_type
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from app.core.time_buckets import Offset
from app.db.database import keep_time
from app.db.tables.records import ApiUsage, SessionRecord
from app.insights.dimensions import condition_of, expression_of
from app.insights.filters import Filter, Selection

_records: Final = cast(Table, SessionRecord.__table__)  # type: ignore[attr-defined]  # SQLModel adds it
_usage: Final = cast(Table, ApiUsage.__table__)  # type: ignore[attr-defined]  # SQLModel adds it
_NOT_BOUNCED: Final = Filter("bounced", (False,))


class Place(NamedTuple):
    """Where a list stands: behind this session, newest first."""

    created_at: datetime
    session_id: str


class Told(NamedTuple):
    """One record, as the text that it is stored as."""

    created_at: datetime
    session_id: str
    record: str


def find_place(db: Session, *, app_id: str, session_id: str) -> Place | None:
    found = db.connection().execute(
        select(_records.c.created_at, _records.c.session_id).where(
            _records.c.session_id == session_id, _records.c.app_id == app_id
        )
    )
    row = found.first()
    return Place(row.created_at, row.session_id) if row is not None else None


def list_records(
    db: Session, *, app_id: str, selection: Selection, limit: int, behind: Place | None = None, skip: int = 0
) -> list[Told]:
    """Newest first, from behind a place on, or past `skip` of them."""
    columns = _records.c
    statement = select(columns.created_at, columns.session_id, as_type(columns.record, Text)).where(
        *conditions(app_id, selection)
    )
    if behind is not None:
        statement = statement.where(tuple_(columns.created_at, columns.session_id) < behind)
    newest_first = (columns.created_at.desc(), columns.session_id.desc())
    rows = db.connection().execute(statement.order_by(*newest_first).limit(limit).offset(skip or None))
    return [Told(*row) for row in rows]


def find_span(db: Session, *, app_id: str, selection: Selection) -> tuple[datetime, datetime] | None:
    """When the first and the last of these sessions began."""
    created_at = _records.c.created_at
    statement = select(created_at).where(*conditions(app_id, selection)).limit(1)
    first = db.connection().execute(statement.order_by(created_at, _records.c.session_id)).scalar()
    last = (
        db.connection().execute(statement.order_by(created_at.desc(), _records.c.session_id.desc())).scalar()
    )
    return (first, last) if first is not None and last is not None else None


def aggregate(
    db: Session,
    *,
    app_id: str,
    selection: Selection,
    dimensions: Sequence[str],
    offsets: Sequence[Offset],
    has_price: bool,
) -> Iterator[Row[Any]]:
    """Rows of values, one a dimension, then the count, then, `has_price`, what the subscriptions cost together."""
    statement = _aggregation(app_id, selection, dimensions, offsets, has_price)
    with db.connection().execute(statement, execution_options={"yield_per": 1000}) as rows:
        for row in rows:
            keep_time(db)
            yield row


def _aggregation(
    app_id: str, selection: Selection, dimensions: Sequence[str], offsets: Sequence[Offset], has_price: bool
) -> Select[Any]:
    names = [f"d{number}" for number in range(len(dimensions))]
    grouped = [
        expression_of(dimension, offsets).label(name)
        for name, dimension in zip(names, dimensions, strict=True)
    ]
    price = [func.coalesce(func.sum(_records.c.price_minor), 0).label("price")] if has_price else []
    return (
        select(*grouped, func.count().label("n"), *price)
        .where(*conditions(app_id, selection))
        .group_by(*(literal_column(name) for name in names))
    )


def conditions(app_id: str, selection: Selection) -> list[ColumnElement[bool]]:
    """Bounced sessions are left out unless they are asked about."""
    columns = _records.c
    found = [columns.app_id == app_id]
    if selection.start is not None:
        found.append(columns.created_at >= selection.start)
    if selection.end is not None:
        found.append(columns.created_at < selection.end)
    found += [condition_of(one) for one in selection.filters]
    if not selection.asks_about("bounced"):
        found.append(condition_of(_NOT_BOUNCED))
    return found


# --- Usage ----------------------------------------------------------------------------------------


def add_usage(db: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Add counts to those that are there."""
    dialect: Any = sqlite if db.get_bind().dialect.name == "sqlite" else postgresql
    wanted = dialect.insert(_usage)
    added = {name: _usage.c[name] + wanted.excluded[name] for name in ("requests", "rows")}
    upsert = wanted.on_conflict_do_update(index_elements=list(_usage.primary_key.columns), set_=added)
    db.connection().execute(upsert, list(rows))


def list_usage(db: Session, *, app_id: str, first: str, last: str, limit: int) -> list[ApiUsage]:
    """Day by day, both ends included."""
    columns = _usage.c
    found: CursorResult[Any] = db.connection().execute(
        select(_usage)
        .where(columns.app_id == app_id, columns.day >= first, columns.day <= last)
        .order_by(columns.day, columns.key_id, columns.endpoint)
        .limit(limit)
    )
    return [ApiUsage(**row._mapping) for row in found]
