"""Every mail in Chromium: what axe finds, in light and dark, on a phone, and where a reader drops the style sheet."""

import re
from itertools import product

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Contexts, axe_violations
from tests.support.mail_gallery import GALLERY

pytestmark = pytest.mark.e2e

# A mail is shown inside somebody else's page, which has the landmarks.
LANDMARKS = ("region (", "landmark-one-main (")
LOOKS = list(product(("light", "dark"), (320, 600)))


def is_too_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_no_mail_has_a_fault_that_a_machine_can_find(new_context: Contexts, scheme: str, width: int) -> None:
    page = new_context(color_scheme=scheme, width=width).new_page()
    for name, mail in GALLERY.items():
        page.set_content(mail.html())
        found = [fault for fault in axe_violations(page) if not fault.startswith(LANDMARKS)]
        assert found == [], f"{name}\n" + "\n".join(found)
        assert not is_too_wide(page), f"{name} scrolls sideways"


@pytest.mark.parametrize("width", [320, 600])
def test_a_mail_reads_well_without_its_style_sheet(new_context: Contexts, width: int) -> None:
    """Some readers drop it. A reader that forces dark colours then does so on its own."""
    page = new_context(width=width).new_page()
    for name, mail in GALLERY.items():
        page.set_content(re.sub(r"<style>.*?</style>", "", mail.html(), flags=re.DOTALL))
        found = [fault for fault in axe_violations(page) if not fault.startswith(LANDMARKS)]
        assert found == [], f"{name}\n" + "\n".join(found)
        assert not is_too_wide(page), f"{name} scrolls sideways"


def test_dark_is_dark(new_context: Contexts) -> None:
    page = new_context(color_scheme="dark", width=600).new_page()
    page.set_content(GALLERY["receipt-undo"].html())
    expect(page.locator("body")).to_have_css("background-color", "rgb(14, 16, 20)")
    expect(page.locator(".sheet")).to_have_css("background-color", "rgb(23, 26, 32)")
    expect(page.get_by_role("heading", level=1)).to_have_css("color", "rgb(236, 239, 244)")


def test_a_code_is_taken_in_one_piece_by_one_press(new_context: Contexts) -> None:
    page = new_context(width=320).new_page()
    page.set_content(GALLERY["code"].html())
    page.locator(".code").click()
    assert page.evaluate("getSelection().toString().trim()") == "048213"


def test_buttons_are_wide_enough_for_a_thumb(new_context: Contexts) -> None:
    page = new_context(width=320).new_page()
    for name in ("receipt-undo", "not-found", "pause-reminder-entry"):
        page.set_content(GALLERY[name].html())
        box = page.locator("a.button, .button a").first.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["width"] >= 200
