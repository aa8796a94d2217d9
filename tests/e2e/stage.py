"""The running demo as a stage for journeys: fresh customers for every test, billing's own record, faults on demand,
the mail that arrived, and time that passes when a journey says so."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from demo.billing.seed import seed
from demo.billing.store import Store
from demo.mailbox import Letter, Mailbox
from tests.support import server

# What customers leave behind. Keys, connections and the published flow stay.
TRACES = (
    "outbox_jobs",
    "mails",
    "receipts",
    "cancellation_requests",
    "rate_limits",
    "events",
    "effects",
    "session_offers",
    "cancel_sessions",
    "verifications",
    "idempotency_records",
    "cancel_links",
)

MAIL_WITHIN_S = 15.0


@dataclass(frozen=True)
class Stage:
    """One running demo and the folder with its data."""

    url: str
    folder: Path
    billing: httpx.Client

    def reset(self) -> None:
        """Customers who were never here, an empty mailbox, and a billing service that does as it is told."""
        self.mend()
        _empty(self.folder / "leavewell.sqlite3", TRACES)
        self._write("UPDATE environments SET hosted_enabled = 1")
        for mail in (self.folder / "mail").glob("*.eml"):
            mail.unlink()
        _empty(self.folder / "billing.sqlite3", ("customers", "subscriptions", "events", "answers"))
        store = Store(self.folder / "billing.sqlite3")
        seed(store, datetime.now(UTC))
        store.close()

    def changes(self, subscription_id: str) -> list[str]:
        """What was really done to a subscription, oldest first."""
        events = self.billing.get(f"/test/subscriptions/{subscription_id}/events").json()["events"]
        return [event["type"] for event in events]

    @property
    def app_id(self) -> str:
        """The shop's test environment."""
        return read_env(self.folder / "demo.env")["LEAVEWELL_APP_ID"]

    @property
    def entry(self) -> str:
        """The merchant's public address, which needs no link."""
        return f"{self.url}/cancel/{self.app_id}"

    def count(self, table: str) -> int:
        """How many rows Leavewell has there."""
        with closing(sqlite3.connect(self.folder / "leavewell.sqlite3", timeout=10)) as db:
            counted: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            return counted

    def fail(self, point: str, kind: str, **how: Any) -> None:
        """Plan a fault of the billing service: see demo/billing/faults.py."""
        self.billing.post("/faults", json={"point": point, "kind": kind, **how}).raise_for_status()

    def mend(self) -> None:
        """No more faults; what hangs goes on."""
        self.billing.post("/faults", json={"clear": True}).raise_for_status()
        self.release()

    def release(self) -> None:
        """Let calls go on that hang."""
        self.billing.post("/faults/release").raise_for_status()

    def mint(self, customer_id: str, **more: Any) -> str:
        """A cancel link, as the merchant's backend asks for one."""
        in_an_hour = datetime.now(UTC) + timedelta(hours=1)
        keys = read_env(self.folder / "demo.env")
        answer = httpx.post(
            f"{self.url}/v1/cancel-sessions",
            headers={"x-ck-app": keys["LEAVEWELL_APP_ID"], "x-ck-api-key": keys["LEAVEWELL_API_KEY"]},
            json={"customerId": customer_id, "expiresAt": in_an_hour.isoformat(), **more},
        )
        assert answer.status_code == 201, answer.text
        url: str = answer.json()["url"]
        return url

    # --- Mail

    def mails_to(self, address: str, subject: str = "") -> list[Letter]:
        """What has arrived there with these words in its subject, oldest first."""
        box = Mailbox(self.folder / "mail")
        heads = [head for head in box.list() if head.recipient == address and subject in head.subject]
        return [letter for head in reversed(heads) if (letter := box.find(head.id)) is not None]

    def mail_to(self, address: str, subject: str = "", *, number: int = 1) -> Letter:
        """The mail of that number, waited for: the worker sends it a moment after the page has come."""
        deadline = time.monotonic() + MAIL_WITHIN_S
        while len(letters := self.mails_to(address, subject)) < number:
            there = [(head.recipient, head.subject) for head in Mailbox(self.folder / "mail").list()]
            assert time.monotonic() < deadline, f"no mail to {address} about {subject!r}: {there}"
            time.sleep(0.05)
        return letters[number - 1]

    # --- What a journey cannot wait for

    def expire_links(self) -> None:
        """As if all links were old."""
        self._write("UPDATE cancel_links SET expires_at = created_at")

    def expire_codes(self) -> None:
        """As if all codes were mailed long ago."""
        self._write("UPDATE verifications SET code_expires_at = created_at")

    def let_a_minute_pass(self) -> None:
        """For what is counted by minutes; what is counted by hours stands as it did."""
        soon = datetime.now(UTC) + timedelta(minutes=2)
        self._write("DELETE FROM rate_limits WHERE expires_at < ?", soon.strftime("%Y-%m-%d %H:%M:%S"))

    def let_a_day_pass(self) -> None:
        """For what is counted at all; nothing else gets older."""
        self._write("DELETE FROM rate_limits")

    def switch_entry_off(self) -> None:
        """As the merchant's operator does who wants nobody to begin without a link."""
        self._write("UPDATE environments SET hosted_enabled = 0")

    def drop_account(self, customer_id: str) -> None:
        """Billing has never heard of this customer."""
        with closing(sqlite3.connect(self.folder / "billing.sqlite3", timeout=10)) as db, db:
            db.execute("DELETE FROM subscriptions WHERE customer_id = ?", (customer_id,))
            db.execute("DELETE FROM customers WHERE id = ?", (customer_id,))

    def _write(self, sql: str, *values: str) -> None:
        with closing(sqlite3.connect(self.folder / "leavewell.sqlite3", timeout=10)) as db, db:
            db.execute(sql, values)


@contextmanager
def opened(folder: Path, *, provider: str = "demo") -> Iterator[Stage]:
    """Start the demo on a free port, its data in `folder`."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "demo",
        "--data",
        folder,
        "--provider",
        provider,
        "--faults",
    ]
    with server.started(command, env={}, log=folder / "log") as running:
        _wait_for(running, folder / "billing.env")
        known = read_env(folder / "billing.env")
        headers = {"authorization": f"Bearer {known['DEMO_BILLING_KEY']}"}
        with httpx.Client(base_url=known["DEMO_BILLING_URL"], headers=headers) as billing:
            yield Stage(running.url, folder, billing)


def read_env(file: Path) -> Mapping[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def _wait_for(running: server.ServerProcess, file: Path) -> None:
    """The demo writes its files as soon as it has answered itself."""
    deadline = time.monotonic() + server.START_WITHIN_S
    while not file.exists():
        assert time.monotonic() < deadline, running.printed()
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(0.02)


def _empty(database: Path, tables: tuple[str, ...]) -> None:
    with closing(sqlite3.connect(database, timeout=10)) as db, db:
        for table in tables:
            db.execute(f"DELETE FROM {table}")
