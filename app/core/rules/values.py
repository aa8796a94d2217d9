"""The values that rules compare: their kinds and bounds, dates as spans of time, and how they are worded."""

from datetime import datetime, timedelta
from typing import TypeGuard

from app.core.calendar import add_days, is_date_only, parse_moment, to_utc
from app.core.facts import MAX_NUMBER, MAX_VALUE, Scalar
from app.core.fields import is_clean

MAX_SHOWN = 80
MAX_LISTED = 5
UNUSABLE = "a value that rules cannot use"


NAMES = {
    "text": "text",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    None: UNUSABLE,
}


def kind_of(value: object) -> str | None:
    """`text`, `number`, `boolean` (which is no number) or `date`; None for what rules cannot compare."""
    match value:
        case bool():
            return "boolean"
        case str():
            return "text"
        case datetime():
            return "date"
        case _:
            return "number" if is_number(value) else None


def is_number(value: object) -> TypeGuard[float]:
    """Within bounds that keep comparisons exact; infinities and NaN are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def moment_of(seen: object) -> datetime | None:
    try:
        if isinstance(seen, str):
            return parse_moment(seen)
        return to_utc(seen) if isinstance(seen, datetime) else None
    except ValueError:
        return None


def span_of(text: str) -> tuple[datetime, datetime]:
    """The first and the last instant that the text means: a date is the whole day in UTC."""
    first = parse_moment(text)
    return first, add_days(first, 1) - timedelta(microseconds=1) if is_date_only(text) else first


def is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_VALUE and is_clean(value, allowed="\n\t")
    return isinstance(value, bool) or is_number(value)


def is_date_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and moment_of(value) is not None


def show(value: object) -> str:
    """A value as it stands in an explanation: text in quotes, and never longer than a line."""
    match value:
        case str():
            return f"“{plain(value)}”"
        case bool():
            return "true" if value else "false"
        case float() if is_number(value):
            return f"{value:.15g}"
        case tuple():
            rest = [f"{len(value) - MAX_LISTED} more"] if len(value) > MAX_LISTED else []
            return ", ".join([*map(show, value[:MAX_LISTED]), *rest])
        case _:
            return str(plain(value))


def plain(value: object) -> Scalar:
    """What a record may hold of a value that was seen."""
    match value:
        case str():
            return value if len(value) <= MAX_SHOWN else value[: MAX_SHOWN - 1] + "…"
        case bool():
            return value
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case int() | float() if is_number(value):
            return value
        case _:
            return UNUSABLE


def bare(value: object) -> str:
    return value if isinstance(value, str) else show(value)
