"""Addresses of the installation itself."""

from app.db.database import Database
from tests.support.clock import FakeClock
from tests.support.pages import visiting
from tests.web.conftest import Probe, make_app


async def test_health_is_200_while_the_database_answers(probe: Probe) -> None:
    for answer in (await probe.visitor.client.get("/healthz"), await probe.visitor.client.head("/healthz")):
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
    assert (await probe.visitor.client.get("/healthz")).json() == {"status": "ok"}


async def test_health_is_503_when_the_database_does_not(database: Database, clock: FakeClock) -> None:
    async with visiting(make_app(database, clock)) as visitor:
        database.close_sync()
        answer = await visitor.client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable"}


async def test_the_front_page_says_what_this_address_is(probe: Probe) -> None:
    page = await probe.visitor.open("/")
    assert "cancel" in page.text


async def test_crawlers_are_kept_from_links_and_the_api(probe: Probe) -> None:
    robots = (await probe.visitor.client.get("/robots.txt")).text
    assert "Disallow: /cancel" in robots


async def test_the_icon_that_browsers_ask_for_is_no_error(probe: Probe) -> None:
    assert (await probe.visitor.client.get("/favicon.ico")).status_code == 204
