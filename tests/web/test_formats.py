from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from babel.core import Locale

from app.core.money import Money
from app.web.copy import copy_for
from app.web.formats import Formats, formats_for


def dates_in(locale: str) -> Formats:
    """The formatters of a language as if there were a catalogue for it."""
    spoken = Locale.parse(locale, sep="-")
    return Formats(copy_for("en"), words=spoken, figures=spoken)


NARROW = "\N{NARROW NO-BREAK SPACE}"
FIXED = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("money", "locale", "written"),
    [
        (Money(2900, "USD"), "en", "$29.00"),
        (Money(2900, "USD"), "en-GB", "US$29.00"),
        (Money(2900, "EUR"), "de", f"29,00{FIXED}€"),
        (Money(123456, "EUR"), "de", f"1.234,56{FIXED}€"),
        (Money(123456, "EUR"), "de-AT", f"€{FIXED}1.234,56"),
        (Money(1500, "JPY"), "en", "¥1,500"),
        (Money(1500, "JPY"), "ja", "￥1,500"),
        (Money(4500, "KWD"), "en", f"KWD{FIXED}4.500"),
        (Money(1, "KWD"), "en", f"KWD{FIXED}0.001"),
        (Money(0, "USD"), "en", "$0.00"),
        (Money(10**15, "USD"), "en", "$10,000,000,000,000.00"),
        (Money(100, "XXZ"), "en", f"XXZ{FIXED}1.00"),
    ],
)
def test_money_is_written_as_the_locale_writes_it(money: Money, locale: str, written: str) -> None:
    # There is no German catalogue yet, but figures follow the locale that they are asked for.
    assert formats_for(locale).money(money) == written


def test_an_amount_is_never_rounded_for_looks() -> None:
    # CLDR writes the afghani without decimals; 29.50 of them are not 30.
    assert formats_for("en").money(Money(2950, "AFN")).endswith("29.50")
    assert formats_for("en").money(Money(2900, "AFN")).endswith("29")


@pytest.mark.parametrize(
    ("locale", "day", "short"),
    [
        ("en", "Tuesday, 1 December 2026", "1 December 2026"),
        ("en-US", "Tuesday, December 1, 2026", "December 1, 2026"),
        ("en-GB", "Tuesday, 1 December 2026", "1 December 2026"),
        ("de", "Dienstag, 1. Dezember 2026", "1. Dezember 2026"),
        ("ja", "2026年12月1日火曜日", "2026年12月1日"),
    ],
)
def test_a_day_is_said_in_words_in_the_order_of_the_locale(locale: str, day: str, short: str) -> None:
    formats = dates_in(locale)
    assert formats.day(date(2026, 12, 1)) == day
    assert formats.short_day(datetime(2026, 12, 1, 23, 59, tzinfo=UTC)) == short


def test_where_we_have_no_words_dates_stay_in_the_language_around_them() -> None:
    formats = formats_for("de")
    assert formats.day(date(2026, 12, 1)) == "Tuesday, 1 December 2026"
    assert formats.percent(Decimal("12.5")) == f"12,5{FIXED}%"


def test_a_moment_names_its_zone() -> None:
    moment = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
    assert formats_for("en").moment(moment) == "20 November 2026, 14:03 UTC"
    assert dates_in("de").moment(moment, ZoneInfo("Europe/Berlin")) == "20. November 2026, 15:03 MEZ"
    assert formats_for("en-US").moment(moment) == f"November 20, 2026, 2:03{NARROW}PM UTC"
    west = moment.astimezone(timezone(timedelta(hours=-5)))
    assert formats_for("en").moment(west) == "20 November 2026, 09:03 -0500"


@pytest.mark.parametrize(
    ("unit", "count", "phrase"),
    [
        ("month", 1, "a month"),
        ("month", 3, "every 3 months"),
        ("year", 1, "a year"),
        ("week", 2, "every 2 weeks"),
    ],
)
def test_an_interval_is_a_phrase_after_a_price(unit: str, count: int, phrase: str) -> None:
    assert formats_for("en").interval(unit, count) == phrase


def test_a_span_is_a_length_of_time() -> None:
    assert formats_for("en").span("month", 1) == "1 month"
    assert formats_for("en").span("week", 3) == "3 weeks"


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        ("Europe/Berlin", "21 November 2026, 15:03 (Berlin)"),
        ("America/New_York", "21 November 2026, 09:03 (New York)"),
        ("US/Eastern", "21 November 2026, 09:03 (New York)"),
        ("America/Argentina/Buenos_Aires", "21 November 2026, 11:03 (Buenos Aires)"),
        ("Pacific/Kiritimati", "22 November 2026, 04:03 (Kiritimati)"),
        ("Etc/GMT+5", "21 November 2026, 09:03 (GMT-05:00)"),
        ("EST", "21 November 2026, 09:03 (GMT-05:00)"),
    ],
)
def test_a_moment_is_told_by_the_clocks_of_a_place(zone: str, written: str) -> None:
    moment = datetime(2026, 11, 21, 14, 3, tzinfo=UTC)
    assert formats_for("en").local(moment, zone) == written


@pytest.mark.parametrize(
    "zone", [None, "", "UTC", "Etc/UTC", "GMT", "Nowhere/City", "../etc", "Africa", "\0"]
)
def test_where_the_place_is_not_known_or_is_utc_it_is_told_once(zone: str | None) -> None:
    assert formats_for("en").local(datetime(2026, 11, 21, 14, 3, tzinfo=UTC), zone) is None
