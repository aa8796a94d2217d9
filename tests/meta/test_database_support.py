"""Each test meets an empty database, on both kinds, whatever the one before left behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlmodel import Session

from app.db.database import Database
from tests.support import run

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


def test_a_killed_run_whose_server_died_with_it_is_cleared_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    left = tmp_path / f"{run.PREFIX}left"
    cluster = left / "postgres"
    cluster.mkdir(parents=True)
    (left / "owner").write_bytes(ended.stdout)
    (cluster / "postmaster.pid").write_text(f"{int(ended.stdout)}\n{cluster}\n")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(run.VARIABLE, os.environ[run.VARIABLE])

    run.begin()

    assert not left.exists()
    shutil.rmtree(run.folder())
