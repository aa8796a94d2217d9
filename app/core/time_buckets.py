"""Days, weeks and months as a time zone has them, counted from whole seconds. Pure.

A database on its own cannot be asked for them: SQLite knows no time zones. It can add an offset and divide.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Unit = Literal["day", "week", "month"]

DAY_S = 86_400
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Offset:
    """Seconds east of UTC, up to just before the instant `until_s` (None: from then on)."""

    seconds: int
    until_s: int | None


def offsets(zone: ZoneInfo, start: datetime, end: datetime) -> tuple[Offset, ...]:
    """The zone's offsets between two instants, in order; one where its clocks are never changed."""
    found: list[Offset] = []
    at, current = start, _offset(zone, start)
    while at < end:
        after = min(at + timedelta(days=1), end)
        following = _offset(zone, after)
        if following != current:
            found.append(Offset(current, _change_between(zone, at, after)))
            current = following
        at = after
    return (*found, Offset(current, None))


def _offset(zone: ZoneInfo, at: datetime) -> int:
    return int((at.astimezone(zone).utcoffset() or timedelta()).total_seconds())


def _change_between(zone: ZoneInfo, before: datetime, after: datetime) -> int:
    """The first second of the new offset."""
    low, high = int(before.timestamp()), int(after.timestamp())
    was = _offset(zone, before)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, datetime.fromtimestamp(middle, UTC)) == was:
            low = middle
        else:
            high = middle
    return high


def day_number(on: date) -> int:
    """Days since 1 January 1970."""
    return (on - _EPOCH).days


def start_of(unit: Unit, day: int) -> date:
    """The first day of the unit that the day with that number lies in; weeks begin on Monday."""
    on = _EPOCH + timedelta(days=day)
    match unit:
        case "day":
            return on
        case "week":
            return on - timedelta(days=on.weekday())
        case "month":
            return on.replace(day=1)


def label(unit: Unit, start: date) -> str:
    """`2026-12-01` for a day, the same of its Monday for a week, `2026-12` for a month."""
    return start.strftime("%Y-%m") if unit == "month" else start.isoformat()


def units_between(unit: Unit, first: date, last: date) -> Iterator[date]:
    """The first day of each unit, from the one of `first` to the one of `last`."""
    at, end = start_of(unit, day_number(first)), start_of(unit, day_number(last))
    while at <= end:
        yield at
        at = _following(unit, at)


def _following(unit: Unit, start: date) -> date:
    match unit:
        case "day":
            return start + timedelta(days=1)
        case "week":
            return start + timedelta(days=7)
        case "month":
            return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def midnight(on: date, zone: ZoneInfo) -> datetime:
    """The instant at which that day begins there, in UTC."""
    return datetime(on.year, on.month, on.day, tzinfo=zone).astimezone(UTC)


def local_date(at: datetime, zone: ZoneInfo) -> date:
    return at.astimezone(zone).date()


def count_units(unit: Unit, first: date, last: date) -> int:
    """How many there are, without making them."""
    match unit:
        case "month":
            return (last.year - first.year) * 12 + last.month - first.month + 1
        case _:
            span = start_of(unit, day_number(last)) - start_of(unit, day_number(first))
            return span.days // (7 if unit == "week" else 1) + 1


def chosen(offsets_: Sequence[Offset], second: int) -> int:
    """Which of the offsets holds at that second."""
    return next(o.seconds for o in offsets_ if o.until_s is None or second < o.until_s)
