"""Billing systems as processes of their own, told over HTTP what is to go wrong and asked what was done.

The demo's billing service serves `demo` and `direct`; each simulated vendor has one of his own. All have the same desk.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import httpx

from demo.billing.seed import subscriptions_of
from tests.support import server
from tests.support.merchant import BILLING_KEY
from tests.support.simulator import vendors
from tests.support.simulator.http import Vendor

Point = Literal["read", "before_commit", "after_commit"]
Document = dict[str, Any]
HELD_WITHIN_S = 20.0
MOST_CALLS = 1000


class Billing:
    """The demo's billing service. Can be killed, and started again at the same address with what it had."""

    name = "demo"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = server.free_port()
        self._running = ExitStack()
        self._process: server.ServerProcess | None = None
        self.url = f"http://127.0.0.1:{self._port}"
        self._http = httpx.Client(base_url=self._desk, headers=self._headers, timeout=HELD_WITHIN_S)

    @property
    def config(self) -> Mapping[str, str]:
        """What connects an environment to it."""
        return {"base_url": self.url, "api_key": BILLING_KEY}

    def id_of(self, name: str) -> str:
        """What it calls what the demo calls so."""
        return name

    @property
    def _command(self) -> Sequence[str]:
        database = str(self._folder / "billing.sqlite3")
        return ("demo.billing", "--faults", "--database", database, "--key", BILLING_KEY)

    @property
    def _desk(self) -> str:
        return self.url

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {BILLING_KEY}"}

    def start(self) -> None:
        command = [sys.executable, "-m", *self._command, "--port", str(self._port)]
        log = self._folder / f"{self.name}.log"
        starting = server.started(command, env={}, log=log, port=self._port)
        self._process = self._running.enter_context(starting)

    def kill(self) -> None:
        assert self._process is not None, "it runs"
        self._process.kill()
        self._running.close()

    def close(self) -> None:
        self._http.close()
        self._running.close()

    # --- Customers and what was done to them ---

    def new_customer(self, name: str, *, like: str = "cus_ben") -> tuple[str, str]:
        """Somebody nobody has seen, with a subscription like one of the demo's: both ids, as billing has them."""
        document = {
            "id": name,
            "email": f"{name}@example.com",
            "currency": "USD",
            "addresses": [{"country": "US"}],
        }
        (subscription,) = subscriptions_of(like, datetime.now(UTC).replace(microsecond=0))
        subscription |= {"id": f"sub_{name}", "customerId": name}
        self._send("PUT", f"/test/customers/{name}", customer=document, subscriptions=[subscription])
        return self.id_of(name), self.id_of(f"sub_{name}")

    def customer(self, customer_id: str) -> Document:
        return cast("Document", self._send("GET", f"/test/customers/{customer_id}"))

    def subscriptions(self, customer_id: str) -> list[Document]:
        found = self._send("GET", f"/test/customers/{customer_id}/subscriptions")["subscriptions"]
        return cast("list[Document]", found)

    def subscription(self, subscription_id: str) -> Document:
        """The truth."""
        return cast("Document", self._send("GET", f"/test/subscriptions/{subscription_id}"))

    def changes(self, subscription_id: str) -> list[tuple[str, str]]:
        """What was really done, and under which key, oldest first."""
        events = self._send("GET", f"/test/subscriptions/{subscription_id}/events")["events"]
        return [(event["type"], event["idempotencyKey"]) for event in events]

    def set_clock(self, now: datetime | None) -> None:
        """Let it be that late there; without a time, as late as it is."""
        self._send("PUT", "/clock", now=now.isoformat() if now else None)

    # --- What goes wrong ---

    def plan(self, point: Point, failure: Mapping[str, object]) -> None:
        self._send("POST", "/faults", point=point, **failure)

    def fail(self, point: Point, kind: str, **more: object) -> None:
        self.plan(point, {"kind": kind, **more})

    def hold(self, point: Point) -> None:
        """The next call that comes there waits until `let_go`."""
        self.fail(point, "hang")

    def let_pass(self, point: Point, times: int = 1) -> None:
        """So many calls at that point go through before the next fault is met."""
        if times:
            self.fail(point, "slow", seconds=0, times=times)

    async def wait_until_held(self, point: Point) -> None:
        async with httpx.AsyncClient(headers=self._http.headers, timeout=HELD_WITHIN_S) as http:
            address = f"{self._desk}/faults/held"
            (await http.get(address, params={"point": point})).raise_for_status()

    def let_go(self) -> None:
        self._send("POST", "/faults/release")

    def forget_faults(self) -> None:
        self._send("POST", "/faults", clear=True)
        self.let_go()

    @contextmanager
    def counting(self, point: Point) -> Iterator[Callable[[], int]]:
        """`with billing.counting("read") as count`: how many calls have come there since."""
        self.let_pass(point, MOST_CALLS)

        def count() -> int:
            planned = self._send("GET", "/faults")["planned"]
            return MOST_CALLS - sum(int(fault["times"]) for fault in planned if fault["point"] == point)

        yield count
        self._send("POST", "/faults", clear=True)

    def _send(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, path, json=body or None)
        answer.raise_for_status()
        return answer.json()


class SimulatedBilling(Billing):
    """A simulated vendor."""

    def __init__(self, folder: Path, vendor: str) -> None:
        self.name = vendor
        self._vendor: Vendor = vendors.make(vendor)
        super().__init__(folder)

    @property
    def config(self) -> Mapping[str, str]:
        return {"api_base": self.url, **self._vendor.credentials("test")}

    def id_of(self, name: str) -> str:
        return self._vendor.id_of(name)

    @property
    def _command(self) -> Sequence[str]:
        return ("tests.support.simulator", self.name, "--data", str(self._folder / self.name))

    @property
    def _desk(self) -> str:
        return f"{self.url}/_sim"

    @property
    def _headers(self) -> Mapping[str, str]:
        return {}

    def be_stale(self, reads: int) -> None:
        """So many reads see what was so before the last change."""
        self._send("POST", "/faults", kind="stale", times=reads)


class Billings:
    """One of each kind, started when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Billing] = {}

    def of(self, provider: str) -> Billing:
        """Where the provider's changes are made: `direct` has the merchant make them at the demo's billing service."""
        name = "demo" if provider == "direct" else provider
        if name not in self._running:
            billing = Billing(self._folder) if name == "demo" else SimulatedBilling(self._folder, name)
            self._running[name] = billing
            billing.start()
        return self._running[name]

    def forget_faults(self) -> None:
        for billing in self._running.values():
            billing.forget_faults()

    def close(self) -> None:
        for billing in self._running.values():
            billing.close()


@contextmanager
def running(folder: Path) -> Iterator[Billings]:
    billings = Billings(folder)
    try:
        yield billings
    finally:
        billings.close()
