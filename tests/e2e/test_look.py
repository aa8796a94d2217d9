"""Every real screen on the six ways, and around them: no fault that a machine can find, one column, nothing cut off."""

import re
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.by_email import WAYS, Way
from tests.e2e.conftest import Visitors
from tests.e2e.journeys import CONFIRM, HALF_PRICE, JOURNEYS, SURVEY, Journey, begin
from tests.e2e.stage import Stage
from tests.e2e.visitor import Look, Visitor
from tests.support.browser import axe

pytestmark = pytest.mark.e2e

SCHEMES_AND_WIDTHS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 320))
FITS = "document.documentElement.scrollWidth <= innerWidth"
# A page at 200 % zoom has half the pixels to itself, and each of them is two.
ZOOMED: dict[str, Any] = {"width": 640, "height": 450, "device_scale_factor": 2}
TOURS = [journey for journey in JOURNEYS if journey.has_own_screens]
WAYS_IN = [way for way in WAYS if way.has_own_screens]


def check(page: Page) -> None:
    axe(page)
    assert page.evaluate(FITS), f"{page.url} scrolls sideways"


def look(page: Page) -> None:
    """Light and wide, then dark and small, which together have every colour and every width."""
    for scheme, width in SCHEMES_AND_WIDTHS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        check(page)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.fixture(scope="module")
def look_once() -> Look:
    """Look at each screen when it is met first; figures and dates do not make it another one."""
    seen: set[str] = set()

    def look_if_new(page: Page) -> None:
        words = re.sub(r"\d+", "", page.get_by_role("main").inner_text())
        if words not in seen:
            seen.add(words)
            look(page)

    return look_if_new


@pytest.mark.parametrize("journey", TOURS, ids=lambda journey: journey.walk.__name__)
def test_every_screen_on_the_way_is_accessible_and_fits(
    stage: Stage, visitor: Visitors, look_once: Look, journey: Journey
) -> None:
    journey.walk(visitor(look=look_once))


@pytest.mark.parametrize("way", WAYS_IN, ids=lambda way: way.walk.__name__)
def test_every_screen_without_a_link_is_accessible_and_fits(
    stage: Stage, visitor: Visitors, look_once: Look, way: Way
) -> None:
    way.walk(stage, lambda: visitor(look=look_once))


def test_the_pages_around_it_are_accessible_and_fit(stage: Stage, visitor: Visitors) -> None:
    customer = visitor(look=look)
    link = stage.mint("cus_ben")
    visit(customer, link, "Cancel your subscription")
    customer.press("Open the cancel page")
    expect(customer.page.get_by_role("heading", level=1)).to_have_text(SURVEY)
    stranger = visitor(look=look)
    visit(stranger, link, "This link has already been used")
    visit(stranger, customer.page.url, "This page belongs to another browser")
    visit(stranger, link[:-1], "This link does not work")
    visit(stranger, f"{stage.url}/cancel/app_nobody", "There is no page here")
    visit(stranger, stage.url, "Leavewell")
    visit(stranger, f"{stage.url}/docs", "Leavewell API")
    visit(stranger, f"{stage.url}/demo/nothing", "Not here")


def visit(visitor: Visitor, url: str, heading: str) -> None:
    visitor.page.goto(url)
    visitor.arrive(heading)


def test_mistakes_and_waiting_are_accessible_and_fit(stage: Stage, visitor: Visitors) -> None:
    customer = visitor()
    begin(customer, "Ben")
    customer.choose("I do not use it enough")
    customer.answer("Continue", arrive_at="Take a break instead?")
    customer.press("Pause")
    expect(customer.page.get_by_role("alert")).to_be_visible()
    look(customer.page)
    customer.answer("No, continue to cancel", arrive_at=HALF_PRICE)
    stage.fail("after_commit", "drop", times=2)
    stage.fail("read", "hang", times=10)
    customer.press("Take 50% off")
    heading = customer.page.get_by_role("heading", level=1)
    expect(heading).to_have_text("One moment, please", timeout=15_000)
    look(customer.page)


def test_a_page_at_double_size_is_one_column(stage: Stage, visitor: Visitors) -> None:
    customer = visitor(look=check, **ZOOMED)
    begin(customer, "Ben")
    customer.choose("It costs too much")
    customer.answer("Continue", arrive_at=HALF_PRICE)
    customer.answer("Cancel now", arrive_at=CONFIRM)


def test_nothing_moves_for_who_asked_for_stillness(stage: Stage, visitor: Visitors) -> None:
    customer = visitor(reduced_motion="reduce")
    begin(customer, "Ben")
    moving = "document.getAnimations().length"
    customer.choose("It costs too much")
    assert customer.page.evaluate(moving) == 0
    customer.press("Continue")
    customer.arrive(HALF_PRICE)
    assert customer.page.evaluate(moving) == 0
