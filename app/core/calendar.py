"""Calendar arithmetic on aware UTC instants, and the one reading of ISO 8601. Never asks what time it is."""

import calendar
import re
from datetime import UTC, datetime, timedelta
from typing import Literal

Interval = Literal["day", "week", "month", "year"]

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(?P<offset>[Zz]|[+-]\d\d:?\d\d)?", re.ASCII
)
_LOST_PLUS = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)? \d\d:?\d\d", re.ASCII)


def is_date_only(text: str) -> bool:
    """True for `2025-04-01`, false for anything with a time of day."""
    return _DATE.fullmatch(text) is not None


def parse_moment(text: str) -> datetime:
    """Read ISO 8601: a date (midnight UTC) or a date and time with offset; the answer is aware and in UTC.

    Raises ValueError with a sentence for a developer. Years 1970 to 9999.
    """
    shape = _MOMENT.fullmatch(text)
    if shape is None and not is_date_only(text):
        if _LOST_PLUS.fullmatch(text):
            raise ValueError("There is a space before the offset: in an address, write its + as %2B.")
        raise ValueError("Must be an ISO 8601 date such as 2025-04-01 or 2025-04-01T12:00:00Z.")
    if shape is not None and shape["offset"] is None:
        raise ValueError("The time needs an offset: end it with Z for UTC, or for example +02:00.")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("There is no such date or time.") from None
    return to_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def to_utc(moment: datetime) -> datetime:
    """The same instant in UTC. Raises ValueError for a naive one and for years outside 1970 to 9999."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError("The time needs an offset: end it with Z for UTC, or for example +02:00.")
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        utc = None
    if utc is None or not EARLIEST <= utc <= LATEST:
        raise ValueError("The year must be between 1970 and 9999.")
    return utc


def iso(moment: datetime) -> str:
    """The wire form: `2025-04-01T12:00:00Z`, with microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def add_months(at: datetime, months: int) -> datetime:
    """The same day of the month `months` later, or its last: 31 January plus one is 28 or 29 February.

    Stops at the end of the calendar instead of raising.
    """
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    if year > LATEST.year:
        return LATEST
    last = calendar.monthrange(year, month + 1)[1]
    return at.replace(year=year, month=month + 1, day=min(at.day, last))


def add_days(at: datetime, days: int) -> datetime:
    """`days` times 24 hours later. Stops at the end of the calendar instead of raising."""
    try:
        return min(at + timedelta(days=days), LATEST)
    except OverflowError:
        return LATEST


def add_interval(at: datetime, interval: Interval, count: int = 1) -> datetime:
    """`count` billing intervals later."""
    match interval:
        case "day":
            return add_days(at, count)
        case "week":
            return add_days(at, 7 * count)
        case "month":
            return add_months(at, count)
        case "year":
            return add_months(at, 12 * count)


def months_between(start: datetime, end: datetime) -> int:
    """Whole calendar months that have passed, counted as billing does; 0 where `end` is before `start`."""
    months = (end.year - start.year) * 12 + end.month - start.month
    if add_months(start, max(months, 0)) > end:
        months -= 1
    return max(months, 0)
