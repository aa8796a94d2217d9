"""Browsers go back, reload, keep old tabs and guess addresses: the walk stays where it is, nothing is lost."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visitors
from tests.e2e.journeys import CANCELED, CONFIRM, FEEDBACK, HALF_PRICE, NOTES, SURVEY, begin
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "plain"])


@BOTH
def test_every_step_can_be_reloaded(stage: Stage, visitor: Visitors, javascript: bool) -> None:
    customer = visitor(javascript=javascript)
    begin(customer, "Ben")
    steps = [(SURVEY, "Skip this"), (HALF_PRICE, "No, continue to cancel"), (NOTES, "Continue")]
    steps += [(FEEDBACK, "Skip this"), (CONFIRM, "Cancel my subscription"), (CANCELED, "")]
    for heading, button in steps:
        customer.arrive(heading)
        customer.page.reload()
        customer.arrive(heading)
        if button:
            customer.press(button)
    assert stage.changes("sub_ben_pro") == ["cancel"]


@BOTH
def test_back_shows_what_was_said_and_it_can_be_changed(
    stage: Stage, visitor: Visitors, javascript: bool
) -> None:
    customer = visitor(javascript=javascript)
    begin(customer, "Ada")
    customer.choose("Something I need is missing")
    customer.page.get_by_label("What is missing?").fill("Tables")
    customer.answer("Continue", arrive_at="It may have arrived already")
    customer.page.go_back()
    customer.arrive(SURVEY)
    expect(customer.page.get_by_label("What is missing?")).to_have_value("Tables")
    customer.choose("I am moving to another app")
    customer.answer("Continue", arrive_at=NOTES)
    customer.page.get_by_role("link", name="Back").click()
    customer.arrive(SURVEY)
    expect(customer.page.get_by_role("radio", name="I am moving to another app")).to_be_checked()


@BOTH
def test_back_after_the_end_shows_the_end(stage: Stage, visitor: Visitors, javascript: bool) -> None:
    customer = visitor(javascript=javascript)
    begin(customer, "Ben")
    customer.answer("Cancel now", arrive_at=CONFIRM)
    customer.answer("Cancel my subscription", arrive_at=CANCELED)
    customer.page.go_back()
    if customer.page.get_by_role(
        "button", name="Cancel my subscription"
    ).count():  # from the browser's memory
        customer.press("Cancel my subscription")
    customer.arrive(CANCELED)
    assert stage.changes("sub_ben_pro") == ["cancel"]


@BOTH
def test_the_page_comes_back_from_the_shop(visitor: Visitors, javascript: bool) -> None:
    customer = visitor(javascript=javascript)
    begin(customer, "Ben")
    customer.answer("Skip this", arrive_at=HALF_PRICE)
    customer.page.goto(f"{customer.shop}/demo/billing")
    customer.page.go_back()
    customer.arrive(HALF_PRICE)
    customer.answer("No, continue to cancel", arrive_at=NOTES)


@BOTH
def test_a_stale_tab_is_shown_where_the_walk_is(stage: Stage, visitor: Visitors, javascript: bool) -> None:
    first = visitor(javascript=javascript)
    begin(first, "Ben")
    second = visitor(context=first.page.context)
    second.page.goto(first.page.url)
    second.answer("Skip this", arrive_at=HALF_PRICE)
    second.answer("Take 50% off", arrive_at="Your discount is in place")
    first.choose("It costs too much")
    first.answer("Continue", arrive_at="Your discount is in place")
    assert stage.changes("sub_ben_pro") == ["discount"]


@BOTH
def test_two_walks_in_two_tabs_do_not_disturb_each_other(
    stage: Stage, visitor: Visitors, javascript: bool
) -> None:
    first = visitor(javascript=javascript)
    second = visitor(context=first.page.context)
    for customer, plan in ((first, "Pro"), (second, "Northwind Publish")):
        if customer is first:
            customer.sign_in("Emil")
        else:
            customer.page.goto(f"{customer.shop}/demo/billing")
        customer.press_cancel(arrive_at="Which subscription do you want to cancel?")
        customer.choose(plan)
        customer.answer("Continue", arrive_at=SURVEY)
    first.answer("Skip this", arrive_at=HALF_PRICE)
    second.answer("Cancel now", arrive_at=CONFIRM)
    second.answer("Cancel my subscription", arrive_at=CANCELED)
    first.answer("Take 50% off", arrive_at="Your discount is in place")
    assert stage.changes("sub_emil_pro") == ["discount"]
    assert stage.changes("sub_emil_publish") == ["cancel"]


@BOTH
def test_an_address_ahead_leads_to_the_step_that_is_next(visitor: Visitors, javascript: bool) -> None:
    customer = visitor(javascript=javascript)
    begin(customer, "Ben")
    session = customer.page.url.split("/cancel/s/")[1].split("/")[0]
    for place in ("confirm", "before-you-go", "done", "working", "no-such-step"):
        customer.page.goto(f"{customer.shop}/cancel/s/{session}/{place}")
        customer.arrive(SURVEY)
