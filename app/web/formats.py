"""How money, days and spans of time are written in a locale (CLDR, through Babel). Computes nothing."""

import re
from copy import copy as duplicate
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.core import Locale
from babel.dates import (
    format_date,
    format_time,
    get_datetime_format,
    get_timezone_gmt,
    get_timezone_location,
    get_timezone_name,
)
from babel.numbers import NumberPattern, format_percent, get_currency_precision, get_currency_symbol

from app.core.money import Money, exponent
from app.web.copy import FALLBACK, Copy, copy_for, parse_locale

# English without a region has readers everywhere: the month is a word and the day comes first, so that nobody
# can misread it. A region that was asked for (en-US, en-GB) gets its own order.
INTERNATIONAL = {"day": "EEEE, d MMMM y", "short_day": "d MMMM y", "time": "HH:mm"}
REGIONAL = {"day": "full", "short_day": "long", "time": "short"}

_UTC = frozenset("UTC UCT GMT Zulu Universal Etc/UTC Etc/UCT Etc/GMT Etc/Zulu Etc/Universal".split())  # noqa: SIM905 - reads as what it is, a list of names
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


class Formats:
    """The formatters of one locale; shared between requests, holds no state of any.

    Dates are made of words, so they are written in the locale of the copy around them; figures in that asked for.
    """

    def __init__(self, copy: Copy, *, words: Locale, figures: Locale) -> None:
        self._copy = copy
        self._locale = words
        self._figures = figures
        self._patterns = INTERNATIONAL if str(words) == FALLBACK else REGIONAL

    def money(self, money: Money) -> str:
        """`$29.00`, `29,00 €`, `￥1,500`. What is charged is never rounded for looks."""
        return _money(money, self._figures)

    def percent(self, value: Decimal) -> str:
        """`50%`, `12,5 %`: a percentage as it is, never rounded."""
        return format_percent(value / 100, locale=self._figures, decimal_quantization=False)

    def day(self, moment: date) -> str:
        """`Tuesday, 1 December 2026`. A datetime is named by the day it has in its own zone."""
        return _day(_date_of(moment), self._patterns["day"], self._locale)

    def short_day(self, moment: date) -> str:
        """`1 December 2026`."""
        return _day(_date_of(moment), self._patterns["short_day"], self._locale)

    def moment(self, moment: datetime, zone: tzinfo | None = None) -> str:
        """`20 November 2026, 14:03 UTC`: the day, the time, and the zone they are meant in."""
        local = moment.astimezone(zone) if zone else moment
        return self._at(local, get_timezone_name(local, width="short", locale=self._locale))

    def local(self, moment: datetime, zone: str | None) -> str | None:
        """`20 November 2026, 15:03 (Berlin)`: by the clocks of a time zone's place; None where that is not known, or
        is UTC itself."""
        known = zone_of(zone)
        if known is None:
            return None
        local = moment.astimezone(known)
        has_city = "/" in known.key and not known.key.startswith("Etc/")
        city = get_timezone_location(known, locale=self._locale, return_city=True) if has_city else ""
        place = city.rpartition("/")[2] or get_timezone_gmt(local, locale=self._locale)
        return self._at(local, f"({place})")

    def _at(self, local: datetime, zone: str) -> str:
        """Day, time and zone, in the order of the locale."""
        time = format_time(local, self._patterns["time"], locale=self._locale)
        glue = str(get_datetime_format("medium", locale=self._locale)).replace("'", "")
        return glue.replace("{0}", f"{time} {zone}").replace("{1}", self.short_day(local))

    def interval(self, unit: str, count: int = 1) -> str:
        """`a month`, `every 3 months`: what stands after a price. `unit` is day, week, month or year."""
        return self._copy.t(f"every.{unit}", count=count)

    def span(self, unit: str, count: int) -> str:
        """`3 months`: a length of time."""
        return self._copy.t(f"span.{unit}", count=count)


@lru_cache(maxsize=64)
def formats_for(locale: str) -> Formats:
    """Return the shared formatters of a locale."""
    copy = copy_for(locale)
    return Formats(copy, words=copy.locale, figures=parse_locale(locale) or copy.locale)


@lru_cache(maxsize=512)
def zone_of(name: str | None) -> ZoneInfo | None:
    """Return a time zone by its IANA name; None where that is not known, or is UTC itself."""
    try:
        return ZoneInfo(name) if name and name not in _UTC else None
    except (ZoneInfoNotFoundError, ValueError, OSError):  # what browsers and merchants say is not always one
        return None


def _date_of(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


@lru_cache(maxsize=4096)
def _day(day: date, pattern: str, locale: Locale) -> str:
    return str(format_date(day, pattern, locale=locale))


@lru_cache(maxsize=4096)
def _money(money: Money, locale: Locale) -> str:
    amount = money.decimal()
    customary = get_currency_precision(money.currency)
    # CLDR leaves the decimals off in some currencies (AFN, IQD); where the amount has them, they are money.
    digits = customary if amount == round(amount, customary) else exponent(money.currency)
    pattern = _currency_pattern(locale, digits)
    written = str(pattern.apply(amount, locale, currency=money.currency, currency_digits=False))
    symbol = get_currency_symbol(money.currency, locale)
    # CLDR's currencySpacing, which Babel leaves out: a symbol that ends in a letter keeps off the digits.
    if symbol[-1].isalpha():
        written = re.sub(rf"{re.escape(symbol)}(?=\d)", symbol + NO_BREAK_SPACE, written)
    if symbol[0].isalpha():
        written = re.sub(rf"(?<=\d){re.escape(symbol)}", NO_BREAK_SPACE + symbol, written)
    return written


@lru_cache(maxsize=256)
def _currency_pattern(locale: Locale, digits: int) -> NumberPattern:
    pattern: NumberPattern = duplicate(locale.currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    return pattern
