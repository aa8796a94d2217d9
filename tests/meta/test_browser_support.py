"""The tools that the journeys trust do notice what they are there to notice."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.browser import Contexts, axe, axe_violations
from tests.support.server import served

pytestmark = pytest.mark.e2e

GOOD = "<!doctype html><html lang=en><title>Plan</title><main><h1>Your plan</h1></main></html>"
BAD = "<!doctype html><html><main><h1>Plan</h1><img src='/logo.png'><input></main></html>"
STRANGER = GOOD.replace("<main>", "<link rel=stylesheet href=https://fonts.example.org/a.css><main>")
INLINE = GOOD.replace("<main>", "<script>document.title = 'x'</script><main>")

PAGES = {"/good": GOOD, "/bad": BAD, "/stranger": STRANGER, "/inline": INLINE}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    body = PAGES.get(scope["path"], "")
    headers = [
        (b"content-type", b"text/html"),
        (b"content-security-policy", b"default-src 'none'; style-src *"),
    ]
    await send({"type": "http.response.start", "status": 200 if body else 404, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with served(app) as url:
        yield url


def test_axe_passes_a_good_page_under_a_strict_policy(site: str, browser_page: Page) -> None:
    browser_page.goto(f"{site}/good")
    axe(browser_page)


@pytest.mark.parametrize("rule", ["image-alt", "html-has-lang", "document-title", "label"])
def test_axe_finds_what_is_wrong(rule: str, site: str, new_context: Contexts) -> None:
    page = new_context().new_page()
    page.goto(f"{site}/bad")
    assert any(line.startswith(rule) for line in axe_violations(page))
    new_context.complaints.clear()


@pytest.mark.parametrize(
    ("path", "complaint"), [("/stranger", "fonts.example.org"), ("/inline", "Content Security")]
)
def test_a_page_that_misbehaves_is_noticed(
    path: str, complaint: str, site: str, new_context: Contexts
) -> None:
    new_context().new_page().goto(site + path)
    assert any(complaint in line for line in new_context.complaints)
    new_context.complaints.clear()


def test_without_javascript_no_script_of_a_page_runs(site: str, new_context: Contexts) -> None:
    page = new_context(javascript=False, bypass_csp=True).new_page()
    page.goto(f"{site}/inline")
    assert page.title() == "Plan"
