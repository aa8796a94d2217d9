"""The little HTTP that simulators are written in: a request as read, an answer to send, routes by pattern."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl

from tests.support.simulator.books import Books, Document


@dataclass(frozen=True)
class Ask:
    """A request. Header names are lower case; `ids` are the named groups of the route's pattern."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    now: datetime
    ids: Mapping[str, str] = field(default_factory=dict)

    def params(self) -> dict[str, str]:
        """The query; of a name that comes twice the last one counts."""
        return dict(self.query)

    def form(self) -> list[tuple[str, str]]:
        """A form-encoded body."""
        return parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=bool(self.body))

    def json(self) -> Any:
        """A JSON body; {} for none. Raises ValueError."""
        return json.loads(self.body) if self.body else {}


@dataclass(frozen=True)
class Answer:
    """What is sent: an object as JSON, or bytes of a kind of their own."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Handler = Callable[[Books, Ask], Answer]


@dataclass(frozen=True)
class Route:
    """`pattern` is a regular expression over the whole path, with a named group for each id.

    `reads`: it changes nothing, though its method may be POST (searches, previews).
    """

    method: str
    pattern: str
    handler: Handler
    reads: bool | None = None

    @property
    def is_read(self) -> bool:
        return self.method == "GET" if self.reads is None else self.reads

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        found = re.fullmatch(self.pattern, path) if method == self.method else None
        return found.groupdict() if found else None


class Vendor(Protocol):
    """One billing system, as far as its published documentation tells what it does. See README.md beside this file."""

    name: str

    @property
    def routes(self) -> Sequence[Route]:
        """Its API. A handler is synchronous and sees one request at a time; it changes state in `books.commit()`."""
        ...

    def credentials(self, mode: str) -> Mapping[str, str]:
        """A config of our adapter that this simulator accepts for that mode; without `api_base`."""
        ...

    def mode_of(self, ask: Ask) -> str | None:
        """Which books the request is about, by its credentials: live or test; None for unknown ones."""
        ...

    def refuse_credentials(self, ask: Ask) -> Answer:
        """The vendor's answer to credentials that it does not know."""
        ...

    def fail(self, ask: Ask, status: int, retry_after: int | None) -> Answer:
        """The vendor's 429, 500, … with its own error body."""
        ...

    def not_found(self, ask: Ask) -> Answer:
        """The vendor's answer where there is no such address."""
        ...

    def replay(self, books: Books, ask: Ask) -> Answer | None:
        """The answer kept under this request's idempotency key, where the vendor has such; else None."""
        ...

    def keep(self, books: Books, ask: Ask, answer: Answer) -> None:
        """Keep the answer of a write under its idempotency key, where the vendor has such."""
        ...

    def put_price(self, books: Books, price: Document) -> None:
        """Put a canonical price (DirectPrice on the wire) into the price list."""
        ...

    def put_coupon(self, books: Books, coupon: Document) -> None:
        """Put a canonical coupon there, as far as the vendor has such."""
        ...

    def put_customer(
        self, books: Books, customer: Document, subscriptions: Sequence[Document], now: datetime
    ) -> None:
        """Put a canonical customer there with canonical subscriptions; replaces what was there under those ids."""
        ...

    def remove_coupon(self, books: Books, coupon_id: str) -> None:
        """As if the merchant had deleted it."""
        ...

    def id_of(self, canonical_id: str) -> str:
        """What the vendor calls what the demo calls `cus_ben`, `sub_ben_pro`, `price_lite_monthly`: as our adapter
        is asked for it. The same every time."""
        ...

    def settle(self, books: Books, now: datetime) -> None:
        """Let time do its work up to `now`: scheduled cancels and pauses take effect, pauses end, periods renew."""
        ...

    def find_customer(self, books: Books, customer_id: str) -> Document | None:
        """The truth in canonical form, from the vendor's own objects, without our adapter's help."""
        ...

    def find_customers_by_email(self, books: Books, email: str) -> list[Document]: ...

    def list_subscriptions(self, books: Books, customer_id: str, now: datetime) -> list[Document]: ...

    def find_subscription(self, books: Books, subscription_id: str, now: datetime) -> Document | None: ...

    def sign_inbound(
        self, books: Books, subscription_id: str, *, event_id: str, now: datetime
    ) -> tuple[dict[str, str], bytes]:
        """Headers and body of a genuine webhook about that subscription."""
        ...
