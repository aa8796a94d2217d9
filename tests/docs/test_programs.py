"""The programs of the documentation do what it says: taken from the page as they stand, started, and used."""

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import playwright
import pytest
from playwright.sync_api import Page

from app.adapters import standard_webhooks
from app.core.returning import signed_return_url
from app.db.database import Database
from app.flows.files import load_yaml
from tests.docs import pages
from tests.support import databases, server
from tests.support.clock import FakeClock
from tests.support.merchant import Merchant, open_merchant

README = pages.ROOT / "README.md"
INTEGRATION = pages.ROOT / "docs" / "integration.md"
SECRET = standard_webhooks.new_secret()
# Playwright brings a Node of its own, so that none has to be installed.
BIN = Path(sys.executable).parent
RUNNERS = {
    "merchant.py": sys.executable,
    "merchant.mjs": str(Path(playwright.__file__).parent / "driver" / "node"),
}


@dataclass(frozen=True)
class Running:
    """Leavewell, and a merchant that is a program of the README."""

    leavewell: str
    shop: server.ServerProcess
    merchant: Merchant


@pytest.fixture
def leavewell(run_folder: Path, tmp_path: Path) -> Iterator[tuple[str, Merchant, int]]:
    """A server for a merchant with billing of its own, who has the README's flow, and the port he will answer on."""
    listener, port = server.listen(), server.free_port()
    with Database(databases.fresh_sqlite(run_folder, tmp_path)) as database:
        merchant = open_merchant(
            database,
            FakeClock(datetime.now(UTC)),
            provider="direct",
            config={"action_url": f"http://127.0.0.1:{port}/leavewell/actions", "action_secret": SECRET},
            flow=load_yaml(pages.program(README, "flow.yaml"), "flow.yaml"),
            base_url=server.address(listener),
        )
        merchant.change(customer_data_url=f"http://127.0.0.1:{port}/leavewell/customer-data")
        with server.served(merchant.app(), listener) as url:
            yield url, merchant, port


@pytest.fixture(params=RUNNERS)
def running(
    request: pytest.FixtureRequest, leavewell: tuple[str, Merchant, int], tmp_path: Path
) -> Iterator[Running]:
    url, merchant, port = leavewell
    file = tmp_path / request.param
    file.write_text(pages.program(README, request.param), "utf-8")
    command = [RUNNERS[request.param], file]
    with server.started(
        command, env=environment_of(url, merchant), log=tmp_path / "log", port=port, ready="/"
    ) as shop:
        yield Running(url, shop, merchant)


def environment_of(url: str, merchant: Merchant) -> dict[str, str]:
    return {
        "LEAVEWELL_URL": url,
        "LEAVEWELL_APP_ID": merchant.app_id,
        "LEAVEWELL_API_KEY": merchant.api_key,
        "ACTION_SECRET": SECRET,
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.e2e
def test_a_customer_goes_from_the_merchants_button_to_a_discount_that_is_carried_out(
    running: Running, browser_page: Page
) -> None:
    """The offer is for plan Pro, which only the customer data endpoint says: so it was asked, and believed."""
    page = browser_page
    page.goto(running.shop.url)
    page.get_by_role("button", name="Cancel subscription").click()
    page.get_by_role("heading", name="What makes you want to leave?").wait_for()
    page.get_by_label("It costs too much").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="Half price for three months?").wait_for()
    page.get_by_text("Everything in Pro stays as it is.").wait_for()
    page.get_by_text("$14.50").first.wait_for()
    page.locator("button[value=accept]").click()
    page.get_by_role("link", name="Back to Northwind Notes").wait_for()
    assert "discount sub_1" in running.shop.printed()


def test_the_customer_data_endpoint_believes_only_our_signature(running: Running) -> None:
    def ask(signature: object) -> httpx.Response:
        return httpx.post(
            f"{running.shop.url}/leavewell/customer-data",
            json={"customerId": "cus_1", "signature": signature},
        )

    true = hmac.new(running.merchant.api_key.encode(), b"cus_1", hashlib.sha256).hexdigest()
    assert ask(true).json() == {"customerAttributes": {"plan": "Pro", "openTickets": 0}}
    for forged in ("", true[:-1], true.upper(), "é" * 64, "0" * 64):
        assert ask(forged).status_code == 401, forged
    assert ask(None).status_code == 400


def test_the_action_url_believes_only_our_signature(running: Running) -> None:
    body = json.dumps(
        {"effectId": "eff_1", "type": "cancel", "subscriptionId": "sub_1", "change": {}}
    ).encode()
    now = datetime.now(UTC)

    def act(headers: dict[str, str], sent: bytes = body) -> httpx.Response:
        return httpx.post(f"{running.shop.url}/leavewell/actions", content=sent, headers=headers)

    true = standard_webhooks.headers(SECRET, "eff_1", now, body)
    assert act(true).json() == {"effectId": "eff_1", "status": "applied"}
    assert act(true, body + b" ").status_code == 401
    assert act({**true, "webhook-id": "eff_2"}).status_code == 401
    assert (
        act(standard_webhooks.headers(SECRET, "eff_1", datetime(2026, 1, 1, tzinfo=UTC), body)).status_code
        == 401
    )
    assert (
        act(standard_webhooks.headers(standard_webhooks.new_secret(), "eff_1", now, body)).status_code == 401
    )
    assert act({}).status_code in (400, 401)


def test_curl_mints(leavewell: tuple[str, Merchant, int]) -> None:
    curl = shutil.which("curl")
    assert curl, "The documentation is run, curl and all. Install curl (apt install curl, brew install curl)."
    url, merchant, _ = leavewell
    (code,) = [block for block in pages.blocks(README, "sh") if block.startswith("expires=")]
    done = subprocess.run(
        ["bash", "-euc", code],
        env={
            **os.environ,
            **environment_of(url, merchant),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        check=True,
        timeout=30,
    )
    minted = json.loads(done.stdout)
    assert minted["url"].startswith(f"{url}/cancel/cl_")
    assert minted["customerId"] == "cus_1"
    assert httpx.get(minted["url"]).status_code == 200


def test_the_way_back_is_believed_only_as_we_sent_it() -> None:
    space: dict[str, object] = {}
    exec(pages.program(INTEGRATION, "came_back.py"), space)  # noqa: S102 - our own page
    is_true = space["is_true"]
    assert callable(is_true)
    url = signed_return_url(
        "https://app.example.com/billing",
        session_id="cs_1",
        result="canceled",
        at=datetime.now(UTC),
        key="key",
    )
    query = dict(httpx.URL(url).params)
    assert is_true(query, "key")
    assert not is_true(query, "another key")
    assert not is_true({**query, "result": "kept"}, "key")
    assert not is_true({**query, "sig": "é"}, "key")
