"""The way in by an email address in Chromium, with the worker beside it: by keyboard alone, and without scripts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.db.database import Database
from app.settings import WorkerPlace
from tests.support import server
from tests.support.browser import Contexts, axe
from tests.support.clock import FakeClock
from tests.support.codes import STRANGER, Mailbox, not_the
from tests.support.merchant import Merchant, open_merchant, served_billing

pytestmark = pytest.mark.e2e


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def merchant(
    database: Database, clock: FakeClock, tmp_path: Path, mailbox: Mailbox
) -> Iterator[tuple[Merchant, str]]:
    """A merchant whose server and worker run; with its address."""
    with served_billing(tmp_path, clock) as billing:
        listener = server.listen()
        opened = open_merchant(database, clock, billing_url=billing)
        settings = replace(opened.settings, worker=WorkerPlace.EMBEDDED, base_url=server.address(listener))
        running = replace(opened, settings=settings)
        with server.served(running.app(mailer=mailbox), listener) as url:
            yield running, url


def at(page: Page, heading: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)


def test_without_scripts_an_expired_link_ends_in_the_flow(
    merchant: tuple[Merchant, str], mailbox: Mailbox, new_context: Contexts, clock: FakeClock
) -> None:
    there, url = merchant
    page = new_context(javascript=False, width=320).new_page()
    page.goto(url + there.mint("cus_ben", expires_at=clock.now()))
    at(page, "This link has expired")
    page.get_by_label("Email address").fill("ben@example.com")
    page.get_by_role("button", name="Send me a code").click()
    at(page, "Check your email")
    code = mailbox.code()
    page.get_by_label("Code").fill(f" {code[:3]} {code[3:]} ")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("button", name="Cancel now")).to_be_visible()


def test_by_keyboard_alone_with_a_mistake_on_the_way(
    merchant: tuple[Merchant, str], mailbox: Mailbox, new_context: Contexts
) -> None:
    there, url = merchant
    page = new_context().new_page()
    keys = page.keyboard
    page.goto(f"{url}/cancel/{there.app_id}")
    keys.press("Tab")
    expect(page.get_by_label("Email address")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")  # the summary leads to the field
    expect(page.get_by_label("Email address")).to_be_focused()
    keys.type("ben@example.com")
    keys.press("Enter")
    at(page, "Check your email")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert "/cancel/v/ver_" in page.url
    code = mailbox.code()
    keys.press("Tab")
    expect(page.get_by_label("Code")).to_be_focused()
    keys.type(not_the(code))
    keys.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("You have 4 tries left")
    axe(page)
    page.get_by_label("Code").fill(code)
    keys.press("Enter")
    expect(page.get_by_role("button", name="Cancel now")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.go_back()  # the code page leads on, it does not ask again
    expect(page.get_by_role("button", name="Cancel now")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no scripts"])
def test_somebody_unknown_gets_a_mail_that_says_so_and_can_leave_a_request(
    merchant: tuple[Merchant, str], mailbox: Mailbox, new_context: Contexts, javascript: bool
) -> None:
    there, url = merchant
    page = new_context(javascript=javascript).new_page()
    page.goto(f"{url}/cancel/{there.app_id}?email={STRANGER}")
    page.get_by_role("button", name="Send me a code").click()
    at(page, "Check your email")
    page.get_by_role("link", name="Leave a request instead").click()
    at(page, "Leave a cancellation request")
    expect(page.get_by_label("Your account’s email address")).to_have_value(STRANGER)
    page.get_by_label("Your message (optional)").fill("It was under another name.")
    page.get_by_role("button", name="Send my request").click()
    at(page, "Northwind Notes has your request")
    if javascript:
        axe(page)
    page.reload()
    at(page, "Northwind Notes has your request")


def test_asked_twice_at_once_it_mails_once(
    merchant: tuple[Merchant, str], mailbox: Mailbox, new_context: Contexts
) -> None:
    there, url = merchant
    page = new_context(javascript=False).new_page()
    page.goto(f"{url}/cancel/{there.app_id}?email=ben@example.com")
    page.get_by_role("button", name="Send me a code").dblclick()
    at(page, "Check your email")
    code = mailbox.code()
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Continue").dblclick()
    expect(page.get_by_role("button", name="Cancel now")).to_be_visible()
    assert len(mailbox.messages) == 1
