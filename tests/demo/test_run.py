"""`python -m demo`: one command that starts everything, keeps what was, and leaves nothing behind."""

import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from litestar.types import Receive, Scope, Send

from app.web.edge import Edge
from demo.customers import CUSTOMERS
from demo.run import CannotStart, claim, keep_secret, listen, write_atomically
from demo.run_server import Doors
from tests.support import server

NAMES = [
    "LEAVEWELL_URL",
    "LEAVEWELL_APP_ID",
    "LEAVEWELL_API_KEY",
    "LEAVEWELL_LIVE_APP_ID",
    "LEAVEWELL_LIVE_API_KEY",
    "LEAVEWELL_DEMO_CUSTOMERS",
]


@contextmanager
def demo(folder: Path, **env: str) -> Iterator[server.ServerProcess]:
    command = [sys.executable, "-m", "demo", "--data", folder / "data"]
    with server.started(command, env=env, log=folder / "log") as running:
        _wait_for_greeting(running)
        yield running


def _wait_for_greeting(running: server.ServerProcess) -> None:
    """It comes after the first answer of /healthz, and says that demo.env is written."""
    deadline = time.monotonic() + server.START_WITHIN_S
    while "Leavewell is running" not in running.printed():
        assert time.monotonic() < deadline, running.printed()
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(0.02)


def env_file(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def billing_connection(folder: Path) -> socket.socket:
    """An open connection to the billing service: it ends when the service does."""
    address = urlsplit(env_file(folder / "data" / "billing.env")["DEMO_BILLING_URL"])
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=10)


def refuses(folder: Path) -> bool:
    try:
        billing_connection(folder).close()
    except ConnectionRefusedError:
        return True
    return False


def test_one_command_serves_leavewell_and_the_shop(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        assert httpx.get(f"{running.url}/healthz").status_code == 200
        assert "Northwind" in httpx.get(f"{running.url}/demo").text
        assert f"{running.url}/demo" in running.printed()
        given = env_file(tmp_path / "data" / "demo.env")
        assert list(given) == NAMES
        assert given["LEAVEWELL_URL"] == running.url
        assert given["LEAVEWELL_DEMO_CUSTOMERS"] == ",".join(customer.id for customer in CUSTOMERS)
        assert given["LEAVEWELL_APP_ID"].startswith("app_test_")
        assert given["LEAVEWELL_API_KEY"].startswith("test_")
        assert given["LEAVEWELL_LIVE_API_KEY"].startswith("live_")
        for name in ("secret", "northwind-secret", "demo.env", "billing.env"):
            assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) == 0o600
        with httpx.Client(base_url=running.url, follow_redirects=True) as browser:
            browser.post("/demo/sign-in", data={"customer": "cus_ben"})
            assert "$29.00" in browser.get("/demo/billing").text


def test_who_got_an_answer_finds_the_keys_of_this_run(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo.env").write_text("LEAVEWELL_URL=http://127.0.0.1:1\n")
    command = [sys.executable, "-m", "demo", "--data", tmp_path / "data"]
    with server.started(command, env={}, log=tmp_path / "log") as running:
        assert httpx.get(f"{running.url}/healthz", timeout=server.START_WITHIN_S).status_code == 200
        assert env_file(tmp_path / "data" / "demo.env")["LEAVEWELL_URL"] == running.url


def test_a_second_start_keeps_keys_and_secrets(tmp_path: Path) -> None:
    kept = []
    for provider in ("demo", "direct"):
        with demo(tmp_path, PROVIDER=provider):
            given = env_file(tmp_path / "data" / "demo.env")
            del given["LEAVEWELL_URL"]  # the port is another one
            kept.append((given, (tmp_path / "data" / "secret").read_text()))
    assert kept[0] == kept[1]


@pytest.mark.crash
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_billing_service_ends_with_the_demo(tmp_path: Path, how: str) -> None:
    with demo(tmp_path) as running, billing_connection(tmp_path) as connection:
        if how == "kill":
            running.kill()
        else:
            assert running.stop() == 0
        assert connection.recv(1) == b""
        assert refuses(tmp_path)


@pytest.mark.parametrize("path", ["/demo", "/demo/billing", "/healthz"])
async def test_an_endless_head_is_refused_by_both_doors(path: str) -> None:
    async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    doors = Doors(Edge(nobody), nobody)
    transport = httpx.ASGITransport(app=doors)  # type: ignore[arg-type]  # as in tests.support.pages
    async with httpx.AsyncClient(transport=transport, base_url="http://leavewell.test") as client:
        answer = await client.get(path, headers={"cookie": "a=" + '"\\' * 40_000})
    assert answer.status_code == 431


def test_a_port_in_use_is_said_clearly(tmp_path: Path) -> None:
    with server.listen() as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "demo", "--port", str(port), "--data", str(tmp_path / "data")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert f"Port {port}" in ended.stderr
    assert "make run PORT=" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PORT": "eight"}, "not a port"),
        ({"PORT": "70000"}, "not a port"),
        ({"PROVIDER": "stripe"}, "demo or direct"),
        ({"PORT": "0", "LEAVEWELL_API_RAT": "5"}, "not a port"),
    ],
)
def test_a_wrong_variable_is_said_clearly(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    command = [sys.executable, "-m", "demo", "--data", str(tmp_path / "data")]
    ended = subprocess.run(
        command, env=variables, cwd=Path.cwd(), capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.startswith("The demo cannot start: ")
    assert ended.stderr.count("\n") == 1


def test_one_folder_serves_one_demo(tmp_path: Path) -> None:
    with claim(tmp_path / "data"), pytest.raises(CannotStart, match="--data"), claim(tmp_path / "data"):
        pass
    with claim(tmp_path / "data"):
        pass


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    first = keep_secret(tmp_path / "secret")
    assert len(first) >= 48
    assert keep_secret(tmp_path / "secret") == first


def test_a_taken_port_is_no_traceback() -> None:
    with listen(0) as taken, pytest.raises(CannotStart, match="not free"):
        listen(taken.getsockname()[1])


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "demo.env"
    write_atomically(file, {"A": "1", "B": "2"})
    write_atomically(file, {"A": "3"})
    assert file.read_text() == "A=3\n"
    assert [found.name for found in tmp_path.iterdir()] == ["demo.env"]
