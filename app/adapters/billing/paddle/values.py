"""Single values as Paddle writes them: amounts, dates, texts, custom data. What does not fit is None, no error."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from app.core.billing import ProviderUnavailable
from app.core.calendar import parse_moment
from app.core.fields import MAX_MINOR, MAX_TEXT, is_clean, sift_metadata
from app.core.money import is_currency_code

# What we write into custom data: whose a discount is, and what the customer was promised by it.
EFFECT: Final = "leavewell_effect"
DURATION: Final = "leavewell_duration"
MONTHS: Final = "leavewell_months"

_OURS: Final = (EFFECT, DURATION, MONTHS)

T = TypeVar("T")


def whole(raw: object) -> int | None:
    """An amount: Paddle writes it as a string of digits, in the currency's lowest denomination as by ISO 4217."""
    digits = str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
    if not isinstance(digits, str) or not (digits.isascii() and digits.isdecimal()) or len(digits) > 15:
        return None
    return int(digits) if int(digits) <= MAX_MINOR else None


def moment(raw: object) -> datetime | None:
    try:
        return parse_moment(raw) if isinstance(raw, str) else None
    except ValueError:
        return None


def text(raw: object) -> str | None:
    if not isinstance(raw, str) or not raw.strip() or not is_clean(raw, allowed="\n\t"):
        return None
    return raw.strip()[:MAX_TEXT]


def metadata(raw: object) -> dict[str, Any] | None:
    """The merchant's custom data, without what we wrote there."""
    if not isinstance(raw, dict):
        return None
    return sift_metadata({name: value for name, value in raw.items() if name not in _OURS}) or None


def built(make: Callable[[], T]) -> T:
    """A shape, or the news that Paddle's answer does not fit it."""
    try:
        return make()
    except (ValidationError, KeyError):
        raise ProviderUnavailable("Paddle's answer was not understood.") from None


def currency_code(raw: object) -> str | None:
    return raw.upper() if isinstance(raw, str) and is_currency_code(raw.upper()) else None
