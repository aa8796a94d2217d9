"""`python -m tests.support.seed_sessions DATABASE_URL APP_ID --count 1000000`: believable closed sessions, with all
that hangs on them (`seed_rows.py`), written in bulk, past the application. What is too old is bare, as retention
leaves it.
"""

import argparse
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import psycopg
from sqlalchemy import URL

from app.core.calendar import add_months
from app.db.base import dump_json, metadata
from app.db.database import Database
from app.db.engines import is_sqlite, parse_url
from tests.support import seed_rows
from tests.support.seed_records import Shop, sessions, shop_of
from tests.support.seed_rows import Rows

__all__ = ["Shop", "insert", "insert_whole", "sessions", "shop_of"]

Batch = Mapping[str, Sequence[Mapping[str, Any]]]  # table -> rows, those that are referred to first

BATCH: Final = 2_000  # sessions in memory at once
MONTHS: Final = 24
CACHE_KB: Final = 256_000  # of SQLite's pages: every index is written in many places


def insert(url: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write records in bulk, whose sessions are not there; how many there were."""
    return _insert(url, ({"session_records": some} for some in _batches(rows)), "session_records")


def insert_whole(url: str, made: Iterable[Rows], *, is_vacuumed: bool = True) -> int:
    """Write sessions in bulk with all that hangs on them; how many there were. Unless they are few, statistics are
    brought up to date as autovacuum would."""
    return _insert(url, seed_rows.in_batches(made, BATCH), "cancel_sessions", is_vacuumed=is_vacuumed)


def _insert(url: str, batches: Iterable[Batch], counted: str, *, is_vacuumed: bool = True) -> int:
    address = parse_url(url)
    write = _write_sqlite if is_sqlite(address) else _write_postgresql
    count, written = 0, set[str]()
    for done in write(address, batches):
        count += len(done[counted])
        written |= {table for table, rows in done.items() if rows}
    if is_vacuumed and not is_sqlite(address):
        with _connected(address) as connection:
            for table in sorted(written):
                connection.execute(f"VACUUM ANALYZE {table}")
    return count


def _connected(address: URL) -> "psycopg.Connection[Any]":
    url = address.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url, autocommit=True)


def _write_sqlite(address: URL, batches: Iterable[Batch]) -> Iterator[Batch]:
    with closing(sqlite3.connect(address.database or "")) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        for batch in batches:
            for table, rows in _filled(batch):
                columns = _columns(table, rows)
                marks = ", ".join("?" for _ in columns)
                statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
                connection.executemany(statement, ([_plain(row.get(c)) for c in columns] for row in rows))
            connection.commit()
            yield batch


def _write_postgresql(address: URL, batches: Iterable[Batch]) -> Iterator[Batch]:
    with _connected(address) as connection:
        with suppress(psycopg.errors.InsufficientPrivilege):
            # What is referred to is there: whoever may, has it not looked up row by row.
            connection.execute("SET session_replication_role = replica")
        for batch in batches:
            for table, rows in _filled(batch):
                columns = _columns(table, rows)
                statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
                with connection.cursor() as cursor, cursor.copy(statement) as copy:
                    for row in rows:
                        copy.write_row([_zoned(row.get(name)) for name in columns])
            yield batch


def _filled(batch: Batch) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    return [(table, rows) for table, rows in batch.items() if rows]


def _columns(table: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Those that any of the rows has; the others are what the database makes them."""
    named = {name for row in rows for name in row}
    return [name for name in metadata.tables[table].columns.keys() if name in named]  # noqa: SIM118 - not a dict


def _plain(value: Any) -> Any:
    """As SQLAlchemy writes it: naive UTC with microseconds, JSON as text."""
    if isinstance(value, datetime):
        return value.isoformat(" ", "microseconds")[:26]
    if isinstance(value, dict | list):
        return dump_json(value)
    return value


def _zoned(value: Any) -> Any:
    return dump_json(value) if isinstance(value, dict | list) else value


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        yield batch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.seed_sessions", description=__doc__)
    parser.add_argument("url", metavar="DATABASE_URL")
    parser.add_argument("app_id", metavar="APP_ID")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--months", type=int, default=MONTHS)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    end = datetime.now(UTC)
    with Database(chosen.url) as database:
        stocked = database.write_sync(seed_rows.stock, chosen.app_id, now=end)
    began = time.monotonic()
    made = seed_rows.whole(
        stocked,
        start=add_months(end, -chosen.months),
        end=end,
        count=chosen.count,
        seed=chosen.seed,
        prefix=f"s{chosen.seed}",
        who=seed_rows.people(chosen.count),
    )
    count = insert_whole(chosen.url, made)
    sys.stdout.write(f"{count} sessions in {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
