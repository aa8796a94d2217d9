"""`/v1/data/sessions`: every filter against the same question put to the rows in Python; paging; formats; redaction."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from app.accounts.service import Scope
from app.core.request_reasons import NOT_MADE, REASONS
from app.insights import api
from app.insights.filters import FILTERS
from app.insights.shapes import AcceptedOffer, RecordCustomer, RecordShape
from app.insights.telling import SESSION_COLUMNS, csv_lines
from app.sessions import settling
from tests.insights.conftest import Reports

EFFECT = {
    "id": "eff_1",
    "type": "cancel",
    "status": "failed",
    "decisionId": None,
    "reason": None,
    "reference": None,
    "requestedAt": "2026-10-01T09:00:00Z",
    "appliedAt": None,
}
BOTH = (("bounced", "true"), ("bounced", "false"))
Row = dict[str, Any]

# What each filter is asked with, and who matches.
CASES: list[tuple[str, str, Callable[[Row], bool]]] = [
    ("outcome", "kept", lambda r: r["outcome"] == "kept"),
    ("saveType", "DISCOUNT", lambda r: r["save_type"] == "DISCOUNT"),
    ("saveType", "abandon", lambda r: r["save_type"] == "ABANDON"),
    ("offerType", "PAUSE", lambda r: r["offer_type"] == "PAUSE"),
    ("response", "not-used", lambda r: r["reason_id"] == "not-used"),
    ("response", "It is too expensive", lambda r: r["reason_id"] == "too-expensive"),
    ("aborted", "true", lambda r: r["is_aborted"]),
    ("canceled", "true", lambda r: r["is_canceled"]),
    ("canceled", "FALSE", lambda r: not r["is_canceled"]),
    ("trial", "true", lambda r: r["is_trial"]),
    ("planId", "price_pro_yearly", lambda r: r["plan_id"] == "price_pro_yearly"),
    ("billingInterval", "year", lambda r: r["billing_interval"] == "year"),
    ("couponId", "SAVE50", lambda r: r["coupon_id"] == "SAVE50"),
    ("pauseDuration", "1", lambda r: r["pause_duration"] == 1),
    ("sessionCurrency", "usd", lambda r: r["session_currency"] == "USD"),
    ("ageYears", "1", lambda r: r["age_months"] // 12 == 1),
    ("blueprintId", "fv_seeded_2", lambda r: r["flow_version_id"] == "fv_seeded_2"),
    ("segmentId", "seg_1", lambda r: False),
    ("abtest", "abt_1", lambda r: False),
]


async def test_a_filter_finds_what_it_says_and_negated_all_the_others(stocked: Reports) -> None:
    rows = stocked.told()
    for name, value, matches in CASES:
        expected = [row["session_id"] for row in rows if matches(row)]
        others = [row["session_id"] for row in rows if not matches(row)]
        assert await stocked.ids((name, value), ("limit", "1000")) == expected, name
        assert await stocked.ids((f"-{name}", value), ("limit", "1000")) == others, name
        assert name in ("segmentId", "abtest") or (expected and others), name


async def test_one_customer_and_one_session_are_found(stocked: Reports) -> None:
    row = stocked.told()[7]
    assert row["session_id"] in await stocked.ids(("customerId", row["customer_id"]))
    assert row["session_id"] in await stocked.ids(("customerEmail", row["customer_email"].upper()))
    assert await stocked.ids(("sessionId", row["session_id"])) == [row["session_id"]]
    found = await stocked.ids(("-sessionId", row["session_id"]), ("limit", "1000"))
    assert len(found) == len(stocked.told()) - 1


def test_no_filter_is_left_out() -> None:
    tried = {name for name, _, _ in CASES} | {"sessionId", "customerId", "customerEmail", "bounced"}
    assert tried == set(FILTERS)


async def test_bounced_sessions_are_left_out_unless_they_are_asked_for(stocked: Reports) -> None:
    bounced = [row["session_id"] for row in stocked.told(bounced=True) if row["is_bounced"]]
    assert bounced
    assert not set(bounced) & set(await stocked.ids(("limit", "1000")))
    assert await stocked.ids(("bounced", "true")) == bounced
    assert await stocked.ids(("-bounced", "false")) == bounced
    assert len(await stocked.ids(*BOTH, ("limit", "1000"))) == 400


async def test_several_values_are_any_of_them_and_several_filters_all_of_them(stocked: Reports) -> None:
    found = await stocked.sessions(
        ("planId", "price_pro_monthly"),
        ("planId", "price_lite_monthly"),
        ("-canceled", "true"),
        ("limit", "1000"),
    )
    expected = [
        row["session_id"]
        for row in stocked.told()
        if row["plan_id"] in ("price_pro_monthly", "price_lite_monthly") and not row["is_canceled"]
    ]
    assert [one["_id"] for one in found] == expected


async def test_days_are_included_and_fall_as_the_time_zone_says(stocked: Reports) -> None:
    zone = ZoneInfo("America/New_York")
    first, last = date(2026, 3, 7), date(2026, 3, 20)  # the clocks change on the 8th
    inside = [
        row["session_id"]
        for row in stocked.told()
        if first <= row["created_at"].astimezone(zone).date() <= last
    ]
    span = (("startDate", first.isoformat()), ("endDate", last.isoformat()))
    assert await stocked.ids(*span, ("timeZone", zone.key)) == inside
    in_utc = [row["session_id"] for row in stocked.told() if first <= row["created_at"].date() <= last]
    assert await stocked.ids(*span) == in_utc


async def test_a_moment_is_included_too(stocked: Reports) -> None:
    row = stocked.told()[20]
    at = row["created_at"].isoformat()
    assert await stocked.ids(("startDate", at), ("endDate", at)) == [row["session_id"]]
    before = (row["created_at"] - timedelta(microseconds=1)).isoformat()
    assert await stocked.ids(("startDate", before), ("endDate", before)) == []


# --- Paging ---------------------------------------------------------------------------------------


async def test_the_cursor_leads_past_every_session_once(stocked: Reports) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = [("limit", "30"), *([("cursor", cursor)] if cursor else [])]
        page = (await stocked.ask("sessions", params)).json()
        seen += [one["_id"] for one in page["data"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
        assert len(page["data"]) == 30
        assert cursor == seen[-1]
    assert seen == [row["session_id"] for row in stocked.told()]


async def test_skip_passes_over_and_a_hundred_are_answered_unless_more_are_asked_for(
    stocked: Reports,
) -> None:
    everyone = [row["session_id"] for row in stocked.told()]
    assert await stocked.ids() == everyone[:100]
    assert await stocked.ids(("skip", "35"), ("limit", "10")) == everyone[35:45]
    assert await stocked.ids(("skip", "10000000")) == []


async def test_a_long_answer_comes_in_pieces_and_is_whole(reports: Reports) -> None:
    reports.add(2 * api.PIECE + 40)
    everyone = [row["session_id"] for row in reports.told(bounced=True)]
    for limit in (api.PIECE - 1, api.PIECE, api.PIECE + 1, 2 * api.PIECE, 10_000):
        page = (await reports.ask("sessions", [("limit", str(limit)), ("skip", "3"), *BOTH])).json()
        assert [one["_id"] for one in page["data"]] == everyone[3 : 3 + limit]
        has_more = len(everyone) - 3 > limit
        assert page["nextCursor"] == (everyone[2 + limit] if has_more else None)


async def test_sessions_that_began_at_the_same_instant_are_all_listed(reports: Reports) -> None:
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    reports.add(40, start=at, end=at)
    seen: list[str] = []
    for _ in range(10):
        cursor = [("cursor", seen[-1])] if seen else []
        seen += await reports.ids(("limit", "7"), *BOTH, *cursor)
    assert sorted(seen) == sorted(row["session_id"] for row in reports.rows)


async def test_the_head_of_an_answer_is_answered_without_its_body(stocked: Reports) -> None:
    answer = await stocked.client.head("/v1/data/sessions?limit=1000", headers=stocked.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/json"


# --- Formats --------------------------------------------------------------------------------------


async def test_ndjson_has_a_record_a_line(stocked: Reports) -> None:
    everyone = await stocked.sessions(("limit", "1000"))
    assert len(everyone) > api.PIECE
    for params, headers in (
        ([("format", "ndjson")], {}),
        ([], {"accept": "application/x-ndjson"}),
    ):
        answer = await stocked.ask("sessions", [("limit", "1000"), *params], headers=headers)
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line) for line in answer.text.splitlines()] == everyone


async def test_csv_has_the_same_values_in_columns(stocked: Reports) -> None:
    everyone = await stocked.sessions(("limit", "1000"))
    answer = await stocked.ask("sessions", [("limit", "1000")], headers={"accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert tuple(rows[0]) == SESSION_COLUMNS
    assert [row["_id"] for row in rows] == [one["_id"] for one in everyone]
    for row, one in zip(rows, everyone, strict=True):
        assert row["customer.planPrice"] == str(one["customer"]["planPrice"])
        assert row["canceled"] == ("true" if one["canceled"] else "false")
        assert json.loads(row["customer.customAttributes"]) == one["customer"]["customAttributes"]
        assert row["acceptedOffer.couponId"] == ((one["acceptedOffer"] or {}).get("couponId") or "")


def test_csv_leaves_out_nothing_of_a_record() -> None:
    names = set()
    for name, field in RecordShape.model_fields.items():
        spelt = field.alias or name
        inner = {"customer": RecordCustomer, "acceptedOffer": AcceptedOffer}.get(spelt)
        names |= {f"{spelt}.{f.alias}" for f in inner.model_fields.values()} if inner else {spelt}
    assert set(SESSION_COLUMNS) == names
    assert len(SESSION_COLUMNS) == len(names)


async def test_no_cell_is_a_formula(reports: Reports) -> None:
    reports.add(1)
    row = reports.rows[0]
    told = {**json.loads(row["record"]), "feedback": '=HYPERLINK("https://evil.example")', "bounced": False}

    def change(db: Any) -> None:
        db.connection().execute(
            text("UPDATE session_records SET record = :record, is_bounced = :no"),
            {"record": json.dumps(told), "no": False},
        )

    reports.backend.database.write_sync(change)
    answer = await reports.ask("sessions", [("format", "csv")])
    (found,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert found["feedback"].startswith("'=HYPERLINK")


def test_no_text_that_a_spreadsheet_runs_is_written_as_it_is() -> None:
    for mark in ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"):
        ((cell,),) = csv.reader(io.StringIO(csv_lines([[f"{mark}1+1"]]), newline=""))
        assert cell == f"'{mark}1+1"
    assert csv_lines([[-5, "a=b"]]) == "-5,a=b\r\n"


# --- Personal data --------------------------------------------------------------------------------


async def test_without_its_scope_no_personal_data_is_told(stocked: Reports) -> None:
    blind = stocked.with_key(Scope.SESSIONS)
    for limit, format in product(("50", "1000"), ("json", "ndjson", "csv")):
        answer = await blind.ask("sessions", [("limit", limit), ("format", format)])
        told = answer.text
        for row in stocked.told()[: int(limit)]:
            assert row["session_id"] in told
            assert row["customer_email"] not in told
            assert row["record"]["feedback"] is None or row["record"]["feedback"] not in told
        assert "notebooks" not in told
        assert '"source"' not in told.replace('""', '"')
    assert stocked.told()[0]["customer_email"] in (await stocked.ask("sessions")).text


async def test_what_billing_says_in_its_own_words_needs_the_scope_too(reports: Reports) -> None:
    """A merchant's own billing may name a person where it refuses."""
    reports.add(1)
    said = "Ada Byron of 12 Square owes us"
    told = {
        **json.loads(reports.rows[0]["record"]),
        "bounced": False,
        "manualReasons": [said],
        "effects": [{**EFFECT, "reason": said}, {**EFFECT, "reason": "discount_active"}],
    }

    def change(db: Any) -> None:
        db.connection().execute(
            text("UPDATE session_records SET record = :record, is_bounced = :no"),
            {"record": json.dumps(told), "no": False},
        )

    reports.backend.database.write_sync(change)
    blind = reports.with_key(Scope.SESSIONS)
    for format in ("json", "ndjson", "csv"):
        assert said in (await reports.ask("sessions", [("format", format)])).text
        answer = (await blind.ask("sessions", [("format", format)])).text
        assert said not in answer
        assert "discount_active" in answer
    (one,) = (await blind.ask("sessions")).json()["data"]
    assert one["manualReasons"] == [NOT_MADE]


def test_every_reason_of_ours_is_told_to_everybody() -> None:
    ours = (settling.WITHDRAWN, settling.CHANGED_SINCE_SHOWN, settling.TOO_LATE, settling.NOT_VERIFIED)
    assert REASONS.issuperset(ours)


# --- Refusals -------------------------------------------------------------------------------------


WRONG = [
    ("limit", "0"),
    ("limit", "10001"),
    ("limit", "ten"),
    ("limit", "-1"),
    ("skip", "10000001"),
    ("cursor", "cs_nowhere"),
    ("cursor", ""),
    ("cursor", "\x00"),
    ("startDate", "yesterday"),
    ("startDate", "2026-02-30"),
    ("startDate", "2026-01-01T10:00:00"),
    ("endDate", "1066-01-01"),
    ("endDate", "9999-12-31"),
    ("timeZone", "Mars/Olympus"),
    ("timeZone", "../../etc/passwd"),
    ("format", "xml"),
    ("canceled", "yes"),
    ("-canceled", "1"),
    ("saveType", "BRIBE"),
    ("offerType", "ABANDON"),
    ("outcome", "won"),
    ("pauseDuration", "one"),
    ("pauseDuration", "9999999999"),
    ("ageYears", "1.5"),
    ("sessionCurrency", "EURO"),
    ("billingInterval", "decade"),
    ("customerId", ""),
    ("customerId", "\x00"),
    ("planId", "x" * 321),
    ("response", "a\nb"),
    ("colour", "blue"),
    ("-limit", "5"),
    ("-startDate", "2026-01-01"),
    ("-colour", "blue"),
    ("breakdown", "day"),
]


async def test_what_is_wrong_is_named(stocked: Reports) -> None:
    for name, value in WRONG:
        answer = await stocked.ask("sessions", [(name, value)], status=422)
        problem = answer.json()
        assert [error["field"] for error in problem["errors"]] == [name], value
        assert problem["message"] == problem["detail"]
        assert problem["message"].startswith(f"{name}: ")


async def test_everything_that_is_wrong_is_named_at_once(stocked: Reports) -> None:
    wrong = [
        ("limit", "5"),
        ("limit", "6"),
        ("startDate", "2026-02-01"),
        ("endDate", "2026-01-01"),
        ("x", ""),
    ]
    answer = await stocked.ask("sessions", wrong, status=422)
    assert {error["field"] for error in answer.json()["errors"]} == {"limit", "endDate", "x"}
    assert answer.json()["message"] == "Not valid: endDate, limit, x."
    many = [(f"x{number}", "") for number in range(9)]
    answer = await stocked.ask("sessions", many, status=422)
    assert all(name in answer.json()["message"] for name, _ in many)


async def test_a_filter_takes_no_more_than_fifty_values(stocked: Reports) -> None:
    await stocked.ask("sessions", [("planId", str(number)) for number in range(50)])
    answer = await stocked.ask("sessions", [("planId", str(number)) for number in range(51)], status=422)
    assert answer.json()["errors"][0]["field"] == "planId"


async def test_cursor_and_skip_do_not_go_together(stocked: Reports) -> None:
    cursor = (await stocked.ids(("limit", "1")))[0]
    answer = await stocked.ask("sessions", [("cursor", cursor), ("skip", "1")], status=422)
    assert answer.json()["errors"][0]["field"] == "skip"
