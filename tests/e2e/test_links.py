"""A link survives whoever looks at it, serves one browser, and impatient fingers do no harm."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visitors
from tests.e2e.journeys import CANCELED, CONFIRM, SURVEY
from tests.e2e.stage import Stage
from tests.support.browser import Contexts

pytestmark = pytest.mark.e2e

LANDING = "Cancel your subscription"
USED = "This link has already been used"


def scan(link: str, new_context: Contexts) -> None:
    """Ten looks at a link, as mail programs, chat previews and browsers that guess ahead take them."""
    previews = ("Slackbot-LinkExpanding 1.0", "Mozilla/5.0 (compatible; Barracuda Sentinel)", "curl/8.5.0")
    for agent in previews:
        assert httpx.get(link, headers={"user-agent": agent}).status_code == 200
        assert httpx.head(link, headers={"user-agent": agent}).status_code == 200
    guessed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    for name in ("sec-purpose", "purpose"):
        assert httpx.get(link, headers={**guessed, name: "prefetch"}).status_code == 200
    for javascript in (True, False):
        scanner = new_context(javascript=javascript).new_page()
        scanner.goto(link)
        expect(scanner.get_by_role("heading", level=1)).to_have_text(LANDING)


@pytest.mark.parametrize("javascript", [True, False])
def test_ten_scanners_leave_the_link_to_the_customer(
    stage: Stage, new_context: Contexts, visitor: Visitors, javascript: bool
) -> None:
    link = stage.mint("cus_ben")
    scan(link, new_context)
    assert stage.count("cancel_sessions") == 0
    customer = visitor(javascript=javascript)
    customer.page.goto(link)
    customer.arrive(LANDING)
    customer.does_not_see("Ben", "Pro", "Northwind")
    customer.answer("Open the cancel page", arrive_at=SURVEY)
    customer.answer("Cancel now", arrive_at=CONFIRM)
    customer.answer("Cancel my subscription", arrive_at=CANCELED)
    assert stage.changes("sub_ben_pro") == ["cancel"]


def test_a_link_pressed_on_a_page_asks_for_no_second_press(stage: Stage, visitor: Visitors) -> None:
    customer = visitor()
    customer.page.goto(f"{stage.url}/demo")
    link = stage.mint("cus_ben")
    customer.page.evaluate("href => location.assign(href)", link)
    customer.arrive(SURVEY)


def test_the_link_belongs_to_the_browser_that_opened_it(stage: Stage, visitor: Visitors) -> None:
    link = stage.mint("cus_chen")
    first, second = visitor(), visitor()
    first.page.goto(link)
    first.answer("Open the cancel page", arrive_at=SURVEY)
    first.answer("Skip this", arrive_at="A fifth off your next year?")

    answer = second.page.goto(link)
    assert answer is not None
    assert answer.status == 410
    second.arrive(USED)
    contact = second.page.get_by_role("main").get_by_role("link", name="help@northwind.example").first
    assert contact.get_attribute("href") == "mailto:help@northwind.example"
    answer = second.page.goto(first.page.url)
    assert answer is not None
    assert answer.status == 403
    second.arrive("This page belongs to another browser")

    first.page.goto("about:blank")
    first.page.goto(link)
    first.arrive("A fifth off your next year?")


def test_a_forged_link_is_refused_in_plain_words(stage: Stage, visitor: Visitors) -> None:
    customer = visitor()
    link = stage.mint("cus_ben")
    forged = re.sub(r".$", lambda last: "A" if last[0] != "A" else "B", link)
    answer = customer.page.goto(forged)
    assert answer is not None
    assert answer.status == 410
    customer.arrive("This link does not work")


# --- Double clicks ---


@pytest.mark.parametrize("javascript", [True, False])
def test_impatient_fingers_do_everything_once(stage: Stage, visitor: Visitors, javascript: bool) -> None:
    customer = visitor(javascript=javascript)
    customer.page.goto(stage.mint("cus_ben"))
    customer.page.get_by_role("button", name="Open the cancel page").dblclick()
    customer.arrive(SURVEY)
    assert stage.count("cancel_sessions") == 1
    customer.page.get_by_role("button", name="Cancel now").click()
    customer.arrive(CONFIRM)
    customer.page.get_by_role("button", name="Cancel my subscription").dblclick()
    customer.arrive(CANCELED)
    assert stage.changes("sub_ben_pro") == ["cancel"]


@pytest.mark.parametrize("javascript", [True, False])
def test_a_double_click_at_the_shop_opens_the_cancel_page(
    stage: Stage, visitor: Visitors, javascript: bool
) -> None:
    customer = visitor(javascript=javascript)
    customer.sign_in("Ben")
    customer.page.get_by_role("button", name="Cancel subscription").dblclick()
    customer.arrive(SURVEY)
    customer.answer("Cancel now", arrive_at=CONFIRM)
    assert stage.changes("sub_ben_pro") == []
