"""`/v1/data/api-usage`: every request is counted, and hardly any of them costs a write."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import select

from app.accounts.service import Scope
from app.db.database import Database
from app.db.tables.records import ApiUsage
from app.insights import api, queries
from tests.insights.conftest import EVERYTHING, Reports, new_key
from tests.support.backend import serving
from tests.support.clock import FakeClock


@contextmanager
def writes() -> Iterator[list[str]]:
    """The statements that change something."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def usage(reports: Reports, *params: tuple[str, str]) -> dict[tuple[str, str], tuple[int, int]]:
    rows = (await reports.ask("api-usage", params)).json()["data"]
    assert {row["keyId"] for row in rows} <= {reports.key.id}
    return {(row["day"], row["endpoint"]): (row["requests"], row["rows"]) for row in rows}


async def test_every_request_is_counted_with_the_rows_that_it_got(stocked: Reports, clock: FakeClock) -> None:
    today = clock.now().date().isoformat()
    for _ in range(3):
        await stocked.ask("sessions", [("limit", "40")])
    await stocked.ask("sessions", [("limit", "300")])  # in pieces
    await stocked.ask("session-aggregation", [("breakdown", "canceled")])
    await stocked.ask("sessions", [("limit", "0")], status=422)  # refused: not counted
    found = await usage(stocked)
    assert found == {(today, "sessions"): (4, 420), (today, "session-aggregation"): (1, 2)}
    assert (await usage(stocked))[today, "api-usage"] == (1, 2)


async def test_a_key_writes_at_most_once_a_minute(stocked: Reports, clock: FakeClock) -> None:
    with writes() as found:
        for _ in range(20):
            await stocked.ask("sessions", [("limit", "1")])
    assert sum("api_usage" in statement for statement in found) == 1
    assert sum("api_keys" in statement for statement in found) == 1
    clock.advance(minutes=2)
    with writes() as found:
        await stocked.ask("sessions", [("limit", "1")])
    assert sum("api_usage" in statement for statement in found) == 1
    (row,) = stored(stocked.backend.database)
    assert (row.endpoint, row.requests, row.rows) == ("sessions", 21, 21)


def stored(database: Database) -> list[ApiUsage]:
    return database.read_sync(lambda db: list(db.exec(select(ApiUsage))))


async def test_a_server_that_stops_writes_what_it_has_counted(database: Database, clock: FakeClock) -> None:
    async with serving(database, clock) as found:
        reports = Reports(found.live, new_key(found.live, *EVERYTHING))
        for _ in range(5):
            await reports.ask("session-aggregation")
    assert [(row.endpoint, row.requests) for row in stored(database)] == [("session-aggregation", 5)]


async def test_what_several_processes_count_is_added_up(reports: Reports, clock: FakeClock) -> None:
    day = clock.now().date().isoformat()
    other = {
        "app_id": reports.backend.app_id,
        "day": day,
        "key_id": reports.key.id,
        "endpoint": "sessions",
        "requests": 7,
        "rows": 70,
    }
    await reports.ask("sessions")
    await reports.backend.database.write(queries.add_usage, [other])
    await reports.backend.database.write(queries.add_usage, [other])
    assert (await usage(reports))[day, "sessions"] == (15, 140)


async def test_days_are_asked_for_and_bounded(reports: Reports, clock: FakeClock) -> None:
    first = clock.now().date().isoformat()
    await reports.ask("sessions")
    clock.advance(days=40)
    later = clock.now().date().isoformat()
    await reports.ask("sessions")
    assert {day for day, _ in await usage(reports)} == {later}  # the last thirty
    assert {day for day, _ in await usage(reports, ("startDate", first), ("endDate", first))} == {first}
    for params, named in (
        ([("startDate", "2020-01-01"), ("endDate", "2026-01-01")], "startDate"),
        ([("startDate", "2026-02-01"), ("endDate", "2026-01-01")], "endDate"),
        ([("startDate", "soon")], "startDate"),
        ([("startDate", "2100-01-01")], "startDate"),
        ([("customerId", "x")], "customerId"),
    ):
        answer = await reports.ask("api-usage", params, status=422)
        assert [error["field"] for error in answer.json()["errors"]] == [named]


async def test_no_day_is_left_out_in_silence(
    reports: Reports, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MOST_USAGE_ROWS", 2)
    for path in ("sessions", "session-aggregation"):
        await reports.ask(path)
        clock.advance(minutes=2)  # so that it is written down
    assert len(await usage(reports)) == 2
    answer = await reports.ask("api-usage", status=422)  # the question before is counted too
    (error,) = answer.json()["errors"]
    assert (error["field"], "shorter span" in error["message"]) == ("startDate", True)


async def test_it_says_nothing_of_other_environments(reports: Reports) -> None:
    await reports.ask("sessions")
    limited = reports.with_key(Scope.USAGE)
    rows = (await limited.ask("api-usage", [("format", "ndjson")])).text.splitlines()
    assert len(rows) == 1
    assert reports.key.id in rows[0]
