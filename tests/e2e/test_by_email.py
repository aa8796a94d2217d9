"""Nobody is stuck without a link: an address and a code, or a request, with JavaScript and without.

The screens are the same in both cases, and so is what is sent.
"""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from app.adapters import ed25519
from app.core.receipt_file import read_file, read_jwks
from tests.e2e.by_email import WAYS, Way, begin, cancel_now, code_for, enter, reference
from tests.e2e.conftest import Visitors
from tests.e2e.journeys import CANCELED, HALF_PRICE, SURVEY
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor
from tests.support.codes import not_the

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "plain"])
HALVED = "Your discount is in place"
A4 = rb"/MediaBox \[0 0 59[45][.\d]* 84[12][.\d]*\]"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.walk.__name__)
def test_whoever_has_no_link_gets_out(stage: Stage, visitor: Visitors, way: Way) -> None:
    sent = []
    for javascript in (True, False):
        stage.reset()
        people: list[Visitor] = []

        def newcomer(javascript: bool = javascript, people: list[Visitor] = people) -> Visitor:
            people.append(visitor(javascript=javascript))
            return people[-1]

        way.walk(stage, newcomer)
        assert {name: stage.changes(name) for name in way.changes} == way.changes
        sent.append([person.sent for person in people])
    assert sent[0] == sent[1]


# --- The clipboard


def copy(page: Page, text: str) -> None:
    """From another page of the same browser, as from a mail read there."""
    page.set_content("<textarea></textarea>")
    page.locator("textarea").fill(text)
    page.keyboard.press("Control+A")
    page.keyboard.press("Control+C")


def paste(page: Page) -> None:
    page.get_by_label("Code", exact=True).focus()
    page.keyboard.press("Control+A")
    page.keyboard.press("Control+V")


@BOTH
def test_a_code_is_pasted_however_a_mail_program_gives_it_away(
    stage: Stage, visitor: Visitors, javascript: bool
) -> None:
    customer = visitor(javascript=javascript)
    begin(stage, customer, "ben@example.com")
    code = code_for(stage, "ben@example.com")
    clipboard = customer.page.context.new_page()
    wrong = not_the(code.replace(" ", ""))
    shapes = (f"  {wrong[:3]} {wrong[3:]}\n", f"{wrong[:3]}\N{NO-BREAK SPACE}{wrong[3:]}", " ".join(wrong))
    for left, shape in zip(("4 tries", "3 tries", "2 tries"), shapes, strict=True):
        copy(clipboard, shape)
        paste(customer.page)
        customer.press("Continue")
        customer.is_told(
            f"This is not the code. You have {left} left"
        )  # it was read, or no try had been counted
    copy(clipboard, code)
    paste(customer.page)
    expect(customer.page.get_by_label("Code", exact=True)).to_have_value(code)
    customer.answer("Continue", arrive_at=SURVEY)


@BOTH
def test_a_code_is_copied_out_of_the_mail_itself(stage: Stage, visitor: Visitors, javascript: bool) -> None:
    customer = visitor(javascript=javascript)
    begin(stage, customer, "ben@example.com")
    code = code_for(stage, "ben@example.com")
    mail = customer.page.context.new_page()
    mail.goto(f"{stage.url}/demo/mailbox")
    mail.get_by_role("link", name="Your code for Northwind Notes").click()
    shown = mail.frame_locator("iframe").locator(".code")
    expect(shown).to_have_text(re.compile(rf"{code[:3]}\s*{code[4:]}"))
    shown.click()
    mail.keyboard.press("Control+C")
    paste(customer.page)
    customer.answer("Continue", arrive_at=SURVEY)


# --- What one holds in hands


def see_receipt(customer: Visitor, heading: str) -> None:
    customer.follow("See the receipt", arrive_at=heading)
    customer.page.wait_for_url("**/cancel/receipts/**")


@BOTH
def test_a_receipt_is_printed_on_one_sheet(stage: Stage, visitor: Visitors, javascript: bool) -> None:
    customer = visitor(javascript=javascript)
    enter(stage, customer, "ben@example.com")
    customer.answer("Skip this", arrive_at=HALF_PRICE)
    customer.answer("Take 50% off", arrive_at=HALVED)
    named = reference(customer)
    see_receipt(customer, HALVED)
    customer.sees("Half price for three months?")
    on_one_sheet(customer.page, named)
    stage.reset()
    other = visitor(javascript=javascript)
    enter(stage, other, "ben@example.com")
    named = cancel_now(other)
    see_receipt(other, CANCELED)
    on_one_sheet(other.page, named)


def on_one_sheet(page: Page, named: str) -> None:
    paper = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 1
    assert re.search(A4, paper)
    page.emulate_media(media="print")
    expect(page.get_by_text(named, exact=True)).to_be_visible()
    expect(page.get_by_text("Northwind Notes").first).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("link", name="Download the signed file")).to_have_count(0)


@BOTH
def test_what_was_mailed_is_what_is_downloaded_and_anybody_can_check_it(
    stage: Stage, visitor: Visitors, javascript: bool, tmp_path: Path
) -> None:
    customer = visitor(javascript=javascript)
    enter(stage, customer, "ada@example.com")
    named = cancel_now(customer)
    (mailed,) = stage.mail_to("ada@example.com", named).attachments
    see_receipt(customer, CANCELED)
    with customer.page.expect_download() as started:
        customer.page.get_by_role("link", name="Download the signed file").click()
    kept = tmp_path / started.value.suggested_filename
    started.value.save_as(kept)
    assert kept.name == mailed.name == f"receipt-{named}.json"
    assert kept.read_bytes().split() == mailed.content.split()
    signed = read_file(kept.read_text())
    keys = read_jwks(httpx.get(f"{stage.url}/.well-known/leavewell-receipts.json").text)
    assert ed25519.is_signed(keys[signed.key_id], signed.signed_bytes(), signed.signature)
    assert signed.content["reference"] == named
    assert signed.content["customerId"] == "cus_ada"
