"""The reference as people and programs get it."""

from collections.abc import AsyncIterator, Callable

import pytest
from playwright.sync_api import Page as BrowserPage

from app.core.events import EventType
from app.db.database import Database
from app.main import create_app
from tests.support.apps import make_settings
from tests.support.browser import Contexts
from tests.support.clock import FakeClock
from tests.support.pages import Visitor, visiting

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture
async def visitor(database: Database, clock: FakeClock) -> AsyncIterator[Visitor]:
    async with visiting(create_app(make_settings(), database=database, clock=clock)) as found:
        yield found


async def test_a_person_reads_every_operation_with_its_fields_and_refusals(visitor: Visitor) -> None:
    page = await visitor.open("/docs")
    assert page.h1 == "Leavewell API"
    for words in (
        "Make a cancel link",
        "POST /v1/cancel-sessions",
        "customerId",
        "required",
        "Idempotency-Key",
    ):
        assert words in page.text
    for words in ("422 Unprocessable Entity", "idempotency_key_reused", "DirectSubscription", "curl -X POST"):
        assert words in page.text
    assert not page.root.all("script")
    anchors = {element["id"] for element in page.root if element.has("id")}
    targets = [link["href"][1:] for link in page.root.all("a") if link["href"].startswith("#")]
    assert [target for target in targets if target not in anchors] == []


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (CHROMIUM, "text/html"),
        ("*/*", "text/html"),
        ("", "text/html"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/vnd.oai.openapi+json", "application/json"),
        ("text/html, application/json", "text/html"),
    ],
)
async def test_who_asks_for_json_gets_the_document(visitor: Visitor, accept: str, kind: str) -> None:
    answer = await visitor.client.get("/docs", headers={"accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert "Accept" in answer.headers["vary"].split(", ")
    if kind == "application/json":
        assert answer.json() == (await visitor.client.get("/docs/openapi.json")).json()


async def test_the_flow_schema_is_there_for_editors_of_any_origin(visitor: Visitor) -> None:
    answer = await visitor.client.get("/docs/flow.schema.json")
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json()["title"] == "Leavewell cancel flow"


async def test_a_person_reads_every_type_of_webhook_and_a_program_its_schema(visitor: Visitor) -> None:
    page = await visitor.open("/docs")
    for type in EventType:
        assert type in page.text
    assert "endsAt date and time or null required" in page.text
    answer = await visitor.client.get("/docs/webhooks.schema.json")
    assert answer.headers["content-type"] == "application/schema+json"
    assert {str(type) for type in EventType} <= set(answer.json()["$defs"])


@pytest.mark.e2e
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 320), ("dark", 320)]
)
def test_the_page_is_accessible_and_fits(
    live_server: str, new_context: Contexts, axe: Callable[[BrowserPage], None], scheme: str, width: int
) -> None:
    page = new_context(color_scheme=scheme, width=width, javascript=True).new_page()
    page.goto(f"{live_server}/docs")
    for summary in page.locator("summary").all():
        summary.click()
    axe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
