"""How the shop writes money, dates and periods, in English. Amounts are integers in the smallest unit."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, get_currency_precision

_LOCALE: Final = "en_US"


def money(minor: int, currency: str) -> str:
    """`$29.00`, `€290.00`, `¥1,200`."""
    code = currency.upper()
    value = Decimal(minor).scaleb(-get_currency_precision(code))
    return format_currency(value, code, locale=_LOCALE)


def instant(value: str) -> datetime:
    """An ISO 8601 date or moment as aware UTC."""
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def day(moment: datetime) -> str:
    """`1 December 2026`, in UTC."""
    return format_date(moment.astimezone(UTC), "d MMMM y", locale=_LOCALE)


def stamp(moment: datetime) -> str:
    """`21 Nov 2026, 14:05 UTC`."""
    return format_datetime(moment.astimezone(UTC), "d MMM y, HH:mm 'UTC'", locale=_LOCALE)


def period(duration: Mapping[str, Any] | None) -> str:
    """`a month`, `every 3 months`; empty where the price has no period."""
    if not duration:
        return ""
    count = int(duration.get("intervalCount") or 1)
    interval = str(duration["interval"])
    return f"a {interval}" if count == 1 else f"every {count} {interval}s"
