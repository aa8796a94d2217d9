"""`python -m demo`: one command that starts everything, keeps what was, and leaves nothing behind."""

import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from alembic import command
from litestar.types import Receive, Scope, Send

from app.db.migrate import alembic_config
from app.web.edge import Edge
from demo.customers import CUSTOMERS, SECOND_ACCOUNT
from demo.run import CannotStart, claim, keep_secret, listen, write_atomically
from demo.run_server import Doors
from tests.support import server
from tests.support.html import Element, parse
from tests.support.smtp import smtp_server

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
    arguments = [sys.executable, "-m", "demo", "--data", folder / "data"]
    with server.started(arguments, env=env, log=folder / "log") as running:
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
    arguments = [sys.executable, "-m", "demo", "--data", tmp_path / "data"]
    with server.started(arguments, env={}, log=tmp_path / "log") as running:
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


def ask_for_a_code(url: str, app_id: str, email: str) -> str:
    """Enter an address on the public page, as somebody without a link; the heading of what comes."""
    with httpx.Client(base_url=url, follow_redirects=True) as browser:
        entry = parse(browser.get(f"/cancel/{app_id}").text)
        fields = {field["name"]: field["value"] for field in entry.all("form")[0].all("input")}
        answer = browser.post(f"/cancel/{app_id}", data={**fields, "email": email})
        assert answer.status_code == 200, answer.text
        return parse(answer.text).all("h1")[0].text


def wait_for_mail(running: server.ServerProcess) -> Element:
    """The mailbox page as soon as something has arrived."""
    deadline = time.monotonic() + server.START_WITHIN_S
    while True:
        page = parse(httpx.get(f"{running.url}/demo/mailbox").text)
        if any(one["href"].startswith("/demo/mailbox/") for one in page.all("a")):
            return page
        assert time.monotonic() < deadline, running.printed()
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(0.05)


@pytest.mark.parametrize("provider", ["demo", "direct"])
def test_a_code_arrives_in_the_mailbox(tmp_path: Path, provider: str) -> None:
    with demo(tmp_path, PROVIDER=provider, SMTP_URL="") as running:
        assert f"{running.url}/demo/mailbox" in running.printed()
        app_id = env_file(tmp_path / "data" / "demo.env")["LEAVEWELL_APP_ID"]
        assert ask_for_a_code(running.url, app_id, "ben@example.com") == "Check your email"
        page = wait_for_mail(running)
    assert "to ben@example.com" in page.all("main")[0].text
    (file,) = (tmp_path / "data" / "mail").iterdir()
    assert b"From: Northwind Notes <leave@northwind.example>" in file.read_bytes()


def test_with_smtp_url_mail_goes_to_that_server(tmp_path: Path) -> None:
    with smtp_server() as smtp, demo(tmp_path, SMTP_URL=smtp.url) as running:
        assert "Mail goes to 127.0.0.1" in httpx.get(f"{running.url}/demo/mailbox").text
        app_id = env_file(tmp_path / "data" / "demo.env")["LEAVEWELL_APP_ID"]
        ask_for_a_code(running.url, app_id, "ben@example.com")
        assert smtp.wait_for(1)[0].recipient == "ben@example.com"
    assert not (tmp_path / "data" / "mail").exists()


def test_the_data_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """What the first version left: its schema, and a billing system that knew six customers."""
    with demo(tmp_path):
        before = env_file(tmp_path / "data" / "demo.env")
    command.downgrade(alembic_config(f"sqlite:///{tmp_path / 'data' / 'leavewell.sqlite3'}"), "0001")
    with closing(sqlite3.connect(tmp_path / "data" / "billing.sqlite3")) as billing, billing:
        billing.execute("DELETE FROM customers WHERE id = ?", (SECOND_ACCOUNT.id,))
        billing.execute("DELETE FROM subscriptions WHERE customer_id = ?", (SECOND_ACCOUNT.id,))
    with demo(tmp_path) as running:
        after = env_file(tmp_path / "data" / "demo.env")
        assert {**after, "LEAVEWELL_URL": ""} == {**before, "LEAVEWELL_URL": ""}
        ask_for_a_code(running.url, after["LEAVEWELL_APP_ID"], SECOND_ACCOUNT.email)
        wait_for_mail(running)
        connected = env_file(tmp_path / "data" / "billing.env")
        found = httpx.get(
            f"{connected['DEMO_BILLING_URL']}/test/customers",
            params={"email": SECOND_ACCOUNT.email},
            headers={"authorization": f"Bearer {connected['DEMO_BILLING_KEY']}"},
        ).json()["customers"]
        assert [customer["id"] for customer in found] == ["cus_emil", SECOND_ACCOUNT.id]


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
        arguments = [sys.executable, "-m", "demo", "--port", str(port), "--data", str(tmp_path / "data")]
        ended = subprocess.run(arguments, capture_output=True, text=True, timeout=20, check=False)
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
        ({"PROVIDER": "acme"}, "one of demo, direct"),
        ({"PORT": "0", "LEAVEWELL_API_RAT": "5"}, "not a port"),
    ],
)
def test_a_wrong_variable_is_said_clearly(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    arguments = [sys.executable, "-m", "demo", "--data", str(tmp_path / "data")]
    ended = subprocess.run(
        arguments, env=variables, cwd=Path.cwd(), capture_output=True, text=True, timeout=20, check=False
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
