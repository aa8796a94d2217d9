"""Counts sessions by what is asked for, fills the gaps of a time series, and bounds how many rows there can be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from app.core.errors import FieldError
from app.core.time_buckets import (
    Offset,
    Unit,
    count_units,
    label,
    local_date,
    offsets,
    start_of,
    units_between,
)
from app.insights import queries
from app.insights.dimensions import DIMENSIONS, TIME_UNITS
from app.insights.filters import Format, Given, InvalidParameters, Selection

MAX_DIMENSIONS: Final = 4
MAX_ROWS: Final = 10_000
PRICE: Final = "subscriptionPrice"
CURRENCY: Final = "sessionCurrency"

# Near the end of the calendar there is no day after the last one, and in some zones no such day at all.
LAST_END: Final = datetime(9999, 1, 1, tzinfo=UTC)

Key = tuple[Any, ...]


class TooManyRows(InvalidParameters):
    """More groups than one answer has."""

    def __init__(self) -> None:
        message = f"This makes more than {MAX_ROWS} rows: ask for fewer dimensions, or a shorter span."
        super().__init__(FieldError("breakdown", message))


@dataclass(frozen=True, slots=True)
class AggregationQuery:
    selection: Selection
    dimensions: tuple[str, ...] = ()
    has_price: bool = False
    format: Format = "json"

    @property
    def unit(self) -> Unit | None:
        return next((unit for unit in TIME_UNITS if unit in self.dimensions), None)

    @property
    def measures(self) -> tuple[str, ...]:
        return ("count", PRICE) if self.has_price else ("count",)


def read_aggregation_query(pairs: Sequence[tuple[str, str]], accept: str = "") -> AggregationQuery:
    """Raises InvalidParameters."""
    given = Given(pairs)
    dimensions = _dimensions(given)
    measure = given.once("sum")
    if measure not in (None, PRICE):
        given.refuse("sum", f"Must be {PRICE}.")
    if measure is not None and CURRENCY not in dimensions:
        dimensions = (*dimensions, CURRENCY)  # amounts of several currencies have no sum
    query = AggregationQuery(given.selection(), dimensions, measure is not None, given.format(accept))
    given.finish()
    return query


def _dimensions(given: Given) -> tuple[str, ...]:
    """`breakdown`: names joined by hyphens; commas do too, and so does giving it several times."""
    raw = "-".join(given.all("breakdown")).replace(",", "-")
    names = tuple(name.strip() for name in raw.split("-")) if raw else ()
    if any(name not in DIMENSIONS for name in names):
        known = ", ".join(DIMENSIONS)
        given.refuse("breakdown", f"Must be dimensions joined by hyphens. There are: {known}.")
    elif len(set(names)) < len(names):
        given.refuse("breakdown", "Name each dimension once.")
    elif len(names) > MAX_DIMENSIONS:
        given.refuse("breakdown", f"Give at most {MAX_DIMENSIONS} dimensions.")
    elif sum(name in TIME_UNITS for name in names) > 1:
        given.refuse("breakdown", "Give only one of day, week and month.")
    return names


def aggregate(db: Session, *, app_id: str, query: AggregationQuery, now: datetime) -> list[dict[str, Any]]:
    """The rows, in the order of time and then the largest first. Raises TooManyRows."""
    span = _days(db, app_id, query, now) if query.unit else None
    counted: dict[Key, list[int]] = {}
    if query.unit is None or span is not None:
        for key, figures in _counts(db, app_id, query, span):
            known = counted.setdefault(key, [0] * len(figures))
            for position, figure in enumerate(figures):
                known[position] += figure
            if len(counted) > MAX_ROWS:
                raise TooManyRows
    if query.unit is not None and span is not None:
        _fill(counted, query, query.unit, span)
    if not query.dimensions and not counted:
        counted[()] = [0]
    return [
        dict(zip((*query.dimensions, *query.measures), (*key, *figures), strict=True))
        for key, figures in sorted(counted.items(), key=lambda item: _order(query, *item))
    ]


def _counts(
    db: Session, app_id: str, query: AggregationQuery, span: tuple[date, date] | None
) -> Iterator[tuple[Key, list[int]]]:
    zone = query.selection.zone
    known: tuple[Offset, ...] = ()
    if span is not None:
        first, last = (datetime(day.year, day.month, day.day, tzinfo=zone) for day in span)
        known = offsets(zone, first - timedelta(days=1), last + timedelta(days=2))
    time_at = query.dimensions.index(query.unit) if query.unit else None
    rows = queries.aggregate(
        db,
        app_id=app_id,
        selection=query.selection,
        dimensions=query.dimensions,
        offsets=known,
        has_price=query.has_price,
    )
    width = len(query.dimensions)
    for row in rows:
        values = list(row[:width])
        if time_at is not None and query.unit is not None:
            values[time_at] = label(query.unit, start_of(query.unit, int(values[time_at])))
        yield tuple(values), [int(figure) for figure in row[width:]]


def _days(db: Session, app_id: str, query: AggregationQuery, now: datetime) -> tuple[date, date] | None:
    """The first and the last day of the series: as asked for; from a day on it goes to today, and else from the first
    that has a session to the last one."""
    selection, zone = query.selection, query.selection.zone
    start, end = selection.start, selection.end
    if end is not None and end > LAST_END:
        raise InvalidParameters(FieldError("endDate", "Must be before the year 9999 for this breakdown."))
    if start is not None and end is None:
        end = now + timedelta(microseconds=1)
        if end <= start:
            return None
    if start is None or end is None:
        found = queries.find_span(db, app_id=app_id, selection=selection)
        if found is None:
            return None
        start, end = start or found[0], end or found[1] + timedelta(microseconds=1)
    first, last = local_date(start, zone), local_date(end - timedelta(microseconds=1), zone)
    if count_units("day", first, last) > 366 * 50 or count_units(query.unit or "day", first, last) > MAX_ROWS:
        raise InvalidParameters(
            FieldError(
                "startDate", f"The span is too long for this breakdown: at most {MAX_ROWS} rows and 50 years."
            )
        )
    return first, last


def _fill(
    counted: dict[Key, list[int]], query: AggregationQuery, unit: Unit, span: tuple[date, date]
) -> None:
    """Every day, week or month has a row; in a cross-table, for every combination of the rest that there is."""
    at = query.dimensions.index(unit)
    others = {(*key[:at], *key[at + 1 :]) for key in counted}
    if not others and len(query.dimensions) == 1:
        others = {()}
    if len(others) * count_units(unit, *span) > MAX_ROWS:
        raise TooManyRows
    nothing = [0] * len(query.measures)
    for start in units_between(unit, *span):
        for other in others:
            counted.setdefault((*other[:at], label(unit, start), *other[at:]), list(nothing))


def _order(query: AggregationQuery, key: Key, figures: Sequence[int]) -> tuple[Any, ...]:
    said = tuple((value is None, str(value)) for value in key)
    time = key[query.dimensions.index(query.unit)] if query.unit else ""
    return (time, -figures[0], said)
