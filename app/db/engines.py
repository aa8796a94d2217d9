"""Database addresses and the engines made from them: pragmas, time-outs, how a transaction begins."""

from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.base import dump_json, load_json

STATEMENT_TIMEOUT_S = 10  # PostgreSQL: the longest a statement may run
CONNECT_TIMEOUT_S = 5  # PostgreSQL
MIGRATION_BUSY_TIMEOUT_S = 60  # SQLite: two processes that start at once migrate one after the other


def parse_url(url: str | URL) -> URL:
    """The address with its driver: `postgresql://` means psycopg 3 here, never psycopg 2."""
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def prepare_file(url: URL) -> None:
    """Create the SQLite file, for its owner only: it holds customers' data. Its side files follow suit."""
    path = Path(url.database or "")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)


def sqlite_engine(url: URL, *, pool_size: int, writes: bool, busy_timeout_s: float) -> Engine:
    """`writes` takes the write lock at BEGIN, so that a transaction cannot lose against another half-way.

    A reading engine refuses to write and sees one snapshot per transaction.
    """
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,
        hide_parameters=True,  # errors are logged, and parameters are customers' data
        connect_args={"timeout": busy_timeout_s},
        json_serializer=dump_json,
        json_deserializer=load_json,
    )
    # FULL, not NORMAL: an effect that was committed and sent must still be there after a power cut.
    pragmas = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "journal_size_limit=67108864"]
    if not writes:
        pragmas.append("query_only=ON")
    _take_over_transactions(engine, begin="BEGIN IMMEDIATE" if writes else "BEGIN", pragmas=pragmas)
    return engine


def postgresql_engine(url: URL, *, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,
        hide_parameters=True,  # errors are logged, and parameters are customers' data
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        isolation_level="READ COMMITTED",
        json_serializer=dump_json,
        json_deserializer=load_json,
    )

    @event.listens_for(engine, "connect")
    def set_timeouts(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{STATEMENT_TIMEOUT_S}s'")
        cursor.close()
        connection.commit()

    return engine


def migration_engine(url: URL) -> Engine:
    """One connection whose DDL is transactional on both databases.

    On SQLite foreign keys are off: altering a table means rebuilding it, and dropping the old one would
    delete what points to it. Whoever migrates runs `PRAGMA foreign_key_check` before the commit.
    """
    if not is_sqlite(url):
        return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_S})
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": MIGRATION_BUSY_TIMEOUT_S})
    _take_over_transactions(engine, begin="BEGIN IMMEDIATE", pragmas=["journal_mode=WAL", "foreign_keys=OFF"])
    return engine


def _take_over_transactions(engine: Engine, *, begin: str, pragmas: list[str]) -> None:
    """Python's driver would begin transactions late, and never before DDL; so it is told to begin none."""

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)
