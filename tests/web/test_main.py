"""Start and stop: what must be right before the first request, and what is left after the last."""

import asyncio
from pathlib import Path

import pytest

from app.db.database import Database
from app.main import SchemaNotCurrentError, create_app
from app.web.deps import Ports
from app.worker import Sweep, Worker
from tests.support.apps import make_settings
from tests.support.clock import FakeClock
from tests.support.pages import visiting
from tests.web.conftest import Probe, make_app


async def test_a_handler_gets_the_ports_by_name(probe: Probe) -> None:
    assert (await probe.visitor.client.get("/probe/ports")).json() == {"same": True}


async def test_a_database_of_another_version_stops_the_start(tmp_path: Path) -> None:
    app = create_app(make_settings(f"sqlite:///{tmp_path / 'empty.sqlite3'}"))
    wrong_version = pytest.RaisesExc(SchemaNotCurrentError, match="leavewell migrate")
    with pytest.RaisesGroup(wrong_version, flatten_subgroups=True):
        async with app.lifespan():
            pass


async def test_the_embedded_worker_runs_beside_requests_and_stops_with_them(
    database: Database, clock: FakeClock
) -> None:
    swept = asyncio.Event()

    async def sweep() -> None:
        swept.set()

    def make_worker(ports: Ports) -> Worker:
        return Worker(ports.database, ports.clock, handlers={}, sweeps=[Sweep("probe", 60, sweep)])

    async with visiting(make_app(database, clock, make_worker=make_worker)) as visitor:
        await asyncio.wait_for(swept.wait(), 5)
        assert (await visitor.client.get("/healthz")).status_code == 200
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "worker"]


async def test_a_worker_that_breaks_is_logged_and_requests_go_on(
    database: Database, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Worker):
        async def run(self) -> None:
            raise RuntimeError("the worker fell over")

    def make_worker(ports: Ports) -> Worker:
        return Broken(ports.database, ports.clock, handlers={})

    async with visiting(make_app(database, clock, make_worker=make_worker)) as visitor:
        assert (await visitor.client.get("/healthz")).status_code == 200
    assert "the worker fell over" in capsys.readouterr().err


async def test_a_given_database_stays_open(database: Database, clock: FakeClock) -> None:
    async with visiting(make_app(database, clock)):
        pass
    await database.ping()
