"""The folder that all workers of one run of the tests share. Clears up after a run that was killed."""

import os
import shutil
import tempfile
from pathlib import Path

from tests.support import postgres

PREFIX = "leavewell-"
VARIABLE = "LEAVEWELL_TEST_RUN"


def begin() -> None:
    """Make the folder; workers find it through the environment, which they inherit."""
    _sweep()
    run = Path(tempfile.mkdtemp(prefix=PREFIX))
    (run / "owner").write_text(str(os.getpid()))
    os.environ[VARIABLE] = str(run)


def folder() -> Path:
    return Path(os.environ[VARIABLE])


def end() -> None:
    postgres.stop(folder())
    shutil.rmtree(folder(), ignore_errors=True)
    del os.environ[VARIABLE]


def _sweep() -> None:
    """A run that was killed could not stop its server."""
    for run in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = run / "owner"
        if os.access(owner, os.W_OK) and not _is_alive(int(owner.read_text() or os.getpid())):
            postgres.clear_up(run)
            shutil.rmtree(run, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
