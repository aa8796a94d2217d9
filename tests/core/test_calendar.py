from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.calendar import (
    EARLIEST,
    LATEST,
    Interval,
    add_days,
    add_interval,
    add_months,
    iso,
    months_between,
    parse_moment,
    to_utc,
)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2025-01-31", 1, "2025-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2025-01-31", 2, "2025-03-31"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2025-12-15", 1, "2026-01-15"),
        ("2025-03-31", -1, "2025-02-28"),
        ("2025-01-15", 0, "2025-01-15"),
    ],
)
def test_months_stop_at_the_last_day(start: str, months: int, end: str) -> None:
    assert add_months(day(start), months) == day(end)


@pytest.mark.parametrize(
    ("interval", "count", "end"),
    [
        ("day", 3, "2024-03-03"),
        ("week", 2, "2024-03-14"),
        ("month", 1, "2024-03-29"),
        ("year", 1, "2025-02-28"),
    ],
)
def test_billing_intervals(interval: Interval, count: int, end: str) -> None:
    assert add_interval(day("2024-02-29"), interval, count) == day(end)


def test_arithmetic_stops_at_the_end_of_the_calendar() -> None:
    assert add_months(LATEST, 1) == LATEST
    assert add_days(LATEST, 1) == LATEST
    assert add_days(day("2025-01-01"), 10**9) == LATEST
    assert add_interval(LATEST, "year", 3650) == LATEST


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2025-01-31", "2025-02-27", 0),
        ("2025-01-31", "2025-02-28", 1),
        ("2024-05-21", "2025-11-21", 18),
        ("2024-05-22", "2025-11-21", 17),
        ("2025-11-21", "2024-05-21", 0),
    ],
)
def test_months_are_counted_as_billing_does(start: str, end: str, months: int) -> None:
    assert months_between(day(start), day(end)) == months


FIRST, LAST = datetime(1970, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone itself
MOMENTS = st.datetimes(FIRST, LAST, timezones=st.just(UTC))


@given(MOMENTS, st.integers(0, 600))
def test_tenure_after_n_months_is_n(start: datetime, months: int) -> None:
    later = add_months(start, months)
    assert months_between(start, later) == months
    assert months_between(start, later - timedelta(microseconds=1)) == max(months - 1, 0)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-04-01", "2025-04-01T00:00:00Z"),
        ("2025-04-01T12:00Z", "2025-04-01T12:00:00Z"),
        ("2025-04-01t12:00:00z", "2025-04-01T12:00:00Z"),
        ("2025-04-01 12:00:00+02:00", "2025-04-01T10:00:00Z"),
        ("2025-04-01T12:00:00-0430", "2025-04-01T16:30:00Z"),
        ("2025-04-01T12:00:00.123456789Z", "2025-04-01T12:00:00.123456Z"),
        ("1970-01-01", "1970-01-01T00:00:00Z"),
        ("9999-12-31", "9999-12-31T00:00:00Z"),
    ],
)
def test_iso_8601_is_read_into_utc(text: str, moment: str) -> None:
    assert iso(parse_moment(text)) == moment


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2025-04-01T12:00:00", "needs an offset"),
        ("2025-02-30", "no such date"),
        ("2025-04-01T25:00Z", "no such date"),
        ("2025-04-01T12:00+25:00", "no such date"),
        ("20250401", "ISO 8601"),
        ("2025-W10-1", "ISO 8601"),
        ("01.04.2025", "ISO 8601"),
        ("٢٠٢٥-٠٤-٠١", "ISO 8601"),
        ("2025-04-01\n", "ISO 8601"),
        ("tomorrow", "ISO 8601"),
        ("", "ISO 8601"),
        ("1969-12-31", "between 1970 and 9999"),
        ("0001-01-01T00:00:00+14:00", "between 1970 and 9999"),
        ("9999-12-31T23:59:59-14:00", "between 1970 and 9999"),
    ],
)
def test_what_is_no_date_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_moment(text)


@given(st.text())
def test_reading_a_date_raises_nothing_but_value_error(text: str) -> None:
    with suppress(ValueError):
        assert EARLIEST <= parse_moment(text) <= LATEST


@given(MOMENTS)
def test_the_wire_form_reads_back(moment: datetime) -> None:
    assert parse_moment(iso(moment)) == moment


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="needs an offset"):
        to_utc(datetime(2025, 1, 1))  # noqa: DTZ001 - a naive one is what is refused
    assert to_utc(datetime(2025, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == day("2025-01-01")


def test_a_plus_that_an_address_has_made_a_space_is_told_so() -> None:
    for text in ("2026-11-28T23:56:00 02:00", "2026-11-28T23:56 0200"):
        with pytest.raises(ValueError, match="%2B"):
            parse_moment(text)
