"""Empty databases for tests, built by the migrations: an SQLite file or this worker's PostgreSQL database."""

import os
import shutil
from pathlib import Path

from app.db.migrate import upgrade
from tests.support import postgres

# LEAVEWELL_TEST_DATABASES=sqlite while one works; CI and `make test` always run on both.
KINDS = tuple(os.environ.get("LEAVEWELL_TEST_DATABASES", "sqlite,postgresql").replace(",", " ").split())


def fresh_sqlite(run: Path, folder: Path) -> str:
    """A migrated, empty file in `folder`: a copy of the one that was migrated for this run."""
    template = run / "template.sqlite3"
    with postgres.exclusively(run):
        if not template.exists():
            building = run / "building.sqlite3"
            upgrade(f"sqlite:///{building}")
            building.rename(template)
    file = folder / "leavewell.sqlite3"
    shutil.copyfile(template, file)
    return f"sqlite:///{file}"


def worker_postgresql(run: Path, worker: str) -> str:
    """This worker's own database, copied from the one that was migrated for this run."""
    server = postgres.server_url(run)
    template = postgres.template(server, run, upgrade)
    return postgres.create_database(server, postgres.database_name(run, worker), template=template)
