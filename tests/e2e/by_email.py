"""The ways of those who have no usable link: by an address and a code, or by a request.

Told by what is on screen and in the mailbox; each ends with what the customer and the shop hold in hands.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from playwright.sync_api import expect

from demo.mailbox import Letter
from tests.e2e.journeys import CANCELED, CONFIRM, FEEDBACK, PAGES, SURVEY
from tests.e2e.stage import Stage
from tests.e2e.visitor import Visitor
from tests.support.codes import STRANGER, not_the

ENTRY = "Cancel your subscription"
CODE = "Check your email"
AGAIN = "Another message is on its way"
ELSEWHERE = "This page belongs to another browser"
CHOOSE = "Which subscription do you want to cancel?"
REQUEST = "Leave a cancellation request"
LEFT = "Northwind Notes has your request"
GOES_ON = "Your subscription goes on"

ADDRESS, OWN_ADDRESS = "Email address", "Your account’s email address"
CODE_MAIL = "Your code for Northwind Notes"
SHOP = "help@northwind.example"
REFERENCE = re.compile(r"LW-[0-9A-Z]{4}-[0-9A-Z]{4}")


# --- What every way has in common


def ask(visitor: Visitor, address: str) -> None:
    visitor.type(ADDRESS, address)
    visitor.answer("Send me a code", arrive_at=CODE)


def begin(stage: Stage, visitor: Visitor, address: str) -> None:
    """From the merchant's public address to where the code is typed."""
    visitor.go_to(stage.entry, arrive_at=ENTRY)
    ask(visitor, address)


def code_of(letter: Letter) -> str:
    """As a person reads it out of a mail: six digits, a space in the middle."""
    found = re.search(r"^ *(\d{3} \d{3})\s*$", letter.text, re.MULTILINE)
    assert found, letter.text
    return found[1]


def code_for(stage: Stage, address: str, *, number: int = 1) -> str:
    return code_of(stage.mail_to(address, CODE_MAIL, number=number))


def type_code(visitor: Visitor, code: str, *, arrive_at: str) -> None:
    visitor.type("Code", code)
    visitor.answer("Continue", arrive_at=arrive_at)


def enter(stage: Stage, visitor: Visitor, address: str, *, arrive_at: str = SURVEY) -> None:
    """From the merchant's public address into the flow."""
    begin(stage, visitor, address)
    type_code(visitor, code_for(stage, address), arrive_at=arrive_at)


def cancel_now(visitor: Visitor) -> str:
    """From any step to the end; the reference."""
    visitor.answer("Cancel now", arrive_at=CONFIRM)
    visitor.answer("Cancel my subscription", arrive_at=CANCELED)
    return reference(visitor)


def reference(visitor: Visitor) -> str:
    found = REFERENCE.search(visitor.page.get_by_role("main").inner_text())
    assert found
    return found[0]


def link_in(letter: Letter, part: str) -> str:
    """The first address in a mail that has this in it."""
    found = [line for line in letter.text.splitlines() if line.startswith("http") and part in line]
    assert found, letter.text
    return found[0]


# --- Those who can be found

Newcomer = Callable[[], Visitor]


def an_expired_link_leads_to_its_own_subscription(stage: Stage, newcomer: Newcomer) -> None:
    visitor = newcomer()
    link = stage.mint("cus_emil", subscriptionId="sub_emil_publish")
    stage.expire_links()
    visitor.go_to(link, arrive_at="This link has expired", status=410)
    ask(visitor, "emil@example.com")
    visitor.sees("emil@example.com")
    type_code(visitor, code_for(stage, "emil@example.com"), arrive_at=SURVEY)
    visitor.answer("Skip this", arrive_at=PAGES)
    visitor.answer("Continue", arrive_at=FEEDBACK)
    visitor.answer("Skip this", arrive_at=CONFIRM)
    visitor.sees("Northwind Publish")
    visitor.answer("Cancel my subscription", arrive_at=CANCELED)
    visitor.sees("A receipt is on its way to e•••@example.com.")
    named = reference(visitor)
    receipt = stage.mail_to("emil@example.com", named)
    assert receipt.summary.subject == f"{CANCELED} ({named})"
    assert [file.name for file in receipt.attachments] == [f"receipt-{named}.json"]
    visitor.follow("See the receipt", arrive_at=CANCELED)
    visitor.sees("Northwind Publish stays on until")
    assert link_in(receipt, "/cancel/receipts/") == visitor.page.url


def somebody_elses_link_says_nothing_about_me(stage: Stage, newcomer: Newcomer) -> None:
    visitor = newcomer()
    link = stage.mint("cus_emil", subscriptionId="sub_emil_publish")
    stage.expire_links()
    visitor.go_to(link, arrive_at="This link has expired", status=410)
    ask(visitor, "chen@example.com")
    type_code(visitor, code_for(stage, "chen@example.com"), arrive_at=SURVEY)
    visitor.answer("Cancel now", arrive_at=CONFIRM)
    visitor.sees("$290.00 a year")
    visitor.does_not_see("Northwind Publish")


def from_the_shops_help_page(stage: Stage, newcomer: Newcomer) -> None:
    visitor = newcomer()
    visitor.page.goto(f"{stage.url}/demo")
    visitor.page.get_by_role("contentinfo").get_by_role("link", name="Cancel without signing in").click()
    visitor.page.get_by_role("main").get_by_role("link", name="Cancel without signing in").click()
    visitor.arrive(ENTRY)
    visitor.press("Send me a code")
    visitor.is_told("Enter your email address")
    visitor.type(ADDRESS, "ben")
    visitor.press("Send me a code")
    visitor.is_told("Enter the whole email address")
    ask(visitor, "ben@example.com")
    type_code(visitor, code_for(stage, "ben@example.com"), arrive_at=SURVEY)
    visitor.answer("Cancel now", arrive_at=CONFIRM)


def one_of_two_subscriptions(stage: Stage, newcomer: Newcomer) -> None:
    stage.drop_account("cus_emil_work")
    visitor = newcomer()
    enter(stage, visitor, "emil@example.com", arrive_at=CHOOSE)
    visitor.press("Continue")
    visitor.is_told("Choose the subscription you want to cancel")
    visitor.choose("Northwind Publish")
    visitor.answer("Continue", arrive_at=SURVEY)
    cancel_now(visitor)
    visitor.sees("Northwind Publish stays on until")


def one_of_two_accounts(stage: Stage, newcomer: Newcomer) -> None:
    visitor = newcomer()
    enter(stage, visitor, "emil@example.com", arrive_at=CHOOSE)
    visitor.page.reload()
    visitor.arrive(CHOOSE)
    visitor.press("Continue")
    visitor.is_told("Choose the subscription you want to cancel")
    visitor.choose("Lite yearly")
    visitor.answer("Continue", arrive_at=SURVEY)
    visitor.answer("Cancel now", arrive_at=CONFIRM)
    visitor.sees("$60.00 a year")
    visitor.answer("Cancel my subscription", arrive_at=CANCELED)
    stage.mail_to("emil@example.com", reference(visitor))


# --- Codes that do not work


def five_wrong_codes_and_then_a_new_one(stage: Stage, newcomer: Newcomer) -> None:
    visitor = newcomer()
    begin(stage, visitor, "ada@example.com")
    right = code_for(stage, "ada@example.com")
    wrong = not_the(right.replace(" ", ""))
    visitor.press("Continue")
    visitor.is_told("Enter the code from the message")
    visitor.type("Code", "12345")
    visitor.press("Continue")
    visitor.is_told("Enter the 6 digits of the code")
    for left in ("4 tries", "3 tries", "2 tries", "1 try"):
        visitor.type("Code", wrong)
        visitor.press("Continue")
        visitor.is_told(f"This is not the code. You have {left} left")
        expect(visitor.page.get_by_label("Code", exact=True)).to_have_value(wrong)
    visitor.type("Code", wrong)
    visitor.answer("Continue", arrive_at="This code no longer works")
    visitor.sees("ada@example.com")
    stage.let_a_minute_pass()
    visitor.answer("Send me a new code", arrive_at=AGAIN)
    new = code_for(stage, "ada@example.com", number=2)
    if new != right:  # once in a million they are the same
        visitor.type("Code", right)
        visitor.press("Continue")
        visitor.is_told("You have 4 tries left")
    type_code(visitor, new, arrive_at=SURVEY)


def a_code_after_its_time(stage: Stage, newcomer: Newcomer) -> None:
    visitor = newcomer()
    begin(stage, visitor, "chen@example.com")
    late = code_for(stage, "chen@example.com")
    stage.expire_codes()
    stage.let_a_minute_pass()
    type_code(visitor, late, arrive_at="This code has expired")
    visitor.sees("chen@example.com")
    visitor.go_to(visitor.page.url, arrive_at="This code has expired")
    visitor.follow("Use another address", arrive_at=ENTRY)
    expect(visitor.page.get_by_label(ADDRESS)).to_have_value("chen@example.com")
    visitor.answer("Send me a code", arrive_at=CODE)
    type_code(visitor, code_for(stage, "chen@example.com", number=2), arrive_at=SURVEY)


def a_code_after_its_time_twice(stage: Stage, newcomer: Newcomer) -> None:
    visitor = newcomer()
    begin(stage, visitor, "chen@example.com")
    for number in (1, 2):
        late = code_for(stage, "chen@example.com", number=number)
        stage.expire_codes()
        stage.let_a_minute_pass()
        type_code(visitor, late, arrive_at="This code has expired")
        if number == 1:
            visitor.answer("Send me a new code", arrive_at=AGAIN)
    visitor.follow("Leave a request instead", arrive_at=REQUEST)
    expect(visitor.page.get_by_label(OWN_ADDRESS)).to_have_value("chen@example.com")
    visitor.answer("Send my request", arrive_at=LEFT)
    assert "chen@example.com" in stage.mail_to(SHOP, reference(visitor)).text


def one_more_message(stage: Stage, newcomer: Newcomer) -> None:
    visitor = newcomer()
    begin(stage, visitor, "dana@example.com")
    first = code_for(stage, "dana@example.com")
    visitor.answer("Send another message", arrive_at="Too soon for another message")
    visitor.sees("dana@example.com")
    stage.let_a_minute_pass()
    visitor.answer("Send another message", arrive_at=AGAIN)
    assert code_for(stage, "dana@example.com", number=2) == first
    type_code(visitor, first, arrive_at=SURVEY)


def too_many_wrong_codes(stage: Stage, newcomer: Newcomer) -> None:
    visitor = newcomer()
    begin(stage, visitor, "farah@example.com")
    for number in (1, 2):
        wrong = not_the(code_for(stage, "farah@example.com", number=number).replace(" ", ""))
        for left in ("4 tries", "3 tries", "2 tries", "1 try"):
            visitor.type("Code", wrong)
            visitor.press("Continue")
            visitor.is_told(f"You have {left} left")
        visitor.type("Code", wrong)
        visitor.answer("Continue", arrive_at="This code no longer works")
        stage.let_a_minute_pass()
        visitor.answer("Send me a new code", arrive_at=AGAIN)
    right = code_for(stage, "farah@example.com", number=3)
    type_code(visitor, right, arrive_at="Too many wrong codes")
    visitor.follow("Leave a request instead", arrive_at=REQUEST)
    expect(visitor.page.get_by_label(OWN_ADDRESS)).to_have_value("farah@example.com")


def another_browser_with_the_first_ones_code(stage: Stage, newcomer: Newcomer) -> None:
    first, second = newcomer(), newcomer()
    begin(stage, first, "ben@example.com")
    code = code_for(stage, "ben@example.com")
    second.go_to(first.page.url, arrive_at=ELSEWHERE, status=403)
    second.does_not_see("ben@example.com")
    second.follow("Start again", arrive_at=ENTRY)
    expect(second.page.get_by_label(ADDRESS)).to_have_value("")
    stage.let_a_minute_pass()
    ask(second, "ben@example.com")
    own = code_for(stage, "ben@example.com", number=2)
    if own != code:  # once in a million they are the same
        second.type("Code", code)
        second.press("Continue")
        second.is_told("This is not the code. You have 4 tries left")
    type_code(first, code, arrive_at=SURVEY)
    second.go_to(first.page.url, arrive_at=ELSEWHERE, status=403)


# --- Those who cannot be found, or not be asked


def an_unknown_address_gets_the_same_page_and_a_mail_that_says_so(stage: Stage, newcomer: Newcomer) -> None:
    known, unknown = newcomer(), newcomer()
    texts = []
    for visitor, address in ((known, "ben@example.com"), (unknown, STRANGER)):
        begin(stage, visitor, address)
        texts.append(visitor.page.get_by_role("main").inner_text().replace(address, "…"))
    assert texts[0] == texts[1]
    letter = stage.mail_to(STRANGER)
    assert letter.summary.subject == "No subscription under this address"
    assert f"no active subscription under {STRANGER}" in " ".join(letter.text.split())
    assert link_in(letter, "/cancel/") == stage.entry
    unknown.follow("Use another address", arrive_at=ENTRY)
    expect(unknown.page.get_by_label(ADDRESS)).to_have_value(STRANGER)
    ask(unknown, "ada@example.com")
    type_code(unknown, code_for(stage, "ada@example.com"), arrive_at=SURVEY)
    assert not stage.mails_to(STRANGER, CODE_MAIL)


def a_request_where_nobody_can_be_asked_for_a_code(stage: Stage, newcomer: Newcomer) -> None:
    stage.switch_entry_off()
    note = "It was under <b>my maiden name</b>.\nPlease cancel it."
    visitor = newcomer()
    visitor.go_to(stage.entry, arrive_at="How to cancel with Northwind Notes")
    mailto = visitor.page.get_by_role("main").get_by_role("link", name=SHOP).first
    expect(mailto).to_have_attribute("href", f"mailto:{SHOP}")
    visitor.page.get_by_label("Your message (optional)").fill(note)
    visitor.press("Send my request")
    visitor.is_told("Enter your email address")
    expect(visitor.page.get_by_label("Your message (optional)")).to_have_value(note)
    visitor.type(OWN_ADDRESS, "gwen@example.com")
    visitor.answer("Send my request", arrive_at=LEFT)
    named = reference(visitor)
    visitor.page.reload()
    visitor.arrive(LEFT)
    visitor.sees(named)
    told = stage.mail_to(SHOP, named)
    assert told.summary.subject == f"Cancellation to carry out ({named})"
    assert "my maiden name" in told.text
    assert "gwen@example.com" in told.text
    assert "not proven" in " ".join(told.text.split())
    assert told.html
    assert "<b>my maiden name" not in told.html
    proof = stage.mail_to("gwen@example.com", named)
    assert proof.summary.subject == f"We have your cancellation request ({named})"
    assert "maiden" not in proof.text + (proof.html or "")


# --- After the end


def taken_back_in_another_browser(stage: Stage, newcomer: Newcomer) -> None:
    visitor, other, late = newcomer(), newcomer(), newcomer()
    enter(stage, visitor, "ben@example.com")
    receipt = stage.mail_to("ben@example.com", cancel_now(visitor))
    undo = link_in(receipt, "#undo")
    late.go_to(undo, arrive_at=CANCELED)
    other.go_to(undo, arrive_at=CANCELED)
    assert stage.changes("sub_ben_pro") == ["cancel"]
    other.page.get_by_role("button", name="Keep my subscription after all").dblclick()
    other.arrive(GOES_ON)
    second = stage.mail_to("ben@example.com", GOES_ON)
    assert len(stage.mails_to("ben@example.com", GOES_ON)) == 1
    late.press("Keep my subscription after all")
    late.sees("This cancellation was taken back later.")
    other.go_to(undo, arrive_at=CANCELED)
    other.sees("This cancellation was taken back later.")
    expect(other.page.get_by_role("button", name="Keep my subscription after all")).to_have_count(0)
    other.go_to(link_in(second, "/cancel/receipts/"), arrive_at=GOES_ON)


@dataclass(frozen=True)
class Way:
    """`changes`: what billing's record says afterwards, by subscription. `has_own_screens`: worth another look."""

    walk: Callable[[Stage, Newcomer], None]
    changes: dict[str, list[str]] = field(default_factory=dict)
    has_own_screens: bool = True


WAYS = (
    Way(
        an_expired_link_leads_to_its_own_subscription,
        {"sub_emil_publish": ["cancel"], "sub_emil_pro": []},
    ),
    Way(somebody_elses_link_says_nothing_about_me, has_own_screens=False),
    Way(from_the_shops_help_page),
    Way(
        one_of_two_subscriptions,
        {"sub_emil_publish": ["cancel"], "sub_emil_pro": []},
        has_own_screens=False,
    ),
    Way(one_of_two_accounts, {"sub_emil_work_lite": ["cancel"], "sub_emil_pro": []}),
    Way(five_wrong_codes_and_then_a_new_one),
    Way(a_code_after_its_time, has_own_screens=False),
    Way(a_code_after_its_time_twice),
    Way(one_more_message),
    Way(too_many_wrong_codes),
    Way(another_browser_with_the_first_ones_code),
    Way(an_unknown_address_gets_the_same_page_and_a_mail_that_says_so),
    Way(a_request_where_nobody_can_be_asked_for_a_code),
    Way(taken_back_in_another_browser, {"sub_ben_pro": ["cancel", "uncancel"]}),
)
