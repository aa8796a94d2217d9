"""A merchant with endpoints, what happens at it, and a dispatcher that delivers it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlmodel import col, select

from app.adapters.http import OutboundHttp
from app.adapters.vault import Vault
from app.core.events import Event, EventType, link_event
from app.db.base import new_id
from app.db.database import Database
from app.db.tables.mail import Mail
from app.db.tables.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.settings import Network
from app.setup import webhooks as setup
from app.webhooks import endpoints, queries, service
from app.webhooks.dispatching import Dispatcher, WebhookPorts
from app.webhooks.endpoints import NewSecret
from app.webhooks.kinds import Format, SigningScheme
from tests.support.clock import FakeClock
from tests.support.merchant import LOOPBACK, Merchant, open_merchant
from tests.support.receiver import Receiver, receiving


@dataclass
class Post:
    """The merchant's side of webhooks, and the process that delivers them."""

    merchant: Merchant
    http: OutboundHttp
    holder: str = "this process"

    @property
    def database(self) -> Database:
        return self.merchant.database

    @property
    def clock(self) -> FakeClock:
        return self.merchant.clock

    @property
    def vault(self) -> Vault:
        return Vault(self.merchant.settings.secrets)

    @property
    def app_id(self) -> str:
        return self.merchant.app_id

    @property
    def ports(self) -> WebhookPorts:
        return WebhookPorts(
            self.database, self.clock, self.http, self.vault, self.holder, timedelta(seconds=15)
        )

    def add(
        self,
        url: str,
        *types: EventType,
        format: Format = Format.STANDARD,
        scheme: SigningScheme = SigningScheme.V1,
        allowed: Sequence[Network] = (LOOPBACK,),
    ) -> NewSecret:
        return self.database.write_sync(
            setup.add_endpoint,
            self.vault,
            app_id=self.app_id,
            url=url,
            types=types,
            description=None,
            format=format,
            scheme=scheme,
            allowed=allowed,
            now=self.clock.now(),
        )

    def emit(self, *events: Event) -> None:
        """Something happens."""
        self.database.write_sync(
            service.emit, app_id=self.app_id, events=events or [link_created()], now=self.clock.now()
        )

    async def deliver(self) -> int:
        """All that is due; returns how many tries that took."""
        return await Dispatcher(self.ports).drain()

    async def wait_and_deliver(self, **time: float) -> int:
        self.clock.advance(**time)
        return await self.deliver()

    # --- Rows ---

    def endpoint(self, endpoint_id: str) -> WebhookEndpoint:
        return self.database.read_sync(endpoints.get, app_id=self.app_id, endpoint_id=endpoint_id)

    def deliveries(self) -> list[WebhookDelivery]:
        """Oldest first."""
        return self.database.read_sync(
            lambda db: list(
                db.exec(
                    select(WebhookDelivery).order_by(col(WebhookDelivery.created_at), col(WebhookDelivery.id))
                )
            )
        )

    def delivery(self) -> WebhookDelivery:
        (only,) = self.deliveries()
        return only

    def attempts(self, delivery: WebhookDelivery | None = None) -> list[WebhookAttempt]:
        return self.database.read_sync(queries.list_attempts, (delivery or self.delivery()).id)

    def mails(self) -> list[Mail]:
        return self.database.read_sync(lambda db: list(db.exec(select(Mail))))


def link_created(customer_id: str = "cus_ben") -> Event:
    return link_event(
        EventType.CANCEL_LINK_CREATED,
        link_id=new_id("lnk"),
        customer_id=customer_id,
        subscription_id=None,
        is_single_use=True,
        expires_at=datetime.fromisoformat("2026-11-22T09:00:00+00:00"),
    )


@pytest.fixture
async def post(database: Database, clock: FakeClock) -> AsyncIterator[Post]:
    http = OutboundHttp((LOOPBACK,))
    yield Post(open_merchant(database, clock), http)
    await http.aclose()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened
