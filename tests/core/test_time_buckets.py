"""Days, weeks and months of a time zone, against the standard library asked instant by instant."""

from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.time_buckets import (
    DAY_S,
    Unit,
    chosen,
    count_units,
    label,
    midnight,
    offsets,
    start_of,
    units_between,
)

ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe"),
    *("Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo"),
)
EARLY, LATE = datetime(2005, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
DATES = st.dates(date(1990, 1, 1), date(2040, 1, 1))


@pytest.mark.parametrize("name", ZONES)
def test_an_offset_holds_to_the_very_second(name: str) -> None:
    zone = ZoneInfo(name)
    found = offsets(zone, EARLY, LATE)
    around = [EARLY + timedelta(days=n, hours=n % 24) for n in range(0, 9000, 37)]
    for change in found[:-1]:
        assert change.until_s is not None
        at = datetime.fromtimestamp(change.until_s, UTC)
        around += [at - timedelta(seconds=1), at, at + timedelta(seconds=1)]
    for at in around:
        second = int(at.timestamp())
        local = at.astimezone(zone)
        day = (second + chosen(found, second)) // DAY_S
        assert start_of("day", day) == local.date(), at
        assert start_of("month", day) == local.date().replace(day=1)


def test_a_zone_without_changes_has_one_offset() -> None:
    assert [one.seconds for one in offsets(ZoneInfo("Asia/Kathmandu"), EARLY, LATE)] == [20_700]


@given(DATES, DATES, st.sampled_from(get_args(Unit)))
def test_the_units_between_two_days_leave_no_gap(one: date, other: date, unit: Unit) -> None:
    first, last = min(one, other), max(one, other)
    found = list(units_between(unit, first, last))
    assert len(found) == count_units(unit, first, last)
    assert found == sorted(set(found))
    assert found[0] <= first
    assert found[-1] <= last
    labels = [label(unit, start) for start in found]
    assert len(set(labels)) == len(labels)


def test_midnight_is_the_zones_own() -> None:
    assert midnight(date(2026, 7, 1), ZoneInfo("Europe/Berlin")) == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert midnight(date(2026, 12, 1), ZoneInfo("Europe/Berlin")) == datetime(2026, 11, 30, 23, tzinfo=UTC)
