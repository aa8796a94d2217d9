"""When billing takes its time: a page that waits, says so, lets one out, and then tells what became of it."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visitors
from tests.e2e.journeys import CANCELED, CONFIRM, HALF_PRICE, begin
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "plain"])
WAITING = "One moment, please"
# Longer than a request waits for billing (8 s) and shorter than a reader would.
PATIENCE_MS = 15_000


@BOTH
def test_a_slow_change_shows_a_page_that_waits_and_then_the_result(
    stage: Stage, visitor: Visitors, javascript: bool
) -> None:
    customer = visitor(javascript=javascript)
    begin(customer, "Ben")
    customer.answer("Skip this", arrive_at=HALF_PRICE)
    stage.fail("after_commit", "hang")
    customer.press("Take 50% off")
    heading = customer.page.get_by_role("heading", level=1)
    expect(heading).to_have_text(WAITING, timeout=PATIENCE_MS)
    expect(customer.page.get_by_role("button", name="Cancel now")).to_be_visible()
    stage.release()
    expect(heading).to_have_text("Your discount is in place", timeout=PATIENCE_MS)
    assert stage.changes("sub_ben_pro") == ["discount"]


def test_one_can_leave_while_an_offer_hangs(stage: Stage, visitor: Visitors) -> None:
    customer = visitor()
    begin(customer, "Ben")
    customer.answer("Skip this", arrive_at=HALF_PRICE)
    stage.fail("before_commit", "hang", times=10)
    customer.press("Take 50% off")
    heading = customer.page.get_by_role("heading", level=1)
    expect(heading).to_have_text(WAITING, timeout=PATIENCE_MS)
    customer.answer("Cancel now", arrive_at=CONFIRM)
    stage.mend()
    customer.press("Cancel my subscription")
    expect(heading).to_have_text(CANCELED, timeout=PATIENCE_MS)
    assert stage.changes("sub_ben_pro")[-1] == "cancel"


@BOTH
def test_a_cancellation_that_billing_does_not_take_counts_all_the_same(
    stage: Stage, visitor: Visitors, javascript: bool
) -> None:
    customer = visitor(javascript=javascript)
    begin(customer, "Chen")
    customer.answer("Cancel now", arrive_at=CONFIRM)
    stage.fail("before_commit", "500", times=2)
    customer.press("Cancel my subscription")
    expect(customer.page.get_by_role("heading", level=1)).to_have_text(CANCELED, timeout=PATIENCE_MS)
    assert stage.changes("sub_chen_pro") == ["cancel"]
