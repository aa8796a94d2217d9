"""The shop in Chromium: accessible, and in one column at 320 px, light and dark."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from tests.demo.shops import Backend, build
from tests.support import browser, server

pytestmark = pytest.mark.e2e


@dataclass
class Open:
    """A shop that a browser can reach."""

    url: str
    backend: Backend


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Open]:
    listener = server.listen()
    backend = build(tmp_path, origin=server.address(listener))
    with server.served(backend.app, listener) as url:
        yield Open(url, backend)
    backend.billing.close()


def sign_in(page: Page, shop: Open, name: str) -> None:
    page.goto(f"{shop.url}/demo")
    page.get_by_role("button", name=f"Sign in as {name}").click()


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_fits(
    shop: Open, new_context: browser.Contexts, axe: Callable[[Page], None], scheme: str, width: int
) -> None:
    shop.backend.act("sub_ben_pro", "discount", couponId="coupon_half_price")
    shop.backend.act("sub_chen_pro", "cancel", timing="period_end")
    shop.backend.act("sub_ada_lite", "pause", resumesAt="2027-01-21T09:00:00Z")
    shop.backend.act("sub_emil_publish", "cancel", timing="now")
    page = new_context(color_scheme=scheme, width=width).new_page()

    def look() -> None:
        axe(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{page.url} is too wide"

    page.goto(f"{shop.url}/demo")
    look()
    for name in ("Ada", "Ben", "Chen", "Dana", "Emil", "Farah"):
        sign_in(page, shop, name)
        page.goto(f"{shop.url}/demo/billing?done=undone")
        look()
    page.goto(f"{shop.url}/demo/notes")
    look()
    shop.backend.leavewell.answer = httpx.Response(422, json={"message": "expiresAt is in the past."})
    page.goto(f"{shop.url}/demo/billing")
    page.get_by_role("button", name="Cancel subscription").click()
    look()
    page.goto(f"{shop.url}/demo/backstage")
    look()
    shop.backend.line.is_cut = True
    page.goto(f"{shop.url}/demo/billing")
    look()
    page.goto(f"{shop.url}/demo/nothing")
    look()


def test_the_shop_works_by_keyboard_and_without_javascript(shop: Open, new_context: browser.Contexts) -> None:
    shop.backend.act("sub_chen_pro", "cancel", timing="period_end")
    page = new_context(javascript=False).new_page()
    page.goto(f"{shop.url}/demo")
    page.get_by_role("button", name="Sign in as Chen").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Billing").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Undo cancellation").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Your subscription goes on.").wait_for()
    assert page.get_by_role("button", name="Undo cancellation").count() == 0


def test_the_cancel_button_may_lead_to_leavewell(shop: Open, new_context: browser.Contexts) -> None:
    """The redirect of a form that the page's own policy did not allow would be blocked in silence."""
    shop.backend.leavewell.answer = httpx.Response(201, json={"url": f"{shop.url}/demo/static/mark.svg"})
    page = new_context().new_page()
    sign_in(page, shop, "Ben")
    page.goto(f"{shop.url}/demo/billing")
    page.get_by_role("button", name="Cancel subscription").click()
    page.wait_for_url("**/mark.svg")
