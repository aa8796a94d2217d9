"""Northwind's shop over the real billing service, with a Leavewell that answers as a test tells it to."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar

from demo.billing.seed import seed
from demo.billing.service import create_app
from demo.billing.store import Store
from demo.mailbox import Mailbox
from demo.shop.app import create_shop
from demo.shop.config import Keys, ShopConfig
from tests.support.clock import FakeClock

ORIGIN = "http://127.0.0.1:8000"
KEYS = {
    "test": Keys("app_test_1", "test_" + "t" * 43),
    "live": Keys("app_1", "live_" + "l" * 43),
}
ACTION_SECRETS = {"test": "whsec_dGVzdC10ZXN0LXRlc3QtdGVzdA==", "live": "whsec_bGl2ZS1saXZlLWxpdmUtbGl2ZQ=="}
LINK = f"{ORIGIN}/cancel/cl_abcdefghijklmnopqrstuv.signature"


@dataclass
class FakeLeavewell:
    """Remembers what it was asked; answers a mint with a link unless told otherwise."""

    answer: httpx.Response | httpx.TransportError | None = None
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if isinstance(self.answer, httpx.TransportError):
            raise self.answer
        return self.answer or httpx.Response(201, json={"id": "lnk_1", "url": LINK, "token": LINK[-36:]})

    @property
    def body(self) -> Any:
        """What the last mint said."""
        return json.loads(self.asked[-1].content)


@dataclass
class BillingLine(httpx.AsyncBaseTransport):
    """The way to the billing service; it can be cut."""

    service: Litestar
    is_cut: bool = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_cut:
            raise httpx.ConnectError("cut", request=request)
        transport = httpx.ASGITransport(app=self.service)  # type: ignore[arg-type]  # as in tests.support.pages
        return await transport.handle_async_request(request)


@dataclass
class Backend:
    """The shop and what stands behind it."""

    app: Litestar
    leavewell: FakeLeavewell
    billing: Store
    line: BillingLine
    mailbox: Mailbox
    clock: FakeClock

    def act(self, subscription_id: str, action: str, **body: Any) -> None:
        """Something happens at the billing service, in test mode."""
        key = f"{subscription_id} {action}"
        answer = self.billing.act("test", subscription_id, action, body, key, self.clock.now())
        assert answer.status == 200, answer.body

    def subscription(self, subscription_id: str, mode: str = "test") -> dict[str, Any]:
        found = self.billing.find_subscription(mode, subscription_id, self.clock.now())
        assert found is not None
        return found


@dataclass
class Shop(Backend):
    """A running shop with one browser in front of it."""

    browser: httpx.AsyncClient

    async def sign_in(self, customer_id: str) -> None:
        await self.browser.post("/demo/sign-in", data={"customer": customer_id})

    async def page(self, path: str, *, status: int = 200) -> str:
        answer = await self.browser.get(path)
        assert answer.status_code == status, answer.text
        return answer.text


def build(
    folder: Path, *, origin: str = ORIGIN, sends_billing_data: bool = False, mail_server: str | None = None
) -> Backend:
    """A shop at nine in the morning of 21 November 2026, its billing freshly seeded, its mailbox empty."""
    clock = FakeClock()
    store = Store(folder / "billing.sqlite3")
    seed(store, clock.now())
    service = create_app(store, key="sesame")
    service.state.desk.set_time = clock.now()
    line = BillingLine(service)
    leavewell = FakeLeavewell()
    mailbox = Mailbox(folder / "mail", now=clock.now)
    app = create_shop(
        ShopConfig(
            origins=(origin, "http://localhost:8000"),
            leavewell_url=origin,
            billing_url="http://billing",
            billing_key="sesame",
            cookie_secret="a cookie secret of the tests",
            keys=KEYS,
            action_secrets=ACTION_SECRETS,
            sends_billing_data=sends_billing_data,
            mail=mailbox if mail_server is None else mail_server,
        ),
        now=clock.now,
        leavewell_transport=httpx.MockTransport(leavewell),
        billing_transport=line,
    )
    return Backend(app, leavewell, store, line, mailbox, clock)


@asynccontextmanager
async def open_shop(
    folder: Path, *, sends_billing_data: bool = False, mail_server: str | None = None
) -> AsyncIterator[Shop]:
    """A shop with a browser, in this test's own loop."""
    backend = build(folder, sends_billing_data=sends_billing_data, mail_server=mail_server)
    transport = httpx.ASGITransport(app=backend.app)  # type: ignore[arg-type]  # as in tests.support.pages
    async with (
        backend.line.service.lifespan(),
        backend.app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url=ORIGIN) as browser,
    ):
        yield Shop(**vars(backend), browser=browser)


def letter(
    subject: str = "Your code",
    *,
    id: str = "mail_1",
    text: str = "Your code: 123 456",
    html: str
    | None = "<!doctype html><html lang=en><head><title>Code</title></head><body><p>123 456</body></html>",
    file: tuple[str, bytes] | None = None,
) -> EmailMessage:
    """A mail as Leavewell hands it over."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject
    message["From"] = "Northwind Notes <leave@northwind.example>"
    message["To"] = "ben@example.com"
    message["Message-ID"] = f"<{id}@northwind.example>"
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    if file is not None:
        message.add_attachment(file[1], maintype="application", subtype="json", filename=file[0])
    return message


def put(mailbox: Mailbox, message: EmailMessage, *, recipient: str = "ben@example.com") -> str:
    """Have it arrive; its id there."""
    return mailbox.keep(message, sender="leave@northwind.example", recipient=recipient)
