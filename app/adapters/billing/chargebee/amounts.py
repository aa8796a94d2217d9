"""Chargebee's amounts and times: two decimals for every currency that has any, seconds since 1970.

https://apidocs.chargebee.com/docs/api/currencies
"""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from app.core.calendar import EARLIEST, LATEST
from app.core.fields import MAX_MINOR
from app.core.money import exponent

_DECIMALS: Final = 2


def to_minor(amount: object, currency: str) -> int | None:
    """The currency's smallest units; None for what is no amount that we could keep.

    A currency without decimals is counted as it is. One with three or four is kept by Chargebee to two of them.
    """
    if isinstance(amount, bool) or not isinstance(amount, int):
        return None
    places = exponent(currency)
    minor = amount if places == 0 else amount * 10 ** (places - _DECIMALS)
    return minor if 0 <= minor <= MAX_MINOR else None


def from_minor(minor: int, currency: str) -> int | None:
    """The amount as Chargebee writes it; None where it keeps too few decimals for it."""
    places = exponent(currency)
    if places == 0:
        return minor
    amount, rest = divmod(minor, 10 ** (places - _DECIMALS))
    return None if rest else amount


def decimal_to_minor(text: object, currency: str) -> int | None:
    """A price of multi-decimal pricing ("2.995" in major units), where it comes out in whole smallest units.

    Such a price is billed with two decimals like every other, so one with more has no usable smallest units.
    """
    number = read_decimal(text)
    if number is None:
        return None
    places = exponent(currency)
    billed = number.scaleb(min(places, _DECIMALS))
    if billed != billed.to_integral_value():
        return None
    return to_minor(int(billed), currency)


def read_decimal(text: object) -> Decimal | None:
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number >= 0 else None


def to_moment(seconds: object) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        return None
    if not EARLIEST.timestamp() <= seconds <= LATEST.timestamp():
        return None
    return datetime.fromtimestamp(seconds, UTC)


def from_moment(moment: datetime) -> str:
    return str(int(moment.timestamp()))
