"""The demo in a folder of its own, as `make run` starts it."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import server
from tests.support.server import ServerProcess

SHOPPER = "Ben"  # Pro, paid monthly; the first word on the button that signs him in
CUSTOMER_ID = "cus_ben"


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="leavewell-bench-") as name:
        yield Path(name)


@contextmanager
def running(in_folder: Path) -> Iterator[ServerProcess]:
    """The demo with its data in that folder; started a second time it finds what it kept."""
    command: list[str | Path] = [sys.executable, "-m", "demo", "--data", in_folder / "data"]
    # Relative to the environment of a developer: what is set there is not what is measured.
    env = {"LEAVEWELL_API_RATE": "100000"}
    with server.started(command, env=env, log=in_folder / "demo.log") as process:
        yield process


def keys(in_folder: Path) -> dict[str, str]:
    """What the demo tells a merchant's backend once it answers."""
    file = in_folder / "data" / "demo.env"
    deadline = time.monotonic() + 10
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return dict(line.split("=", 1) for line in file.read_text().splitlines())
