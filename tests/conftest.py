"""What every test gets: a closed network, fresh databases, a browser on request."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, Page

from app.db.database import Database
from app.main import create_app
from app.web import logs
from tests.support import browser, databases, postgres, run, schemas, server
from tests.support.apps import make_settings
from tests.support.clock import FakeClock
from tests.support.network import close_network

# A slow machine is no failure. In CI the examples are the same each time, and the machine's own otherwise.
settings.register_profile("leavewell", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("leavewell")


def pytest_configure(config: pytest.Config) -> None:
    close_network()
    # Before any test: one that captures the log before there is an application leaves its own settings behind.
    logs.configure()
    if not hasattr(config, "workerinput"):  # xdist's workers share what the first process made
        run.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        run.end()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def run_folder() -> Path:
    """This run's folder; all workers share it."""
    return run.folder()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


# --- Databases ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_url(run_folder: Path, worker_id: str) -> Iterator[str]:
    """This worker's PostgreSQL database. Tests ask for `database_url`, which is empty each time."""
    yield databases.worker_postgresql(run_folder, worker_id)
    postgres.drop_database(postgres.server_url(run_folder), postgres.database_name(run_folder, worker_id))


@pytest.fixture(params=databases.KINDS)
def database_url(request: pytest.FixtureRequest, run_folder: Path, tmp_path: Path) -> Iterator[str]:
    """A migrated database without rows; a test that asks for it runs once on each kind."""
    if request.param == "sqlite":
        yield databases.fresh_sqlite(run_folder, tmp_path)
    else:
        url: str = request.getfixturevalue("postgres_url")
        yield url
        postgres.empty_tables(url)


@pytest.fixture(params=databases.KINDS)
def blank_database_url(
    request: pytest.FixtureRequest, run_folder: Path, tmp_path: Path, worker_id: str
) -> Iterator[str]:
    """A database without a single table, for tests of the migrations themselves."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'blank.sqlite3'}"
    else:
        server = postgres.server_url(run_folder)
        name = postgres.database_name(run_folder, f"{worker_id}_blank")
        yield postgres.create_database(server, name)
        postgres.drop_database(server, name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A connected database without rows. What merchants are told in a test is as the published schemas say."""
    with Database(database_url) as connected:
        yield connected
    with Database(database_url, pool_size=1) as reopened:  # a test may have closed it
        assert reopened.read_sync(schemas.problems_in) == []


@pytest.fixture
def live_server(database: Database, clock: FakeClock) -> Iterator[str]:
    """Leavewell itself on a loopback port, with this test's database and clock; its address."""
    listener = server.listen()
    settings = make_settings(
        database.url.render_as_string(hide_password=False), base_url=server.address(listener)
    )
    with server.served(create_app(settings, database=database, clock=clock), listener) as url:
        yield url


# --- Browser --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium a module. Playwright's loop occupies the thread, so `async` tests live elsewhere."""
    with browser.launched() as launched:
        yield launched


@pytest.fixture
def new_context(chromium: Browser) -> Iterator[browser.Contexts]:
    """Makes browser contexts; afterwards none of their pages may have broken, or have asked a third party."""
    contexts = browser.Contexts(chromium)
    yield contexts
    contexts.close()
    assert not contexts.complaints, "\n".join(contexts.complaints)


@pytest.fixture
def browser_page(new_context: browser.Contexts) -> Page:
    """A page of an ordinary customer: JavaScript, a desktop's width, light."""
    return new_context().new_page()


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """Asserts that a page is accessible."""
    return browser.axe
