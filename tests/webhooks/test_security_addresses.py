"""Whoever sets a URL cannot have us knock at our own doors: one corpus for everything that calls out.

Two servers wait on this machine, one at an address that is allowed and one at an address that is not.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest
from sqlmodel import Session

from app.adapters.billing.connection import Connection
from app.adapters.billing.direct import DirectBilling
from app.adapters.http import OutboundHttp, Resolver
from app.adapters.standard_webhooks import new_secret
from app.adapters.vault import Vault
from app.connections import customer_data
from app.connections.customer_data import Endpoint
from app.core.billing import Cancel, ChangeRequest, ProviderUnavailable
from app.core.errors import InvalidInput
from app.db.database import Database
from app.db.tables.webhooks import WebhookEndpoint
from app.insights import slack
from app.insights.slack import SlackPorts, SlackRefused
from app.setup import service as setup
from app.web.theme import parse_theme
from app.webhooks.dispatching import Dispatcher
from tests.support.clock import FakeClock
from tests.support.merchant import open_merchant
from tests.webhooks.conftest import Post

pytestmark = pytest.mark.anyio

ALLOWED, CLOSED = "127.0.0.2", "127.0.0.1"
ONLY_ALLOWED = (ip_network("127.0.0.2/32"),)
# What the names resolve to; every one of these is refused at the moment of dialling.
PRIVATE = (
    "127.0.0.1",
    "10.0.0.5",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 (nobody binds to it here)
    "::",
    "::1",
    "fe80::1",
    "fd00:ec2::254",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
)
# Spelt so that some parser or resolver takes them for this machine, or for a cloud's metadata service.
SPELLINGS = (
    "https://127.0.0.1:{port}/",
    "https://localhost:{port}/",
    "https://LocalHost.:{port}/",
    "https://hooks.localhost:{port}/",
    "https://[::1]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://2130706433:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://017700000001:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.1:{port}/",
    "https://127.1:{port}/",
    "https://127.0.1:{port}/",
    "https://①②⑦.⓪.⓪.①:{port}/",
    "https://127.0.0.1.:{port}/",
    "https://example.com@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}@example.com/",
    "https://example.com\\@127.0.0.1:{port}/",
    "https://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:{port}/",
    "http://example.com:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_",
    "file:///etc/passwd",
    "unix:///run/docker.sock",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
)

Call = Callable[[OutboundHttp, str], Awaitable[None]]


@dataclass
class Doors:
    """Who was knocked at, and with what answer the allowed one answers."""

    port: int = 0
    knocks: list[str] = field(default_factory=list)
    answer: bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocks.append(writer.get_extra_info("sockname")[0])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        writer.close()


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    opened = Doors()
    first = await asyncio.start_server(opened.meet, CLOSED, 0)
    opened.port = first.sockets[0].getsockname()[1]
    second = await asyncio.start_server(opened.meet, ALLOWED, opened.port)
    yield opened
    for server in (first, second):
        server.close()


# --- What calls out: each of these tries a URL, and raises or fails in its own way -----------------------------------


@pytest.fixture(params=["webhook", "customer data", "action URL", "customer look-up", "Slack"])
def call(request: pytest.FixtureRequest, database: Database, clock: FakeClock) -> Call:
    async def webhook(http: OutboundHttp, url: str) -> None:
        post = Post(open_merchant(database, clock), http)
        endpoint_id = post.add("https://example.com/").endpoint.id
        database.write_sync(_point_at, endpoint_id, url)  # as if it had been saved before there were checks
        post.emit()
        await Dispatcher(post.ports).drain()
        [attempt] = post.attempts()
        assert attempt.failure

    async def ask(http: OutboundHttp, url: str) -> None:
        asked = await customer_data.ask(
            http,
            Endpoint(url, "live_key", None),
            customer_id="cus_1",
            message_id="msg_1",
            now=clock.now(),
            deadline_s=5,
        )
        assert asked.is_failure

    async def act(http: OutboundHttp, url: str) -> None:
        change = ChangeRequest(
            effect_id="eff_1",
            session_id="cs_1",
            customer_id="cus_1",
            subscription_id="sub_1",
            change=Cancel(timing="period_end"),
            mode="test",
            shown=None,
            requested_at=clock.now(),
        )
        with pytest.raises(ProviderUnavailable):
            await _direct(http, clock, url).apply(change)

    async def look_up(http: OutboundHttp, url: str) -> None:
        with pytest.raises(ProviderUnavailable):
            await _direct(http, clock, url).find_customers_by_email("ben@example.com")

    async def tell_slack(http: OutboundHttp, url: str) -> None:
        merchant = open_merchant(database, clock)
        vault = Vault(merchant.settings.secrets)
        merchant.change(slack_url_encrypted=vault.seal(url))
        with pytest.raises(SlackRefused):
            await slack.test(SlackPorts(database, clock, http, vault), app_id=merchant.app_id)

    callers = {
        "webhook": webhook,
        "customer data": ask,
        "action URL": act,
        "customer look-up": look_up,
        "Slack": tell_slack,
    }
    return callers[request.param]


def _point_at(db: Session, endpoint_id: str, url: str) -> None:
    db.get_one(WebhookEndpoint, endpoint_id).url = url


def _direct(http: OutboundHttp, clock: FakeClock, url: str) -> DirectBilling:
    config = {"action_url": url, "lookup_url": url, "action_secret": new_secret()}
    return DirectBilling(Connection(config=config, http=http, clock=clock, mode="test"))


def answering(*addresses: str) -> Resolver:
    async def resolve(_: str, __: int) -> Sequence[str]:
        return addresses

    return resolve


# --- The corpus ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_name_that_leads_inside_is_not_followed(call: Call, doors: Doors, address: str) -> None:
    http = OutboundHttp((), resolver=answering(address))
    await call(http, f"https://hooks.example.com:{doors.port}/")
    await http.aclose()
    assert doors.knocks == []


@pytest.mark.parametrize("url", SPELLINGS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_url_that_is_spelt_otherwise_leads_nowhere(call: Call, doors: Doors, url: str) -> None:
    http = OutboundHttp((), resolver=answering(CLOSED))
    await call(http, url.format(port=doors.port))
    await http.aclose()
    assert doors.knocks == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_of_a_private_and_an_allowed_address_only_the_latter_is_dialled(
    call: Call, doors: Doors
) -> None:
    doors.answer = b"HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    http = OutboundHttp(ONLY_ALLOWED, resolver=answering(CLOSED, ALLOWED))
    await call(http, f"http://hooks.example.com:{doors.port}/")
    await http.aclose()
    assert doors.knocks == [ALLOWED]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_name_that_changes_between_look_and_dial_gains_nothing(call: Call, doors: Doors) -> None:
    """The address that was judged is the one that is dialled; the next look-up is judged anew."""
    doors.answer = b"HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    looked_up: list[str] = []

    async def resolve(host: str, _: int) -> Sequence[str]:
        looked_up.append(host)
        return [ALLOWED] if len(looked_up) == 1 else [CLOSED]

    http = OutboundHttp(ONLY_ALLOWED, resolver=resolve)
    await call(http, f"http://hooks.example.com:{doors.port}/")
    assert (len(looked_up), doors.knocks) == (1, [ALLOWED])
    await http.aclose()


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "/again",
    ],
)
@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_redirect_is_a_failure_and_is_not_followed(
    call: Call, doors: Doors, status: str, location: str
) -> None:
    doors.answer = (
        f"HTTP/1.1 {status}\r\nconnection: close\r\nlocation: {location.format(port=doors.port)}\r\n"
        "content-length: 0\r\n\r\n"
    ).encode()
    http = OutboundHttp(ONLY_ALLOWED, resolver=answering(ALLOWED))
    await call(http, f"http://hooks.example.com:{doors.port}/")
    await http.aclose()
    assert doors.knocks == [ALLOWED]


# --- What is refused when it is set, and what is fetched by nobody ---------------------------------------------------


@pytest.mark.parametrize("url", SPELLINGS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_such_a_url_is_not_even_saved(post: Post, url: str) -> None:
    given = url.format(port=443)
    with pytest.raises(InvalidInput) as refused:
        post.add(given, allowed=())
    assert [problem.field for problem in refused.value.fields] == ["url"]
    with pytest.raises(InvalidInput) as refused:
        post.database.write_sync(
            setup.set_customer_data, post.vault, app_id=post.app_id, url=given, allowed=()
        )
    assert [problem.field for problem in refused.value.fields] == ["url"]
    config = {"action_url": given, "action_secret": new_secret()}
    with pytest.raises(InvalidInput) as refused:
        setup.check_provider("direct", config, ())
    assert [problem.field for problem in refused.value.fields] == ["action_url"]


@pytest.mark.parametrize("logo", ["https://example.com/x.svg", "http://169.254.169.254/", "//127.0.0.1/x"])
def test_a_logo_is_a_path_of_ours_so_that_nobody_fetches_it(logo: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_theme({"logo": logo})
    assert [problem.field for problem in refused.value.fields] == ["logo"]
