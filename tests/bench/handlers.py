"""What is measured: each handler with the requests that ask for it, and those that ask its bare twin."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

from app.core.limits import SENDS_PER_ENVIRONMENT
from app.db.database import Database
from app.receipts.address import path_of
from app.web.security import new_browser
from tests.bench import load, stock
from tests.bench.serve import customer_id
from tests.bench.stock import Stock

MINT_BAR, STEP_BAR = 1.5, 2.0
VIEWED = 100  # sessions whose page is looked at, again and again

# The stock, the database to prepare, how many requests.
Requests = Callable[[Stock, Database, int], Iterator[bytes]]


@dataclass(frozen=True)
class Handler:
    """`burst` is how many requests are measured at a time; each changes something, so none is sent twice.

    With the worker elsewhere what a request leaves to it is not measured as part of the request.
    """

    name: str
    expect: int
    bar: float
    burst: int
    ours: Requests
    bare: Requests
    has_worker_elsewhere: bool = False


def _mint(path: str) -> Requests:
    def requests(stocked: Stock, database: Database, count: int) -> Iterator[bytes]:
        body = {
            "customerId": customer_id(0),
            "expiresAt": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
            "customerAttributes": {"plan": "Pro", "seats": 3, "beta": True},
        }
        headers = {
            "content-type": "application/json",
            "x-ck-app": stocked.merchant.app_id,
            "x-ck-api-key": stocked.merchant.api_key,
        }
        return islice(cycle([load.request("POST", path, headers, json.dumps(body).encode())]), count)

    return requests


def _landing(stocked: Stock, database: Database, count: int) -> Iterator[bytes]:
    for path, _ in stock.add_links(stocked, database, count):
        yield load.request("GET", path, stock.NAVIGATION)


def _bare_landing(stocked: Stock, database: Database, count: int) -> Iterator[bytes]:
    for _, token_sha256 in stock.add_links(stocked, database, count):
        yield load.request("GET", f"/bare/land/{token_sha256}", stock.NAVIGATION)


def _step(kind: str) -> Requests:
    def requests(stocked: Stock, database: Database, count: int) -> Iterator[bytes]:
        for session_id in stock.add_sessions(stocked, database, kind, count):
            yield stocked.press(kind, session_id)

    return requests


def _bare_step(kind: str) -> Requests:
    def requests(stocked: Stock, database: Database, count: int) -> Iterator[bytes]:
        for session_id in stock.add_sessions(stocked, database, kind, count):
            yield load.form(f"/bare/step/{session_id}", stocked.cookie, stock.PRESSED[kind])

    return requests


def _asking(path: str) -> Requests:
    """People nobody has seen, each with a browser, a network and an address of their own: no limit is in their way but
    the merchant's of a thousand an hour, and all of them together stay below it."""

    def requests(stocked: Stock, database: Database, count: int) -> Iterator[bytes]:
        if count > SENDS_PER_ENVIRONMENT.most:
            raise ValueError("the merchant's limit would be in the way")
        app_id = stocked.merchant.app_id
        for number in range(count):
            browser = new_browser(datetime.now(UTC))
            headers = {
                **stocked.cookie_of(browser),
                "x-forwarded-for": f"203.0.{113 + number // 250}.{1 + number % 250}",
            }
            fields = {
                "csrf_token": stocked.token(browser, app_id),
                "email": f"customer-{number}@example.com",
            }
            yield load.form(path.format(a=app_id), headers, fields)

    return requests


def _receipts(stocked: Stock, database: Database, count: int) -> Iterator[bytes]:
    found = stock.add_receipts(stocked, database, VIEWED)
    asked = [load.request("GET", path_of(stocked.signer, r), stock.NAVIGATION) for r in found]
    return islice(cycle(asked), count)


def _bare_receipts(stocked: Stock, database: Database, count: int) -> Iterator[bytes]:
    found = stock.add_receipts(stocked, database, VIEWED)
    asked = [load.request("GET", f"/bare/receipts/{r}", stock.NAVIGATION) for r in found]
    return islice(cycle(asked), count)


def _page(address: str) -> Requests:
    def requests(stocked: Stock, database: Database, count: int) -> Iterator[bytes]:
        found = stock.add_sessions(stocked, database, "confirm", VIEWED)
        asked = [
            load.request("GET", address.format(s=s), {**stock.NAVIGATION, **stocked.cookie}) for s in found
        ]
        return islice(cycle(asked), count)

    return requests


HANDLERS: Sequence[Handler] = (
    Handler("mint", 201, MINT_BAR, 60, _mint("/v1/cancel-sessions"), _mint("/bare/mint")),
    Handler("landing", 303, STEP_BAR, 32, _landing, _bare_landing),
    Handler("survey, answered", 303, STEP_BAR, 48, _step("survey"), _bare_step("survey")),
    Handler("offer, declined", 303, STEP_BAR, 48, _step("offer"), _bare_step("offer")),
    Handler("feedback, given", 303, STEP_BAR, 48, _step("feedback"), _bare_step("feedback")),
    Handler("confirm page, seen", 200, STEP_BAR, 64, _page("/cancel/s/{s}/confirm"), _page("/bare/step/{s}")),
    Handler(
        "code by mail, asked for",
        303,
        STEP_BAR,
        48,
        _asking("/cancel/{a}"),
        _asking("/bare/verify/{a}"),
        has_worker_elsewhere=True,
    ),
    Handler("receipt, seen", 200, STEP_BAR, 64, _receipts, _bare_receipts),
)
