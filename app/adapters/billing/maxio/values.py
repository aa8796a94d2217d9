"""Reads single values out of Maxio's JSON without ever failing: what is not as documented is None."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from app.core.calendar import parse_moment
from app.core.direct import DurationConfig
from app.core.fields import MAX_MINOR, MAX_TEXT, is_clean, sift_metadata
from app.core.money import exponent, is_currency_code

MARKER: Final = "leavewell_pause"

_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def is_number(given: str) -> bool:
    """Whether Maxio can have given this as an id."""
    return _NUMBER.fullmatch(given) is not None


def fields(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def unwrapped(value: object, name: str) -> Mapping[str, Any]:
    """`{"subscription": {…}}` as Maxio wraps each object."""
    return fields(fields(value).get(name))


def wrapped_list(value: object, name: str) -> list[Mapping[str, Any]]:
    """`[{"coupon": {…}}, …]`"""
    return [inner for each in value if (inner := unwrapped(each, name))] if isinstance(value, list) else []


def number(value: object) -> int | None:
    """A whole number, also one written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        try:
            return int(value) if len(value) <= 18 else None
        except ValueError:
            return None
    return None


def identity(value: object) -> str | None:
    """An id as we name it: its decimal digits."""
    found = number(value)
    return str(found) if found is not None and found > 0 else None


def cents(value: object, currency: str) -> int | None:
    """An amount in the smallest unit. None for currencies of other than two decimals.

    Maxio names every amount `…_in_cents` and documents nothing for yen or dinars; a price that may be wrong by a
    hundred is worse than none.
    """
    found = number(value)
    if found is None or exponent(currency) != 2:
        return None
    return found if 0 <= found <= MAX_MINOR else None


def percent(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    if not found.is_finite() or not 0 < found <= 100:
        return None
    rounded = round(found, 6).normalize()
    return rounded if rounded > 0 else None


def moment(value: object) -> datetime | None:
    try:
        return parse_moment(value) if isinstance(value, str) else None
    except ValueError:
        return None


def text(value: object) -> str | None:
    """A text that a screen can show; None for an empty one and one that is not clean."""
    if not isinstance(value, str) or not is_clean(value, allowed="\n\t"):
        return None
    return value.strip()[:MAX_TEXT].strip() or None


def currency_code(value: object) -> str | None:
    return value.upper() if isinstance(value, str) and is_currency_code(value.upper()) else None


def country_code(value: object) -> str | None:
    is_code = isinstance(value, str) and len(value) == 2 and value.isascii() and value.isalpha()
    return str(value).upper() if is_code else None


def interval(count: object, unit: object) -> DurationConfig | None:
    """Maxio counts in days and months; twelve months are a year to us."""
    every = number(count)
    if every is None or not 1 <= every <= 3650 or unit not in ("day", "month"):
        return None
    if unit == "month" and every % 12 == 0:
        return DurationConfig(interval="year", interval_count=every // 12)
    return DurationConfig(interval="day" if unit == "day" else "month", interval_count=every)


def metadata(custom: Mapping[str, str]) -> dict[str, Any]:
    """Custom fields, as far as they fit; our own marker is not the merchant's."""
    return sift_metadata({name: value for name, value in custom.items() if name != MARKER})
