"""`/v1/data/session-aggregation`: the same as counting the rows in Python, by every dimension."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.insights.aggregation import MAX_ROWS
from app.insights.dimensions import DIMENSIONS
from tests.insights.conftest import Reports
from tests.support.clock import FakeClock

ZONES = ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu")
Row = dict[str, Any]

VALUES: dict[str, Callable[[Row], Any]] = {
    "day": lambda r: r["created_at"].date().isoformat(),
    "week": lambda r: (r["created_at"].date() - timedelta(days=r["created_at"].weekday())).isoformat(),
    "month": lambda r: r["created_at"].strftime("%Y-%m"),
    "invoiceMonth": lambda r: r["invoice_month"],
    "outcome": lambda r: r["outcome"],
    "saveType": lambda r: r["save_type"],
    "offerType": lambda r: r["offer_type"],
    "response": lambda r: r["response"],
    "aborted": lambda r: r["is_aborted"],
    "canceled": lambda r: r["is_canceled"],
    "trial": lambda r: r["is_trial"],
    "segmentId": lambda r: None,
    "abtest": lambda r: None,
    "blueprintId": lambda r: r["flow_version_id"],
    "entry": lambda r: r["entry"],
    "planId": lambda r: r["plan_id"],
    "billingInterval": lambda r: r["billing_interval"],
    "couponId": lambda r: r["coupon_id"],
    "pauseDuration": lambda r: r["pause_duration"],
    "currency": lambda r: r["currency"],
    "sessionCurrency": lambda r: r["session_currency"],
    "bounced": lambda r: r["is_bounced"],
    "ageMonths": lambda r: r["age_months"],
    "ageQuarters": lambda r: r["age_months"] // 3,
    "ageYears": lambda r: r["age_months"] // 12,
    "cooldownProjection": lambda r: r["is_cooled_down"],
}


async def test_every_dimension_counts_what_is_there(stocked: Reports) -> None:
    for dimension in DIMENSIONS:
        expected = Counter(VALUES[dimension](row) for row in stocked.told())
        found = await stocked.counts(("breakdown", dimension))
        assert all(set(row) == {dimension, "count"} for row in found)
        assert len({row[dimension] for row in found}) == len(found)
        assert {row[dimension]: row["count"] for row in found if row["count"]} == expected
        assert {type(row[dimension]) for row in found} == {type(value) for value in expected}


@pytest.mark.parametrize("breakdown", ["canceled-month-planId", "canceled,month,planId"])
async def test_a_cross_table_counts_each_combination(stocked: Reports, breakdown: str) -> None:
    names = ("canceled", "month", "planId")
    expected = Counter(tuple(VALUES[name](row) for name in names) for row in stocked.told())
    found = await stocked.counts(("breakdown", breakdown))
    assert {tuple(row[name] for name in names): row["count"] for row in found if row["count"]} == expected
    pairs = {(row["canceled"], row["planId"]) for row in found}
    months = {row["month"] for row in found}
    assert len(found) == len(pairs) * len(months)  # no gap in any of the series
    assert [row["month"] for row in found] == sorted(row["month"] for row in found)


async def test_without_a_breakdown_there_is_one_number(stocked: Reports) -> None:
    assert await stocked.counts() == [{"count": len(stocked.told())}]
    assert await stocked.counts(("planId", "no-such-plan")) == [{"count": 0}]
    assert await stocked.counts(("breakdown", "planId"), ("planId", "no-such-plan")) == []


async def test_filters_count_as_they_do_in_the_list(stocked: Reports) -> None:
    asked = (("-saveType", "ABANDON"), ("startDate", "2026-01-15"), ("endDate", "2026-06-10"))
    listed = await stocked.sessions(*asked, ("limit", "1000"))
    assert listed
    assert (await stocked.counts(*asked))[0]["count"] == len(listed)


# --- Time -----------------------------------------------------------------------------------------


async def test_days_are_those_of_the_time_zone_also_across_a_change_of_clocks(reports: Reports) -> None:
    around = datetime(2026, 3, 27, tzinfo=UTC)
    reports.add(150, start=around, end=around + timedelta(days=12))  # Berlin and Lord Howe change in it
    reports.add(150, seed=2, start=datetime(2026, 10, 28, tzinfo=UTC), end=datetime(2026, 11, 3, tzinfo=UTC))
    for zone, unit in product(ZONES, ("day", "week", "month")):
        expected: Counter[str] = Counter()
        for row in reports.told():
            on = row["created_at"].astimezone(ZoneInfo(zone)).date()
            start = on - timedelta(days=on.weekday()) if unit == "week" else on
            expected[start.strftime("%Y-%m") if unit == "month" else start.isoformat()] += 1
        found = await reports.counts(("breakdown", unit), ("timeZone", zone))
        assert {row[unit]: row["count"] for row in found if row["count"]} == expected, zone
        named = [row[unit] for row in found]
        assert named == sorted(set(named))


async def test_days_without_a_session_count_none(stocked: Reports) -> None:
    span = (("startDate", "2024-12-30"), ("endDate", "2025-01-02"))
    found = await stocked.counts(("breakdown", "day"), *span)
    days = ["2024-12-30", "2024-12-31", "2025-01-01", "2025-01-02"]
    assert found == [{"day": day, "count": 0} for day in days]
    assert await stocked.counts(("breakdown", "week"), *span) == [{"week": "2024-12-30", "count": 0}]
    assert [row["month"] for row in await stocked.counts(("breakdown", "month"), *span)] == [
        "2024-12",
        "2025-01",
    ]


async def test_without_dates_the_series_goes_from_the_first_session_to_the_last(stocked: Reports) -> None:
    dates = [row["created_at"].date() for row in stocked.told()]
    found = await stocked.counts(("breakdown", "day"))
    assert (found[0]["day"], found[-1]["day"]) == (min(dates).isoformat(), max(dates).isoformat())
    assert len(found) == (max(dates) - min(dates)).days + 1


async def test_from_a_day_on_the_series_goes_to_today(stocked: Reports, clock: FakeClock) -> None:
    """Who asks for the last days wants to see the ones on which nothing happened."""
    today = clock.now().date()
    since = ("startDate", (today - timedelta(days=6)).isoformat())
    found = await stocked.counts(("breakdown", "day"), since, ("planId", "no-such-plan"))
    assert found == [
        {"day": (today - timedelta(days=back)).isoformat(), "count": 0} for back in range(6, -1, -1)
    ]
    clock.set(datetime(2026, 11, 20, 23, 30, tzinfo=UTC))
    found = await stocked.counts(
        ("breakdown", "day"), ("startDate", "2026-11-20"), ("timeZone", "Europe/Berlin")
    )
    assert [row["day"] for row in found] == ["2026-11-20", "2026-11-21"]
    assert await stocked.counts(("breakdown", "day"), ("startDate", "2026-11-22")) == []


async def test_no_session_at_all_is_no_series(reports: Reports) -> None:
    assert await reports.counts(("breakdown", "month")) == []


# --- Money ----------------------------------------------------------------------------------------


async def test_amounts_are_added_up_for_each_currency_apart(stocked: Reports) -> None:
    expected: Counter[tuple[str, str | None]] = Counter()
    for row in stocked.told():
        expected[row["session_currency"], row["save_type"]] += row["price_minor"]
    found = await stocked.counts(("breakdown", "saveType"), ("sum", "subscriptionPrice"))
    assert {(row["sessionCurrency"], row["saveType"]): row["subscriptionPrice"] for row in found} == expected


# --- Formats and refusals -------------------------------------------------------------------------


async def test_rows_come_as_csv_too(stocked: Reports) -> None:
    found = await stocked.counts(("breakdown", "outcome"))
    answer = await stocked.ask("session-aggregation", [("breakdown", "outcome"), ("format", "csv")])
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert rows == [{"outcome": row["outcome"], "count": str(row["count"])} for row in found]


WRONG = [
    ("breakdown", "colour"),
    ("breakdown", "day-"),
    ("breakdown", "day-week"),
    ("breakdown", "planId-planId"),
    ("breakdown", "planId-trial-currency-entry-outcome"),
    ("breakdown", "customerEmail"),
    ("sum", "everything"),
    ("limit", "5"),
    ("cursor", "cs_x"),
    ("canceled", "maybe"),
]


async def test_what_is_wrong_is_named(stocked: Reports) -> None:
    for name, value in WRONG:
        answer = await stocked.ask("session-aggregation", [(name, value)], status=422)
        assert [error["field"] for error in answer.json()["errors"]] == [name], value


async def test_a_series_at_the_end_of_the_calendar_is_refused(reports: Reports) -> None:
    for end, zone in (
        ("9999-12-30", "UTC"),
        ("9999-12-31T23:59:59Z", "UTC"),
        ("9999-12-31T12:00:00Z", "Pacific/Kiritimati"),
    ):
        span = [("startDate", "9990-01-01"), ("endDate", end), ("timeZone", zone)]
        answer = await reports.ask("session-aggregation", [("breakdown", "month"), *span], status=422)
        assert [error["field"] for error in answer.json()["errors"]] == ["endDate"]
        assert (await reports.counts(*span)) == [{"count": 0}]


async def test_an_answer_has_no_more_than_ten_thousand_rows(stocked: Reports) -> None:
    span = [("startDate", "1990-01-01"), ("endDate", "2030-01-01")]
    answer = await stocked.ask("session-aggregation", [("breakdown", "day"), *span], status=422)
    assert [error["field"] for error in answer.json()["errors"]] == ["startDate"]
    wide = [("startDate", "2016-01-01"), ("endDate", "2026-12-31"), ("breakdown", "day-planId")]
    answer = await stocked.ask("session-aggregation", wide, status=422)
    assert answer.json()["errors"][0]["field"] == "breakdown"
    assert str(MAX_ROWS) in answer.json()["errors"][0]["message"]


def test_the_rows_are_counted_here_by_every_dimension() -> None:
    assert set(VALUES) == set(DIMENSIONS)
    assert date(2026, 11, 2).weekday() == 0  # the weeks of these tests begin on Mondays, as ISO 8601 has them
