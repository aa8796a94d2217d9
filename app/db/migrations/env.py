"""How Alembic runs: one transaction for everything, one process at a time, on both databases.

Loaded by Alembic alone. The address comes from `app/db/migrate.py`, or for `alembic …` from `DATABASE_URL`.
"""

import os
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import JSON, Connection, text
from sqlmodel.sql.sqltypes import AutoString

import app.db.tables  # noqa: F401 (fills the metadata)
from app.db.base import UtcDateTime, metadata
from app.db.engines import is_sqlite, migration_engine, parse_url, prepare_file

# Any number that nothing else in the database locks on ("leavewel" in ASCII).
ADVISORY_LOCK = 0x6C65617665776C


class ForeignKeysBroken(Exception):
    """Rows point nowhere; the migration has been rolled back."""


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write plain SQLAlchemy types into migrations, which must outlive the code of today."""
    if kind != "type":
        return False
    if isinstance(item, AutoString):
        return "sa.String()"
    if isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(item, JSON):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return "sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')"
    return False


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_item=render_item,
        render_as_batch=is_sqlite(connection.engine.url),
        transactional_ddl=True,
        compare_server_default=False,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
        context.run_migrations()
        if connection.dialect.name == "sqlite":
            check_foreign_keys(connection)


def check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        tables = ", ".join(sorted({str(row[0]) for row in broken}))
        raise ForeignKeysBroken(f"{len(broken)} rows point nowhere, in: {tables}")


if context.is_offline_mode():
    raise SystemExit("Migrations run against a database; there is no SQL script mode.")

given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    options = context.config
    address = options.attributes.get("url") or options.get_main_option("sqlalchemy.url")
    url = parse_url(address or os.environ["DATABASE_URL"])
    if is_sqlite(url):
        prepare_file(url)
    engine = migration_engine(url)
    with engine.connect() as connection:
        migrate(connection)
    engine.dispose()
