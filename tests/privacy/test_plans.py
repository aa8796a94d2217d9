"""What is about a person is found by the person, however many sessions others have."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlmodel import Session

from app.core.erasure import NOBODY
from app.db.tables.sessions import CancelSession
from app.privacy import access, finding, service
from app.privacy.erasing import Measure
from app.privacy.finding import Whose
from tests.privacy.conftest import Bureau
from tests.privacy.test_seeded import BUSY, seed

pytestmark = pytest.mark.anyio

# Of every row, or of all that an environment has. What SQLite makes of an empty list is no table.
_OF_EVERYBODY = re.compile(r"SCAN (?!CONSTANT ROW|\()|\(app_id=\?\)|Seq Scan")


@contextmanager
def explained(db: Session, plans: dict[str, str]) -> Iterator[None]:
    """The plan of every statement that reads, or looks for what it changes."""
    connection = db.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL enable_seqscan = off"))  # it would read what is as small as this
    how = "EXPLAIN" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"

    def explain(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, is_many: bool) -> None:
        if statement in plans or is_many or statement.startswith(("INSERT", "EXPLAIN")):
            return
        cursor = connection.connection.cursor()
        cursor.execute(f"{how} {statement}", parameters)
        plans[statement] = "\n".join(str(row[-1]) for row in cursor.fetchall())

    event.listen(connection.engine, "before_cursor_execute", explain)
    try:
        yield
    finally:
        event.remove(connection.engine, "before_cursor_execute", explain)


async def test_no_statement_reads_what_is_about_others(bureau: Bureau) -> None:
    seed(bureau, is_bare=False)
    email = next(row.email_key for row in bureau.desk.all(CancelSession) if row.customer_id == f"cus_{BUSY}")
    assert email
    plans: dict[str, str] = {}
    organization_id = bureau.organization_id

    def tell_and_erase(db: Session) -> None:
        with explained(db, plans):
            known = access.look_up(db, organization_id=organization_id, email=email, most=1_000)
            for section in known.ids:
                for ids in known.bites(section):
                    access.tell(db, section, ids)
            whose = Whose(finding.app_ids_of(db, organization_id), email)
            counts, _ = service._erase_some(db, whose, Measure(bureau.desk.clock.now()))
            assert counts["sessions"] == service.BITE
            db.flush()

    bureau.database.write_sync(tell_and_erase)
    assert len([row for row in bureau.desk.all(CancelSession) if row.customer_id == NOBODY]) == service.BITE
    assert len(plans) > 20
    wide = {statement: plan for statement, plan in plans.items() if _OF_EVERYBODY.search(plan)}
    wide = {s: plan for s, plan in wide.items() if " environments" not in s}  # an organization has two
    assert wide == {}
