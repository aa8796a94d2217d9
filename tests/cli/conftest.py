"""The command line over a fresh database, without a process of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from app.cli import main
from app.db.database import Database
from tests.support.apps import SECRET


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line.removeprefix("Error: ") for line in self.err.splitlines() if line.startswith("Error: ")]


Run = Callable[..., Ran]


@pytest.fixture
def run(database: Database) -> Run:
    """Run `leavewell` with arguments. Fails the test for a traceback."""
    env = {
        "DATABASE_URL": database.url.render_as_string(hide_password=False),
        "LEAVEWELL_SECRET": SECRET,
        "LEAVEWELL_DEMO": "1",  # any secret is good enough
    }
    return runner(env)


def runner(env: dict[str, str]) -> Run:
    def command(*arguments: str, input: str = "", **more: str) -> Ran:
        result = CliRunner().invoke(main, arguments, input=input, env={**env, **more})
        assert "Traceback" not in result.output
        return Ran(result.exit_code, result.stdout, result.stderr)

    return command


@pytest.fixture
def app_id(run: Run) -> str:
    """The test environment of a new organization, `acme`."""
    assert run("orgs", "create", "Acme").code == 0
    return next(word for word in run("orgs", "show", "acme").out.split() if word.startswith("app_test_"))
