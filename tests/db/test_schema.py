import multiprocessing
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from app.connections.queries import hold, list_connected
from app.db import schema
from app.db.base import metadata
from app.db.database import Database, Session
from app.db.engines import parse_url
from app.db.migrate import alembic_config
from app.db.tables import Environment
from tests.db.support import add_organization, list_slugs
from tests.support.clock import START

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "next", "{head}"


def upgrade():
    {statement}
"""


def tables_of(url: str) -> set[str]:
    engine = create_engine(parse_url(url))
    tables = set(inspect(engine).get_table_names())
    engine.dispose()
    return tables


def ddl_of(url: str) -> set[frozenset[str]]:
    """Every table and index as SQLite was told to make it: its lines, in whatever order."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")).scalars()
        found = {frozenset(_lines(sql)) for sql in rows}
    engine.dispose()
    return {lines for lines in found if not any("alembic_version" in line for line in lines)}


def _lines(sql: str) -> Iterator[str]:
    """Its parts. A column that was added later stands behind the constraints, on the last line."""
    for line in re.sub(r", (?=[a-z_]+ [A-Z]+\b)", "\n", sql.strip().removesuffix(")")).splitlines():
        yield line.strip(" ,\t")


@pytest.fixture
def next_migration(blank_database_url: str, tmp_path: Path) -> Callable[[str], Config]:
    """Alembic's configuration with one more migration on top of ours, which does just this."""

    def configure(statement: str) -> Config:
        (tmp_path / "next.py").write_text(MIGRATION.format(head=schema.HEAD, statement=statement))
        config = alembic_config(blank_database_url)
        ours = Path(config.get_main_option("script_location") or "") / "versions"
        config.set_main_option("version_locations", f"{ours}:{tmp_path}")
        return config

    return configure


@pytest.fixture
def filled(blank_database_url: str) -> str:
    """A database at our head with an organization and its environment."""
    schema.upgrade(blank_database_url)

    def add(db: Session) -> None:
        organization = add_organization(db, "northwind", START)
        db.flush()
        db.add(Environment(app_id="app_1", organization_id=organization.id, mode="live", created_at=START))

    with Database(blank_database_url) as database:
        database.write_sync(add)
    return blank_database_url


def count_environments(db: Session) -> int:
    return db.connection().execute(text("SELECT count(*) FROM environments")).scalar_one()


def test_there_is_one_head_and_the_code_knows_it() -> None:
    assert ScriptDirectory.from_config(alembic_config("sqlite:///unused")).get_heads() == [schema.HEAD]


def test_an_empty_database_gets_every_table(blank_database_url: str) -> None:
    assert schema.current_revision(blank_database_url) is None
    schema.upgrade(blank_database_url)
    assert schema.current_revision(blank_database_url) == schema.HEAD
    assert tables_of(blank_database_url) == {*metadata.tables, "alembic_version"}


def test_the_migrations_make_what_the_tables_say(database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_so_do_checks_and_conditions_of_indexes(tmp_path: Path) -> None:
    """Alembic compares neither, so the statements themselves are compared."""
    migrated, direct = (f"sqlite:///{tmp_path / name}" for name in ("migrated.sqlite3", "direct.sqlite3"))
    schema.upgrade(migrated)
    engine = create_engine(direct)
    metadata.create_all(engine)
    engine.dispose()
    assert ddl_of(migrated) == ddl_of(direct)


def test_a_second_upgrade_changes_nothing(filled: str) -> None:
    schema.upgrade(filled)
    command.upgrade(alembic_config(filled), "head")
    with Database(filled) as database:
        assert database.read_sync(list_slugs) == ["northwind"]


def test_going_down_leaves_nothing(filled: str) -> None:
    command.downgrade(alembic_config(filled), "base")
    assert tables_of(filled) == {"alembic_version"}


def test_what_was_connected_before_connections_had_rows_stays_connected(blank_database_url: str) -> None:
    command.upgrade(alembic_config(blank_database_url), "0002")
    engine = create_engine(parse_url(blank_database_url))
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO organizations (id, name, slug, created_at) VALUES ('org_1', 'A', 'a', :now)",
            "INSERT INTO environments (app_id, organization_id, mode, provider, provider_config,"
            " customer_data_timeout_ms, customer_data_failures, return_origins, exit_policy, locale, theme,"
            " hosted_enabled, created_at) VALUES ('app_1', 'org_1', 'live', 'direct', 'sealed', 1500, 0, '[]',"
            " 'always', 'en', '{}', true, :now)",
        ):
            connection.execute(text(statement), {"now": START.isoformat(" ")})
    engine.dispose()
    schema.upgrade(blank_database_url)
    with Database(blank_database_url) as database:
        [one] = database.read_sync(list_connected, limit=9)
        assert (one.environment.provider_config, one.connection) == ("sealed", None)
        database.write_sync(hold, "app_1")
        [one] = database.read_sync(list_connected, limit=9)
        assert one.connection is not None
        assert one.connection.failures == 0


def test_processes_that_start_at_once_migrate_once(blank_database_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as processes:
        processes.map(schema.upgrade, [blank_database_url] * 3)
    assert schema.current_revision(blank_database_url) == schema.HEAD


def test_asking_for_the_revision_makes_no_file(tmp_path: Path) -> None:
    file = tmp_path / "absent.sqlite3"
    assert schema.current_revision(f"sqlite:///{file}") is None
    assert not file.exists()


def test_rebuilding_a_table_keeps_what_points_to_it(
    filled: str, next_migration: Callable[[str], Config]
) -> None:
    command.upgrade(
        next_migration(
            'with op.batch_alter_table("organizations") as batch: batch.alter_column("name", nullable=True)'
        ),
        "head",
    )
    with Database(filled) as database:
        assert database.read_sync(list_slugs) == ["northwind"]
        assert database.read_sync(count_environments) == 1


def test_a_migration_that_fails_half_way_leaves_no_half(
    filled: str, next_migration: Callable[[str], Config]
) -> None:
    with pytest.raises(DBAPIError):
        command.upgrade(
            next_migration('op.create_table("half", sa.Column("id", sa.String())); op.execute("nonsense")'),
            "head",
        )
    assert "half" not in tables_of(filled)
    assert schema.current_revision(filled) == schema.HEAD


def test_a_migration_that_orphans_rows_is_undone(
    filled: str, next_migration: Callable[[str], Config]
) -> None:
    with pytest.raises(Exception, match=r"point nowhere|foreign key"):
        command.upgrade(next_migration('op.execute("DELETE FROM organizations")'), "head")
    with Database(filled) as database:
        assert database.read_sync(list_slugs) == ["northwind"]
    assert schema.current_revision(filled) == schema.HEAD
