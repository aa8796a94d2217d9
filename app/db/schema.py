"""Which schema this code needs and which one a database has. Imports Alembic only to migrate."""

import importlib
from pathlib import Path

from sqlalchemy import NullPool, create_engine, inspect, text

from app.db.engines import is_sqlite, parse_url

HEAD = "0009"


def current_revision(url: str) -> str | None:
    """The revision the database is at; None when it is empty or, for SQLite, not there yet."""
    address = parse_url(url)
    if is_sqlite(address) and not Path(address.database or "").exists():
        return None
    engine = create_engine(address, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    finally:
        engine.dispose()


def upgrade(url: str) -> None:
    """Bring the database to `HEAD`. Of several processes one migrates, the others wait and find it done."""
    if current_revision(url) != HEAD:
        # Imported here, because most starts find nothing to do and would pay time and memory for Alembic.
        importlib.import_module("app.db.migrate").upgrade(url)
