"""Billing systems, and one stage for each kind of database, for all the tests of a module."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.db.database import Database
from tests.crash import billing as billing_systems
from tests.crash import stage as stages
from tests.crash.billing import Billing, Billings
from tests.crash.stage import Stage
from tests.support import databases, postgres


@pytest.fixture(scope="module")
def billings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Billings]:
    with billing_systems.running(tmp_path_factory.mktemp("billing")) as running:
        yield running


@pytest.fixture(scope="module")
def billing(billings: Billings) -> Billing:
    """The demo's."""
    return billings.of("demo")


@pytest.fixture(scope="module")
def stage_on(
    billings: Billings, run_folder: Path, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Stage]]:
    """The stage on that kind of database, set up when it is first asked for. Its server runs again if it was killed;
    with `is_dark` none does, and the test starts its own."""
    opened: dict[str, Stage] = {}
    name = f"{worker_id}_crash"
    with ExitStack() as stack:

        def on(kind: str, *, is_dark: bool = False) -> Stage:
            if kind not in opened:
                folder = tmp_path_factory.mktemp(f"stage-{kind}")
                if kind == "sqlite":
                    url = databases.fresh_sqlite(run_folder, folder)
                else:
                    url = databases.worker_postgresql(run_folder, name)
                    database_name = postgres.database_name(run_folder, name)
                    stack.callback(postgres.drop_database, postgres.server_url(run_folder), database_name)
                database = stack.enter_context(Database(url))
                opened[kind] = stack.enter_context(stages.set_up(database, billings, folder))
            stage = opened[kind]
            billings.forget_faults()
            if is_dark:
                stage.close()
            else:
                stage.ensure_running()
            return stage

        yield on
