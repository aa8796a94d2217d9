"""A test can talk to the real server, in this process or as one that it kills."""

import sys
from pathlib import Path

import httpx
import pytest

from tests.support.server import ServerNotReady, started

SERVER = """
import http.server, os
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def test_the_application_answers_over_a_socket(live_server: str) -> None:
    assert httpx.get(f"{live_server}/healthz").status_code == 200


def test_a_server_process_can_be_killed(tmp_path: Path) -> None:
    with started([sys.executable, "-c", SERVER], env={}, log=tmp_path / "log", ready="/") as server:
        server.kill()
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url)


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no secret was given')"]
    with (
        pytest.raises(ServerNotReady, match="no secret was given"),
        started(command, env={}, log=tmp_path / "log"),
    ):
        pass
