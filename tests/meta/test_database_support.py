"""Each test meets an empty database, on both kinds, whatever the one before left behind."""

import pytest
from sqlalchemy import inspect, text
from sqlmodel import Session

from app.db.database import Database

ORGANIZATION = text("INSERT INTO organizations (id, name, slug, created_at) VALUES ('org_1', 'A', 'a', :now)")


def leave_something(db: Session) -> None:
    db.execute(ORGANIZATION, {"now": "2026-11-21 09:00:00+00:00"})


def count(db: Session) -> int:
    rows: int = db.execute(text("SELECT count(*) FROM organizations")).scalar_one()
    return rows


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_database_is_empty_at_the_start(turn: str, database: Database) -> None:
    assert database.read_sync(count) == 0
    database.write_sync(leave_something)
    assert database.read_sync(count) == 1


async def test_it_serves_async_tests_too(database: Database) -> None:
    assert await database.read(count) == 0


def test_a_blank_database_has_no_tables(blank_database_url: str) -> None:
    with Database(blank_database_url) as database:
        assert database.read_sync(lambda db: inspect(db.connection()).get_table_names()) == []
