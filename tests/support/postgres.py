"""A throw-away PostgreSQL: one cluster for a run of the tests, whatever number of workers it has.

`TEST_DATABASE_URL` names a server to use instead; its user must be allowed to create databases.
"""

import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from scripts.provision import find_postgres

# Nothing here outlives the run, so nothing has to survive a power cut.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
}


class PostgresMissing(Exception):
    """There is no PostgreSQL to test with; `make test` installs one where it can."""


def server_url(run: Path) -> str:
    """The address of this run's server; the first worker to ask starts it."""
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        return named
    with exclusively(run):
        address = run / "postgres.url"
        if not address.exists():
            address.write_text(_start(run))
        return address.read_text()


def stop(run: Path) -> None:
    """End this run's server, if it started one; leave nothing behind on somebody else's."""
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        drop_database(named, database_name(run, "template"))
    if (run / "postgres" / "postmaster.pid").exists():
        _run("pg_ctl", "stop", "--mode=immediate", "--pgdata", run / "postgres")


def clear_up(run: Path) -> None:
    """The same for a run that was killed. Its server may have gone with it, and its number to somebody else."""
    with suppress(subprocess.CalledProcessError, psycopg.OperationalError, PostgresMissing):
        stop(run)


def create_database(server: str, name: str, *, template: str | None = None) -> str:
    """Make an empty database, or a copy of `template`, and tell its URL."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _execute(server, statement.format(sql.Identifier(name), sql.Identifier(template or "template0")))
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def drop_database(server: str, name: str) -> None:
    _execute(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def template(server: str, run: Path, build: Callable[[str], None]) -> str:
    """The name of the database that all workers copy; `build(url)` makes its tables, once a run."""
    name = database_name(run, "template")
    with exclusively(run):
        built = run / "postgres.template"
        if not built.exists():
            build(create_database(server, name))
            built.touch()
    return name


def empty_tables(url: str) -> None:
    """Delete every row, but not what the migrations say of themselves."""
    with psycopg.connect(_libpq(url), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        ).fetchall()
        if rows:
            tables = sql.SQL(", ").join(sql.Identifier(name) for (name,) in rows)
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables))


def database_name(run: Path, part: str) -> str:
    """A name of this run alone: a server of someone else's may serve several runs at once."""
    return f"{run.name}_{part}".replace("-", "_").lower()


@contextmanager
def exclusively(run: Path) -> Iterator[None]:
    """One worker at a time."""
    with (run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(run: Path) -> str:
    data = run / "postgres"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        run.chmod(0o711)  # the unprivileged user must get through to its folder
        shutil.chown(data, _unprivileged().pw_name)
    _run(
        "initdb",
        "--pgdata",
        data,
        "--username=leavewell",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    )
    options = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
    log = data / "server.log"
    _run("pg_ctl", "start", "--wait", "--pgdata", data, "--log", log, "--options", f"{options} -k '{data}'")
    return f"postgresql://leavewell@/postgres?host={data}"


def _run(program: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's programs, as somebody else when we are root: it refuses to run as root."""
    folder = find_postgres()
    if folder is None:
        raise PostgresMissing(PostgresMissing.__doc__)
    command = [str(folder / program), *map(str, arguments)]
    if os.geteuid() == 0:
        user = _unprivileged()
        subprocess.run(
            command,
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        )
    else:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresMissing(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`."
    )


def _execute(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(_libpq(server), autocommit=True) as connection:
        connection.execute(statement)


def _libpq(url: str) -> str:
    """SQLAlchemy's spelling names a driver; libpq's does not."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
