"""The demo's billing service as a process of its own, told over HTTP what is to go wrong and asked what was done."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx

from demo.billing.seed import subscriptions_of
from tests.support import server
from tests.support.merchant import BILLING_KEY

Point = Literal["read", "before_commit", "after_commit"]
HELD_WITHIN_S = 20.0


class Billing:
    """Can be killed, and started again at the same address with the same file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = server.free_port()
        self._running = ExitStack()
        self._process: server.ServerProcess | None = None
        self.url = f"http://127.0.0.1:{self._port}"
        headers = {"authorization": f"Bearer {BILLING_KEY}"}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=HELD_WITHIN_S)

    def start(self) -> None:
        command = [sys.executable, "-m", "demo.billing", "--faults", "--port", str(self._port)]
        command += ["--database", str(self._folder / "billing.sqlite3"), "--key", BILLING_KEY]
        log = self._folder / "billing.log"
        starting = server.started(command, env={}, log=log, port=self._port)
        self._process = self._running.enter_context(starting)

    def kill(self) -> None:
        assert self._process is not None, "it runs"
        self._process.kill()
        self._running.close()

    def new_customer(self, customer_id: str) -> str:
        """A customer like Ben: Pro, monthly, eighteen months. The subscription's id."""
        document = {
            "id": customer_id,
            "email": f"{customer_id}@example.com",
            "currency": "USD",
            "addresses": [{"country": "US"}],
        }
        (subscription,) = subscriptions_of("cus_ben", datetime.now(UTC))
        subscription |= {"id": f"sub_{customer_id}", "customerId": customer_id}
        self._send("PUT", f"/test/customers/{customer_id}", customer=document, subscriptions=[subscription])
        return str(subscription["id"])

    def customer(self, customer_id: str) -> Any:
        return self._send("GET", f"/test/customers/{customer_id}")

    def subscriptions(self, customer_id: str) -> Any:
        return self._send("GET", f"/test/customers/{customer_id}/subscriptions")["subscriptions"]

    def changes(self, subscription_id: str) -> list[tuple[str, str]]:
        """What was really done, and under which key, oldest first."""
        events = self._send("GET", f"/test/subscriptions/{subscription_id}/events")["events"]
        return [(event["type"], event["idempotencyKey"]) for event in events]

    def fail(self, point: Point, kind: str, **more: Any) -> None:
        self._send("POST", "/faults", point=point, kind=kind, **more)

    def hold(self, point: Point) -> None:
        """The next call that comes there waits until `let_go`."""
        self.fail(point, "hang")

    def let_pass(self, point: Point) -> None:
        """One call at that point goes through before the next fault is met."""
        self.fail(point, "slow", seconds=0)

    async def wait_until_held(self, point: Point) -> None:
        async with httpx.AsyncClient(headers=self._http.headers, timeout=HELD_WITHIN_S) as http:
            (await http.get(f"{self.url}/faults/held", params={"point": point})).raise_for_status()

    def let_go(self) -> None:
        self._send("POST", "/faults/release")

    def forget_faults(self) -> None:
        self._send("POST", "/faults", clear=True)
        self.let_go()

    def close(self) -> None:
        self._http.close()
        self._running.close()

    def _send(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, path, json=body or None)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def running(folder: Path) -> Iterator[Billing]:
    billing = Billing(folder)
    try:
        billing.start()
        yield billing
    finally:
        billing.close()
