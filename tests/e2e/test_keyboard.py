"""Without a mouse: everything is reached by Tab, pressed by Space and Enter, and the focus is always seen."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.by_email import CHOOSE, CODE, ENTRY, GOES_ON, code_for
from tests.e2e.conftest import Visitors
from tests.e2e.journeys import CANCELED, CONFIRM, FEEDBACK, NOTES, SURVEY
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor

pytestmark = pytest.mark.e2e

FOCUSED = """
() => {
  const on = document.activeElement;
  if (!on || on === document.body) return null;
  const label = on.labels?.[0] ?? on;
  const row = on.closest(".choice");
  const isOutlined = element => element && getComputedStyle(element).outlineStyle !== "none"
    && parseFloat(getComputedStyle(element).outlineWidth) >= 2;
  const box = (row ?? on).getBoundingClientRect();
  return {
    words: label.innerText.trim(),
    is_visible: isOutlined(on) || isOutlined(row),
    is_on_screen: box.top >= 0 && box.bottom <= innerHeight + 1,
  };
}
"""


def tab_to(page: Page, words: str, *, key: str = "Tab") -> None:
    """Press Tab until the focus is there; wherever it stops on the way it has to be seen."""
    seen = []
    for _ in range(40):
        page.keyboard.press(key)
        on = page.evaluate(FOCUSED)
        if on is None:
            continue
        assert on["is_visible"], f"the focus on {on['words']!r} cannot be seen"
        assert on["is_on_screen"], f"the focus on {on['words']!r} is off the screen"
        seen.append(on["words"])
        if on["words"].startswith(words):
            return
    raise AssertionError(f"no Tab leads to {words!r}: {seen}")


def arrive_by_keyboard(visitor: Visitor, heading: str) -> None:
    """After a swap the focus is on the heading, from where one goes on."""
    visitor.arrive(heading)
    expect(visitor.page.get_by_role("heading", level=1)).to_be_focused()


def test_from_the_shops_button_to_the_result_and_back(stage: Stage, visitor: Visitors) -> None:
    customer = visitor()
    customer.sign_in("Ada")
    page = customer.page
    tab_to(page, "Cancel subscription")
    page.keyboard.press("Enter")
    customer.arrive(SURVEY)
    tab_to(page, "It costs too much")
    page.keyboard.press("Space")
    tab_to(page, "A lower price")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="A smaller plan")).to_be_checked()
    tab_to(page, "Continue")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, NOTES)
    tab_to(page, "Continue")
    page.keyboard.press("Space")
    arrive_by_keyboard(customer, FEEDBACK)
    tab_to(page, "Your message")
    page.keyboard.type("Typed without a mouse")
    tab_to(page, "Continue")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, CONFIRM)
    tab_to(page, "Cancel my subscription")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, CANCELED)
    tab_to(page, "Back to Northwind Notes")
    page.keyboard.press("Enter")
    customer.arrive("Billing")
    assert stage.changes("sub_ada_lite") == ["cancel"]


def test_a_mistake_takes_the_focus_and_leads_to_the_field(visitor: Visitors) -> None:
    customer = visitor()
    customer.sign_in("Ben")
    customer.press_cancel(arrive_at=SURVEY)
    page = customer.page
    tab_to(page, "It costs too much")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Continue")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, "Take a break instead?")
    tab_to(page, "Pause")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page).to_have_title(re.compile("^Error: Take a break instead"))
    tab_to(page, "Choose how long to pause")
    page.keyboard.press("Enter")
    expect(page.get_by_role("radio", name="1 month")).to_be_focused()
    page.keyboard.press("Space")
    tab_to(page, "Pause")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, "Your subscription is paused")


def test_the_exit_and_the_way_back_are_reached_too(visitor: Visitors) -> None:
    customer = visitor()
    customer.sign_in("Dana")
    customer.press_cancel(arrive_at=SURVEY)
    page = customer.page
    tab_to(page, "Cancel now")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, CONFIRM)
    tab_to(page, "Back", key="Shift+Tab")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, SURVEY)


def test_from_the_public_address_to_the_result_and_back(stage: Stage, visitor: Visitors) -> None:
    customer = visitor()
    customer.go_to(stage.entry, arrive_at=ENTRY)
    page = customer.page
    tab_to(page, "Email address")
    page.keyboard.type("emil@example.com")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, CODE)
    tab_to(page, "Code")
    page.keyboard.type("nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    tab_to(page, "Enter the 6 digits")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Code", exact=True)).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type(code_for(stage, "emil@example.com"))
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, CHOOSE)
    tab_to(page, "Northwind Publish")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="Pro")).to_be_checked()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("radio", name="Northwind Publish")).to_be_checked()
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, SURVEY)
    tab_to(page, "Cancel now")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, CONFIRM)
    tab_to(page, "Cancel my subscription")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, CANCELED)
    tab_to(page, "See the receipt")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cancel/receipts/**")
    tab_to(page, "Keep my subscription after all")
    page.keyboard.press("Enter")
    arrive_by_keyboard(customer, GOES_ON)
    assert stage.changes("sub_emil_publish") == ["cancel", "uncancel"]
