"""What is asked goes by an index, on both databases: a page and a month cost what they hold, whatever lies beside."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.core.time_buckets import Offset
from app.insights import queries
from app.insights.dimensions import DIMENSIONS
from app.insights.filters import Filter, Selection
from tests.insights.conftest import Reports

WEEK = Selection(start=datetime(2026, 6, 1, tzinfo=UTC), end=datetime(2026, 6, 4, tzinfo=UTC))
BY_TIME = "ix_session_records_app_id_created_at_session_id"
BY_CUSTOMER = "ix_session_records_app_id_customer_id_created_at_session_id"
BY_EMAIL = "ix_session_records_app_id_customer_email_created_at_session_id"


def plan_of(reports: Reports, ask: Callable[[Any], object]) -> str:
    """How the database goes about the last question that `ask` puts."""

    def read(db: Any) -> str:
        asked: list[tuple[str, Any]] = []

        def note(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
            asked.append((statement, parameters))

        event.listen(Engine, "before_cursor_execute", note)
        try:
            ask(db)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        statement, parameters = asked[-1]
        explain = "EXPLAIN QUERY PLAN" if reports.backend.database.is_sqlite else "EXPLAIN"
        rows = db.connection().exec_driver_sql(f"{explain} {statement}", parameters)
        return "\n".join(str(row[-1]) for row in rows)

    return reports.backend.database.read_sync(read)


@pytest.fixture
async def full(reports: Reports) -> Reports:
    reports.add(6_000)
    return reports


async def test_every_question_goes_by_an_index(full: Reports) -> None:
    app_id = full.backend.app_id
    customer = Selection((Filter("customerId", (full.rows[9]["customer_id"],)),))
    address = Selection((Filter("customerEmail", (full.rows[9]["customer_email"],)),))
    behind = queries.Place(full.rows[3000]["created_at"], full.rows[3000]["session_id"])
    questions: list[tuple[str, Callable[[Any], object]]] = [
        (BY_TIME, lambda db: queries.list_records(db, app_id=app_id, selection=Selection(), limit=51)),
        (
            BY_TIME,
            lambda db: queries.list_records(
                db, app_id=app_id, selection=Selection(), limit=51, behind=behind
            ),
        ),
        (BY_TIME, lambda db: queries.list_records(db, app_id=app_id, selection=WEEK, limit=51)),
        (BY_CUSTOMER, lambda db: queries.list_records(db, app_id=app_id, selection=customer, limit=51)),
        (BY_EMAIL, lambda db: queries.list_records(db, app_id=app_id, selection=address, limit=51)),
        (BY_TIME, lambda db: queries.find_span(db, app_id=app_id, selection=Selection())),
    ]
    for index, ask in questions:
        plan = plan_of(full, ask)
        assert index in plan, plan
        assert "SCAN session_records" not in plan, plan
        assert "Seq Scan" not in plan, plan
        if index == BY_TIME:
            assert "Sort" not in plan, plan
            assert "ORDER BY" not in plan, plan
    for dimension in DIMENSIONS:
        plan = plan_of(full, lambda db, by=dimension: list(counted(db, app_id, by)))
        assert BY_TIME in plan, plan
        assert "Seq Scan" not in plan, plan


def counted(db: Any, app_id: str, dimension: str) -> Any:
    return queries.aggregate(
        db,
        app_id=app_id,
        selection=WEEK,
        dimensions=[dimension],
        offsets=[Offset(3600, 1_700_000_000), Offset(7200, None)],
        has_price=False,
    )
