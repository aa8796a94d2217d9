"""The billing system's SQLite file: modes kept apart, a document a row, what was answered to which key."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from demo.billing.actions import Catalog, Refused, act
from demo.billing.timeline import Document, as_of, write_moment

_SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (
    mode TEXT, id TEXT, email TEXT, document TEXT NOT NULL,
    PRIMARY KEY (mode, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS customers_by_email ON customers (mode, email);
CREATE TABLE IF NOT EXISTS subscriptions (
    mode TEXT, id TEXT, customer_id TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (mode, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS subscriptions_by_customer ON subscriptions (mode, customer_id, id);
CREATE TABLE IF NOT EXISTS prices (
    mode TEXT, id TEXT, document TEXT NOT NULL,
    PRIMARY KEY (mode, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS coupons (
    mode TEXT, id TEXT, document TEXT NOT NULL,
    PRIMARY KEY (mode, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    mode TEXT, subscription_id TEXT, sequence INTEGER,
    type TEXT NOT NULL, idempotency_key TEXT NOT NULL, at TEXT NOT NULL, request TEXT NOT NULL,
    PRIMARY KEY (mode, subscription_id, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    mode TEXT, idempotency_key TEXT,
    request_sha256 TEXT NOT NULL, status INTEGER NOT NULL, answer TEXT NOT NULL,
    PRIMARY KEY (mode, idempotency_key)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Document


class Store:
    """One connection; the service calls it from its event loop, so one caller at a time.

    Time passes on reading and is never written: what a subscription is depends on `now` alone.
    """

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # what was answered survives a power cut
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def find_customer(self, mode: str, customer_id: str) -> Document | None:
        return self._one("SELECT document FROM customers WHERE mode = ? AND id = ?", mode, customer_id)

    def find_customers_by_email(self, mode: str, email: str) -> list[Document]:
        sql = "SELECT document FROM customers WHERE mode = ? AND email = ? ORDER BY id LIMIT 20"
        return self._all(sql, mode, email.strip().lower())

    def list_subscriptions(self, mode: str, customer_id: str, now: datetime) -> list[Document]:
        sql = "SELECT document FROM subscriptions WHERE mode = ? AND customer_id = ? ORDER BY id LIMIT 20"
        return [as_of(document, now) for document in self._all(sql, mode, customer_id)]

    def find_subscription(self, mode: str, subscription_id: str, now: datetime) -> Document | None:
        sql = "SELECT document FROM subscriptions WHERE mode = ? AND id = ?"
        document = self._one(sql, mode, subscription_id)
        return document and as_of(document, now)

    def load_catalog(self, mode: str, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        known = self.list_catalog(mode)
        return Catalog(
            {key: known.prices[key] for key in price_ids if key in known.prices},
            {key: known.coupons[key] for key in coupon_ids if key in known.coupons},
        )

    def list_catalog(self, mode: str) -> Catalog:
        """All prices and coupons: a shop has a handful."""
        prices = self._all("SELECT document FROM prices WHERE mode = ? ORDER BY id LIMIT 100", mode)
        coupons = self._all("SELECT document FROM coupons WHERE mode = ? ORDER BY id LIMIT 100", mode)
        return Catalog({price["id"]: price for price in prices}, {coupon["id"]: coupon for coupon in coupons})

    def list_events(self, mode: str, subscription_id: str) -> list[Document]:
        """What was done to a subscription, oldest first: one entry for each change that was really made."""
        rows = self._db.execute(
            "SELECT sequence, type, idempotency_key, at, request FROM events "
            "WHERE mode = ? AND subscription_id = ? ORDER BY sequence LIMIT 500",
            (mode, subscription_id),
        )
        return [
            {
                "sequence": sequence,
                "type": kind,
                "idempotencyKey": key,
                "at": at,
                "request": json.loads(request),
            }
            for sequence, kind, key, at, request in rows
        ]

    def act(
        self, mode: str, subscription_id: str, action: str, body: Document, key: str, now: datetime
    ) -> Answer:
        """Make a change once for each idempotency key, and give a repeated key the first answer again.

        Change, event and answer are written in one transaction. Raises Malformed, which is not remembered.
        """
        request = json.dumps([subscription_id, action, body], sort_keys=True)
        request_sha256 = sha256(request.encode()).hexdigest()
        with self._transaction():
            remembered = self._db.execute(
                "SELECT request_sha256, status, answer FROM answers WHERE mode = ? AND idempotency_key = ?",
                (mode, key),
            ).fetchone()
            if remembered and remembered[0] != request_sha256:
                return _refusal("idempotency_mismatch", "This idempotency key was used for another request.")
            if remembered:
                return Answer(remembered[1], json.loads(remembered[2]))
            before = self.find_subscription(mode, subscription_id, now)
            if before is None:
                return not_found("subscription")
            answer = self._act_on(mode, before, action, body, key, now)
            self._db.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?)",
                (mode, key, request_sha256, answer.status, json.dumps(answer.body)),
            )
            return answer

    def put_customer(self, mode: str, customer: Document, subscriptions: Sequence[Document]) -> None:
        """Create a customer with subscriptions, or replace them. For seeds and tests."""
        with self._transaction():
            email = customer.get("email", "").lower()
            self._db.execute(
                "INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?)",
                (mode, customer["id"], email, json.dumps(customer)),
            )
            for subscription in subscriptions:
                self._write_subscription(mode, subscription)

    def put_catalog(self, mode: str, catalog: Catalog) -> None:
        with self._transaction():
            for table, documents in (("prices", catalog.prices), ("coupons", catalog.coupons)):
                self._db.executemany(
                    f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)",  # noqa: S608  (two fixed names)
                    [(mode, key, json.dumps(document)) for key, document in documents.items()],
                )

    def remove_coupon(self, mode: str, coupon_id: str) -> None:
        """As somebody might at the desk. For tests."""
        self._db.execute("DELETE FROM coupons WHERE mode = ? AND id = ?", (mode, coupon_id))

    def _act_on(
        self, mode: str, before: Document, action: str, body: Document, key: str, now: datetime
    ) -> Answer:
        try:
            after = act(action, before, body, self.list_catalog(mode), now)
        except Refused as refused:
            return _refusal(refused.code, refused.message)
        self._write_subscription(mode, after)
        self._db.execute(
            "INSERT INTO events SELECT ?, ?, coalesce(max(sequence), 0) + 1, ?, ?, ?, ? "
            "FROM events WHERE mode = ? AND subscription_id = ?",
            (mode, after["id"], action, key, write_moment(now), json.dumps(body), mode, after["id"]),
        )
        return Answer(200, after)

    def _write_subscription(self, mode: str, subscription: Document) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO subscriptions VALUES (?, ?, ?, ?)",
            (mode, subscription["id"], subscription["customerId"], json.dumps(subscription)),
        )

    def _one(self, sql: str, *values: str) -> Document | None:
        return next(iter(self._all(sql, *values)), None)

    def _all(self, sql: str, *values: str) -> list[Document]:
        return [json.loads(row[0]) for row in self._db.execute(sql, values)]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def not_found(what: str) -> Answer:
    return Answer(404, {"error": {"code": "not_found", "message": f"There is no such {what}."}})


def _refusal(code: str, message: str) -> Answer:
    return Answer(409, {"error": {"code": code, "message": message}})
