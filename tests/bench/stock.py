"""What the load needs in the database: a merchant, sessions that stand at each step, links, and many rows besides.

A session is walked once through the real pages; its rows are then copied under new ids.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from sqlalchemy import insert, text
from sqlmodel import Session, col, select

from app.adapters.clock import SystemClock
from app.adapters.signing import Signer
from app.db.base import new_id
from app.db.database import Database
from app.db.tables.links import CancelLink
from app.db.tables.receipts import Receipt
from app.db.tables.sessions import CancelSession, SessionOffer
from app.web.security import Browser, browser_cookie, csrf_token, new_browser
from tests.bench import load
from tests.bench.serve import CUSTOMER_DATA, WALKER, customer_id
from tests.support.merchant import Merchant, open_merchant

NAVIGATION = {"sec-fetch-dest": "document", "sec-fetch-mode": "navigate", "sec-fetch-site": "same-origin"}
# What is pressed on each kind of screen on the way to the last one.
PRESSED: Mapping[str, Mapping[str, str]] = {
    "survey": {"action": "continue", "reason": "too-expensive", "follow_up--too-expensive": "lower-price"},
    "offer": {"action": "decline"},
    "message": {"action": "continue"},
    "feedback": {"action": "continue", "feedback": "It was fine, only I need it less these days."},
    "confirm": {"action": "confirm"},
}
LONGEST_WAY = 20
SIGNED_WITHIN_S = 20.0


class LostOnTheWay(Exception):
    """The walk through the demo's flow did not come where it should."""


@dataclass(frozen=True)
class Pattern:
    """The rows of one session as it stood at one step."""

    step: str
    session: Mapping[str, Any]
    offers: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Stock:
    """A merchant, the bench's browser, the session's rows at the first step of each kind, and its receipt."""

    merchant: Merchant
    signer: Signer
    browser: Browser
    patterns: Mapping[str, Pattern]
    link: Mapping[str, Any]
    receipt: Mapping[str, Any]

    @property
    def cookie(self) -> Mapping[str, str]:
        return self.cookie_of(self.browser)

    def cookie_of(self, browser: Browser) -> Mapping[str, str]:
        cookie = browser_cookie(browser, self.signer, datetime.now(UTC), secure=False)
        return {"cookie": f"{cookie.key}={cookie.value}"}

    def token(self, browser: Browser, purpose: str) -> str:
        """What that browser's forms of that purpose carry."""
        return csrf_token(self.signer, browser, purpose)

    def press(self, kind: str, session_id: str) -> bytes:
        """The request that presses on that kind of step what the walk pressed there."""
        fields = {
            "csrf_token": self.token(self.browser, session_id),
            "decision": _decision(session_id, 0),
            **PRESSED[kind],
        }
        return load.form(f"/cancel/s/{session_id}/{self.patterns[kind].step}", self.cookie, fields)


def set_up(database: Database, outside: str) -> Merchant:
    merchant = open_merchant(database, SystemClock(), billing_url=outside)  # type: ignore[arg-type] - the real clock does for the fake one
    merchant.change(customer_data_url=outside + CUSTOMER_DATA)
    return merchant


async def walk(merchant: Merchant, port: int) -> Stock:
    """One customer's walk over the real pages, kept at each step."""
    signer = Signer(merchant.settings.secrets)
    browser = new_browser(datetime.now(UTC))
    cookie = browser_cookie(browser, signer, datetime.now(UTC), secure=False)
    headers = {**NAVIGATION, "cookie": f"{cookie.key}={cookie.value}"}
    landed = await load.ask(port, load.request("GET", merchant.mint(WALKER), headers))
    address = landed.headers["location"]
    session_id = address.split("/")[3]  # /cancel/s/cs_…
    patterns: dict[str, Pattern] = {}
    for _ in range(LONGEST_WAY):
        page = await load.ask(port, load.request("GET", address, {**headers, "accept-encoding": "identity"}))
        if page.status == 303:
            address = page.headers["location"]
            continue
        screen = _Screen.of(page.body.decode())
        rows = merchant.database.read_sync(_rows, session_id)
        patterns.setdefault(screen.kind, Pattern(screen.step, *rows))
        posted = await load.ask(
            port, load.form(screen.action, headers, {**screen.hidden, **PRESSED[screen.kind]})
        )
        if posted.status != 303:
            raise LostOnTheWay(f"{screen.step} answered {posted.status}: {posted.body[:300]!r}")
        if screen.kind == "confirm":
            break
        address = posted.headers["location"]
    else:
        raise LostOnTheWay(f"no confirm step after {LONGEST_WAY} screens")
    link = merchant.database.read_sync(_link)
    return Stock(merchant, signer, browser, patterns, link, await _signed_receipt(merchant))


async def _signed_receipt(merchant: Merchant) -> Mapping[str, Any]:
    """What the walk ended with, once the worker has done its part."""
    async with asyncio.timeout(SIGNED_WITHIN_S):
        while (receipt := merchant.database.read_sync(_receipt)) is None:  # noqa: ASYNC110 - another process works
            await asyncio.sleep(0.05)
    return receipt


def add_sessions(stock: Stock, database: Database, kind: str, count: int) -> list[str]:
    """That many sessions standing at that kind of step; their ids."""
    pattern = stock.patterns[kind]
    made = [_copy(pattern, number) for number in range(count)]
    database.write_sync(_insert, CancelSession, [session for session, _ in made])
    offers = [offer for _, offers in made for offer in offers]
    if offers:
        database.write_sync(_insert, SessionOffer, offers)
    return [session["id"] for session, _ in made]


def add_links(stock: Stock, database: Database, count: int) -> list[tuple[str, str]]:
    """That many links nobody has used; the product's path, and the hash that the bare handler takes."""
    rows, ways = [], []
    for number in range(count):
        token, token_sha256 = stock.signer.link_token()
        unused = {"exchanged_at": None, "consumed_at": None, "browser_sha256": None, "exchange_count": 0}
        known = {"id": new_id("lnk"), "token_sha256": token_sha256, "customer_id": customer_id(number)}
        rows.append({**stock.link, **unused, **known})
        ways.append((f"/cancel/{token}", token_sha256))
    database.write_sync(_insert, CancelLink, rows)
    return ways


def add_receipts(stock: Stock, database: Database, count: int) -> list[str]:
    """That many receipts of the cancellation that the walk ended with; their ids."""
    rows = []
    for _ in range(count):
        receipt_id = new_id("rcp")
        content = {**stock.receipt["content"], "id": receipt_id}
        rows.append({**stock.receipt, "id": receipt_id, "effect_id": None, "content": content})
    database.write_sync(_insert, Receipt, rows)
    return [row["id"] for row in rows]


def fill(database: Database, count: int) -> None:
    """Bring sessions and links to `count` each, with rows of other customers."""
    for table in ("cancel_links", "cancel_sessions"):
        database.write_sync(_fill, table, count)


def _fill(db: Session, table: str, count: int) -> None:
    own = {
        "id": "prefix || n",
        "customer_id": "'cus_' || n",
        "token_sha256": "'filled' || n",
        "browser_sha256": "'filled' || n",
        "link_id": "NULL",
    }
    columns = [column.name for column in CancelLink.metadata.tables[table].columns]
    there = db.connection().execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    chosen = ", ".join(own.get(name, name) for name in columns)
    db.connection().execute(
        text(
            f"WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < :count), "
            f"one AS (SELECT '{table}_' AS prefix, t.* FROM {table} t ORDER BY created_at LIMIT 1) "
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM one, series"
        ),
        {"count": max(1, count - there)},
    )


def _copy(pattern: Pattern, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    session_id = new_id("cs")
    names = {pattern.session["id"]: session_id}
    for position, offer in enumerate(pattern.offers):
        names[offer["id"]] = _decision(session_id, position)
    renamed = re.compile("|".join(names))

    def rename(value: Any) -> Any:
        if isinstance(value, str):
            return renamed.sub(lambda found: names[found[0]], value)
        if isinstance(value, dict | list):
            return json.loads(renamed.sub(lambda found: names[found[0]], json.dumps(value)))
        return value

    whose = {"customer_id": f"cus_copy_{number}"}
    session = {**{name: rename(value) for name, value in pattern.session.items()}, **whose}
    offers = [{**{name: rename(value) for name, value in o.items()}, **whose} for o in pattern.offers]
    return session, offers


def _decision(session_id: str, position: int) -> str:
    return f"dec_{position}{session_id.removeprefix('cs_')[1:]}"


def _rows(db: Session, session_id: str) -> tuple[Mapping[str, Any], tuple[Mapping[str, Any], ...]]:
    offers = db.exec(select(SessionOffer).where(SessionOffer.session_id == session_id)).all()
    # The one that stands open comes first, so that its new id can be told from the session's.
    found = sorted((offer.model_dump() for offer in offers), key=lambda offer: offer["status"] != "presented")
    return db.get_one(CancelSession, session_id).model_dump(), tuple(found)


def _link(db: Session) -> Mapping[str, Any]:
    return db.exec(select(CancelLink).limit(1)).one().model_dump()


def _receipt(db: Session) -> Mapping[str, Any] | None:
    row = db.exec(select(Receipt).where(col(Receipt.signature).is_not(None))).first()
    return row.model_dump() if row is not None else None


def _insert(db: Session, table: Any, rows: list[dict[str, Any]]) -> None:
    db.connection().execute(insert(table), rows)


class _Screen(HTMLParser):
    """The form of a page: where it goes, what it holds, and by its fields which kind of step it is."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.names: set[str] = set()

    @classmethod
    def of(cls, page: str) -> "_Screen":
        parser = cls()
        parser.feed(page)
        return parser

    @property
    def step(self) -> str:
        return self.action.rpartition("/")[2]

    @property
    def kind(self) -> str:
        signs = {"reason": "survey", "decision": "offer", "feedback": "feedback", "confirm": "confirm"}
        return next((kind for sign, kind in signs.items() if sign in self.names), "message")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("id") == "step":
            self.action = given["action"]
        name = given.get("name")
        if not name:
            return
        self.names.add(given.get("value", "") if tag == "button" else name)
        if given.get("type") == "hidden":
            self.hidden[name] = given.get("value", "")
