"""Serves a simulated vendor: its API, and under `/_sim` the same desk that the demo's billing service has.

There one sees the truth in canonical form, puts customers, and lets things go wrong. Nothing there needs a key.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from demo.billing.faults import Dropped, Failed, Faults, read_fault, read_point
from demo.billing.seed import CATALOG, subscriptions_of
from demo.customers import BILLED
from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask, Route, Vendor

LARGEST_BODY: Final = 1_048_576
MODES: Final = ("live", "test")
CURRENCY: Final = "USD"
_SURPRISE: Final = {
    "x_new_object": {"x_new_list": [1, None, {"x": "y"}]},
    "x_new_field": "of a later version",
}

Control = Callable[..., Awaitable[Answer]]


class NoSuch(Exception):
    """There is nothing of that name at the desk."""


class Simulator:
    """An ASGI application. `faults` are met before each read, and before and after each write is committed.

    `has_surprises`: every JSON object of an answer carries fields that the vendor's documentation does not know.
    `stale_reads`: so many reads see the state before the last commit.
    """

    def __init__(
        self,
        vendor: Vendor,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        faults: Faults | None = None,
        folder: Path | None = None,
    ) -> None:
        self.vendor = vendor
        self.faults = faults or Faults()
        self.books = {
            mode: Books.open(mode, folder / f"{vendor.name}-{mode}.json" if folder else None)
            for mode in MODES
        }
        self.has_surprises = False
        self.stale_reads = 0
        self.log: list[tuple[str, str]] = []  # method and path of each request to the API
        self._clock = clock
        self._set_time: datetime | None = None
        self._one_at_a_time = asyncio.Lock()
        self._seen_settled: dict[str, datetime] = {}

    def now(self) -> datetime:
        return self._set_time or self._clock()

    def seed(self) -> None:
        """The demo's price list and customers, where they are missing."""
        now = self.now().replace(second=0, microsecond=0)
        for books in self.books.values():
            if books.state:
                continue
            for price in CATALOG.prices.values():
                self.vendor.put_price(books, price)
            for coupon in CATALOG.coupons.values():
                self.vendor.put_coupon(books, coupon)
            for one in BILLED:
                first_name, _, last_name = one.name.partition(" ")
                customer = {
                    "id": one.id,
                    "email": one.email,
                    "name": first_name,
                    "lastName": last_name,
                    "currency": CURRENCY,
                    "addresses": [{"country": one.country}],
                }
                self.vendor.put_customer(books, customer, subscriptions_of(one.id, now), now)

    # --- ASGI ---

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        try:
            answer = await self._answer(await _read(scope, receive, self.now()))
        except Dropped:
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]}
            )
            return  # the server closes the connection when the body does not follow
        body = answer.encoded()
        headers = {"content-type": answer.content_type, "content-length": str(len(body)), **answer.headers}
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, ask: Ask) -> Answer:
        if ask.path == "/healthz":
            return Answer({"status": "ok"})
        if ask.path.startswith("/_sim/"):
            return await self._at_the_desk(replace(ask, path=ask.path.removeprefix("/_sim")))
        self.log.append((ask.method, ask.path))
        answer = await self._vendors_answer(ask)
        if self.has_surprises and answer.content_type.startswith("application/json") and answer.status < 300:
            return replace(answer, body=_with_surprises(json.loads(answer.encoded())))
        return answer

    async def _vendors_answer(self, ask: Ask) -> Answer:
        mode = self.vendor.mode_of(ask)
        if mode is None:
            return self.vendor.refuse_credentials(ask)
        found = [
            (route, ids)
            for route in self.vendor.routes
            if (ids := route.match(ask.method, ask.path)) is not None
        ]
        if not found:
            return self.vendor.not_found(ask)
        route, ids = found[0]
        ask = replace(ask, ids={name: unquote(value) for name, value in ids.items() if value is not None})
        books = self.books[mode]
        try:
            if route.is_read:
                await self.faults.meet("read")
                return await self._handle(route, books, ask)
            await self.faults.meet("before_commit")
            answer = await self._handle(route, books, ask)
            await self.faults.meet("after_commit")
        except Failed as failed:
            return self.vendor.fail(ask, failed.status, failed.retry_after)
        return answer

    async def _handle(self, route: Route, books: Books, ask: Ask) -> Answer:
        async with self._one_at_a_time:
            self._settle(books, ask.now)
            if route.is_read:
                return route.handler(self._as_seen(books), ask)
            if (kept := self.vendor.replay(books, ask)) is not None:
                return kept
            answer = route.handler(books, ask)
            self.vendor.keep(books, ask, answer)
            return answer

    def _as_seen(self, books: Books) -> Books:
        if self.stale_reads <= 0 or books.before is None:
            return books
        self.stale_reads -= 1
        return Books(books.mode, None, books.before, books.changes)

    def _settle(self, books: Books, now: datetime) -> None:
        if self._seen_settled.get(books.mode) != now:
            self._seen_settled[books.mode] = now
            seen = books.before  # time is no write: a stale read still sees what was so before the last one
            self.vendor.settle(books, now)
            books.before = seen

    # --- The desk ---

    async def _at_the_desk(self, ask: Ask) -> Answer:
        desk: tuple[tuple[str, str, Control], ...] = (
            ("GET", r"/(?P<mode>live|test)/customers", self._find_by_email),
            ("GET", r"/(?P<mode>live|test)/customers/(?P<id>[^/]+)", self._find_customer),
            ("PUT", r"/(?P<mode>live|test)/customers/(?P<id>[^/]+)", self._put_customer),
            ("GET", r"/(?P<mode>live|test)/customers/(?P<id>[^/]+)/subscriptions", self._list_subscriptions),
            ("GET", r"/(?P<mode>live|test)/subscriptions/(?P<id>[^/]+)", self._find_subscription),
            ("GET", r"/(?P<mode>live|test)/subscriptions/(?P<id>[^/]+)/events", self._list_changes),
            ("POST", r"/(?P<mode>live|test)/subscriptions/(?P<id>[^/]+)/[^/]+", self._act),
            ("GET", r"/ids/(?P<id>[^/]+)", self._name),
            ("GET", r"/credentials/(?P<mode>live|test)", self._credentials),
            ("POST", r"/faults", self._plan_fault),
            ("GET", r"/faults", self._show_faults),
            ("GET", r"/faults/held", self._await_held),
            ("POST", r"/faults/release", self._release),
            ("PUT", r"/clock", self._set_clock),
        )
        for method, pattern, control in desk:
            found = re.fullmatch(pattern, ask.path) if ask.method == method else None
            if found:
                try:
                    return await control(
                        ask, **{name: unquote(value) for name, value in found.groupdict().items()}
                    )
                except NoSuch as error:
                    return Answer({"error": {"code": "not_found", "message": str(error)}}, 404)
                except (ValueError, TypeError, KeyError) as error:
                    return Answer({"error": {"code": "invalid", "message": repr(error)}}, 422)
        return Answer({"error": {"code": "not_found", "message": "There is no such address."}}, 404)

    async def _find_by_email(self, ask: Ask, mode: str) -> Answer:
        books = self.books[mode]
        return Answer(
            {"customers": self.vendor.find_customers_by_email(books, ask.params().get("email", ""))}
        )

    async def _find_customer(self, ask: Ask, mode: str, id: str) -> Answer:
        found = self.vendor.find_customer(self.books[mode], id)
        return Answer(_found(found or self.vendor.find_customer(self.books[mode], self.vendor.id_of(id))))

    async def _put_customer(self, ask: Ask, mode: str, id: str) -> Answer:
        given = ask.json()
        self.vendor.put_customer(self.books[mode], given["customer"], given["subscriptions"], ask.now)
        return Answer(given["customer"])

    async def _list_subscriptions(self, ask: Ask, mode: str, id: str) -> Answer:
        books = self.books[mode]
        self._settle(books, ask.now)
        found = self.vendor.list_subscriptions(books, id, ask.now)
        return Answer(
            {"subscriptions": found or self.vendor.list_subscriptions(books, self.vendor.id_of(id), ask.now)}
        )

    async def _find_subscription(self, ask: Ask, mode: str, id: str) -> Answer:
        books = self.books[mode]
        self._settle(books, ask.now)
        return Answer(_found(self.vendor.find_subscription(books, id, ask.now)))

    async def _list_changes(self, ask: Ask, mode: str, id: str) -> Answer:
        return Answer({"events": self.books[mode].changes_of(id)})

    async def _act(self, ask: Ask, mode: str, id: str) -> Answer:
        message = "This vendor is simulated; changes come through its API alone, from the cancel page."
        return Answer({"error": {"code": "not_here", "message": message}}, 409)

    async def _credentials(self, ask: Ask, mode: str) -> Answer:
        """What our adapter is to be given, beside the address."""
        return Answer(dict(self.vendor.credentials(mode)))

    async def _name(self, ask: Ask, id: str) -> Answer:
        return Answer({"id": self.vendor.id_of(id)})

    async def _plan_fault(self, ask: Ask) -> Answer:
        """Plan `{point, kind, times?, retry_after?, seconds?}` or `{"kind": "stale", "times"?}`; `{"clear": true}`."""
        body = ask.json()
        if body.get("clear"):
            self.faults.clear()
            self.stale_reads = 0
        elif body.get("kind") == "stale":
            self.stale_reads = int(body.get("times", 1))
        else:
            self.faults.plan(read_fault(body))
        return Answer(self.faults.describe(), 201)

    async def _show_faults(self, ask: Ask) -> Answer:
        return Answer(self.faults.describe())

    async def _await_held(self, ask: Ask) -> Answer:
        await self.faults.wait_until_held(read_point(ask.params().get("point")))
        return Answer(self.faults.describe())

    async def _release(self, ask: Ask) -> Answer:
        await self.faults.release()
        return Answer(self.faults.describe())

    async def _set_clock(self, ask: Ask) -> Answer:
        now = ask.json().get("now")
        self._set_time = datetime.fromisoformat(now) if now is not None else None
        return Answer({"now": now})


def _found(document: Document | None) -> Document:
    if document is None:
        raise NoSuch("There is nothing of that id.")
    return document


def _with_surprises(value: Any) -> Any:
    match value:
        case dict():
            return {name: _with_surprises(inner) for name, inner in value.items()} | _SURPRISE
        case list():
            return [_with_surprises(inner) for inner in value]
        case _:
            return value


async def _read(scope: Mapping[str, Any], receive: Any, now: datetime) -> Ask:
    body, is_more = b"", True
    while is_more:
        message = await receive()
        body += message.get("body", b"")
        is_more = message.get("more_body", False) and len(body) <= LARGEST_BODY
    return Ask(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1").partition("?")[0],
        query=parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True),
        headers={k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]},
        body=body,
        now=now,
    )


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
