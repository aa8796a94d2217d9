"""Receipts on paper."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Contexts
from tests.support.gallery import GALLERY, render

pytestmark = pytest.mark.e2e

RECEIPTS = [name for name in GALLERY if name.startswith("receipt-")]


def shown(new_context: Contexts, name: str, scheme: str = "light") -> Page:
    page = new_context(color_scheme=scheme, javascript=False).new_page()
    page.set_content(render(GALLERY[name]))
    page.emulate_media(media="print")
    return page


@pytest.mark.parametrize("size", ["A4", "Letter"])
def test_every_receipt_is_one_sheet_of_paper(new_context: Contexts, size: str) -> None:
    page = new_context(javascript=False).new_page()
    for name in RECEIPTS:
        page.set_content(render(GALLERY[name]))
        pages = re.findall(rb"/Type\s*/Page\b", page.pdf(format=size))
        assert len(pages) == 1, name


def test_paper_has_what_is_said_and_nothing_to_press(new_context: Contexts) -> None:
    page = shown(new_context, "receipt-undo")
    expect(page.get_by_role("heading", name="Your subscription is canceled")).to_be_visible()
    expect(page.get_by_text("LW-7F3K-92QD", exact=True)).to_be_visible()
    expect(page.get_by_text("Northwind Notes").first).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.get_by_text("Changed your mind?")).to_be_hidden()
    expect(page.get_by_text("Download the signed file")).to_be_hidden()


def test_paper_is_white_whatever_the_screen_was(new_context: Contexts) -> None:
    page = shown(new_context, "receipt-undo", "dark")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.sheet')).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(22, 24, 29)"
