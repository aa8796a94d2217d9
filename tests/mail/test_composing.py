"""What a finished message is made of: headers that nothing breaks out of, two bodies that say the same, files."""

import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.receipt import ReceiptStatus, ReceiptType
from app.mail.composing import Undeliverable, compose
from app.mail.kinds import MailKind
from app.mail.typeset import MEASURE
from tests.mail.conftest import CODE
from tests.support.gallery import renderer
from tests.support.html import parse
from tests.support.mail_gallery import (
    FACTS,
    GALLERY,
    HALF,
    NOW,
    REMINDER,
    STATUSES,
    UNVERIFIED,
    Shown,
    content,
    environment,
    receipt,
)

HEADERS = {
    "Subject",
    "From",
    "To",
    "Reply-To",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Content-Language",
    "Content-Type",
    "MIME-Version",
}
HOSTILE = [
    "Evil\r\nBcc: all@example.com",
    "Evil\nBcc: all@example.com",
    "Evil\r\n\r\n<script>alert(1)</script>",
    "Evil\x00\x1b[31m\x85Bcc: all@example.com",
    "Evil\u2028Bcc: all@example.com",
    '"><img src=https://evil.example/p.gif>',
    "=?utf-8?q?Bcc=3A?= all@example.com",
    '"Support" <evil@example.com>, all@example.com',
    "\u202eelpmaxe@live\u202c",
    "\ud800 half of a pair",
    "{{ 7 * 7 }} {% raw %} {brand.__class__}",
    "x" * 100_000,
    "\U0001f98a " * 500,
]


def wire(shown: Shown) -> EmailMessage:
    """The message as whoever receives it reads it: through the wire's bytes."""
    raw = shown.composed().message.as_bytes(policy=policy.SMTP)
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998  # RFC 5322 §2.1.1
    message = BytesParser(policy=policy.default).parsebytes(raw)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def body(message: EmailMessage, subtype: str) -> str:
    found = message.get_body((subtype,))
    assert found is not None
    return str(found.get_content())


def mail(kind: MailKind = MailKind.CODE, data: Any = CODE, **changes: Any) -> Shown:
    return Shown("mail", kind, data, **changes)


# --- Headers ------------------------------------------------------------------------------------------------------


def test_a_mail_names_its_sender_its_reader_its_time_and_that_a_machine_wrote_it() -> None:
    message = wire(mail())
    assert message["From"] == "Northwind Notes <leave@northwind.example>"
    assert message["To"] == "ben@example.com"
    assert message["Reply-To"] == "help@northwind.example"
    assert message["Subject"] == "Your code for Northwind Notes"
    assert message["Message-ID"] == "<mail_5e2d8c31f09ab7d466120c9e@northwind.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "en"
    assert parsedate_to_datetime(message["Date"]) == NOW
    assert set(message.keys()) == HEADERS
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_who_has_no_address_or_name_of_their_own_sends_by_the_installations_and_the_brands() -> None:
    shown = mail(environment={"sender_address": None})
    assert wire(shown)["From"] == "Northwind Notes <leave@leavewell.example>"
    assert shown.composed().sender == "leave@leavewell.example"
    assert wire(shown)["Message-ID"].endswith("@leavewell.example>")
    named = mail(environment={"sender_name": "The Northwind crew"})
    assert wire(named)["From"] == "The Northwind crew <leave@northwind.example>"
    assert named.composed().sender == "leave@northwind.example"


@pytest.mark.parametrize("contact", [None, "", "not an address", "ben@example.com"])
def test_without_a_contact_address_there_is_no_other_to_reply_to(contact: str | None) -> None:
    assert wire(mail(environment={"contact_email": contact}))["Reply-To"] is None


def test_a_reply_to_a_request_goes_to_whoever_left_it() -> None:
    shown = GALLERY["manual-notice-unverified"]
    assert wire(shown)["To"] == "help@northwind.example"
    assert wire(shown)["Reply-To"] == "ben@example.com"
    assert wire(GALLERY["manual-notice"])["Reply-To"] is None


def test_a_mail_made_again_has_the_same_message_id() -> None:
    once, again = (
        compose(
            renderer(),
            environment=environment(),
            brand_name="Northwind Notes",
            mail_id="mail_1",
            kind=MailKind.CODE,
            recipient="ben@example.com",
            locale="en",
            data=CODE,
            sender_default="leave@leavewell.example",
            now=now,
        ).message
        for now in (NOW, datetime(2026, 11, 24, tzinfo=UTC))
    )
    assert once["Message-ID"] == again["Message-ID"]
    assert once["Date"] != again["Date"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("where", ["brand", "sender_name", "subject", "plan", "note"])
def test_no_name_no_subject_and_no_note_breaks_out_of_its_place(where: str, text: str) -> None:
    shown = {
        "brand": mail(MailKind.PAUSE_REMINDER, REMINDER, brand=text),
        "sender_name": mail(environment={"sender_name": text}),
        "subject": mail(environment={"mail_subjects": {"code": text}}),
        "plan": receipt("", content(plan=text, offer={**HALF, "headline": text, "body": text})),
        "note": mail(MailKind.MANUAL_NOTICE, {**UNVERIFIED, "note": text[:2000], "reasons": [text]}),
    }[where]
    message = wire(shown)
    assert set(message.keys()) <= HEADERS
    assert [str(address.addr_spec) for address in message["From"].addresses] == ["leave@northwind.example"]
    assert [str(address.addr_spec) for address in message["To"].addresses] == ["ben@example.com"]
    assert len(message["Subject"]) <= 150
    html = body(message, "html")
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html + body(message, "plain") + str(message["From"]) + str(message["Subject"])
    assert "49" not in body(message, "plain").partition("\n")[0]


def test_who_answers_an_address_that_nobody_proved_is_told_whom_to_write_to() -> None:
    left, proven = UNVERIFIED, {**UNVERIFIED, "reasons": ["unpaid"], "customer_id": "cus_ben"}
    for data, is_warned in ((left, True), (proven, False)):
        message = wire(mail(MailKind.MANUAL_NOTICE, data))
        for kind in ("plain", "html"):
            said = " ".join(body(message, kind).split())
            assert "A reply to this mail goes to ben@example.com" in said
            assert ("Write to the one in your billing system" in said) is is_warned


@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_names_are_given_a_mail_is_one_mail_to_one_address(brand: str, subject: str) -> None:
    message = wire(mail(brand=brand or "x", environment={"mail_subjects": {"code": subject}}))
    assert set(message.keys()) <= HEADERS
    assert [str(address.addr_spec) for address in message["To"].addresses] == ["ben@example.com"]
    assert [str(address.addr_spec) for address in message["From"].addresses] == ["leave@northwind.example"]


@pytest.mark.parametrize(
    "recipient", ["", "ben", "ben@example.com\nBcc: a@b.example", "a@b.example, c@d.example", "<a@b.example>"]
)
def test_what_is_no_address_is_not_written_to(recipient: str) -> None:
    with pytest.raises(Undeliverable):
        mail(recipient=recipient).composed()


def test_names_and_addresses_of_every_script_arrive() -> None:
    message = wire(mail(brand="Müller & Söhne, „Notizen“", recipient="ben@bücher.example"))
    assert message["From"].addresses[0].display_name == "Müller & Söhne, „Notizen“"
    assert message["To"] == "ben@xn--bcher-kva.example"
    assert message["Subject"] == "Your code for Müller & Söhne, „Notizen“"
    assert "Müller & Söhne" in body(message, "plain")
    raw = mail(recipient="jörg@例え.example").composed().message.as_bytes(policy=policy.SMTPUTF8)
    assert "To: jörg@xn--r8jz45g.example" in raw.decode()


# --- Subjects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("receipt-undo", "Your subscription is canceled (LW-3F0C-B51D)"),
        ("receipt-cancellation-requested", "We have your cancellation (LW-3F0C-B51D)"),
        ("receipt-pause-confirmed", "Your subscription is paused (LW-3F0C-B51D)"),
        ("pause-reminder", "Your subscription starts again on 24 November 2026"),
        ("pause-reminder-paid", "Your break ends on 24 November 2026"),
        ("receipt-break-confirmed", "Your break has begun (LW-3F0C-B51D)"),
        ("manual-notice", "Cancellation to carry out (LW-77AA-0B1C)"),
        ("request-received", "We have your cancellation request (LW-77AA-0B1C)"),
        ("not-found", "No subscription under this address"),
        ("test", "A test mail from Northwind Notes"),
    ],
)
def test_a_subject_is_short_and_says_what_it_is_about(name: str, subject: str) -> None:
    assert wire(GALLERY[name])["Subject"] == subject


def test_who_has_paid_already_is_told_of_no_charge_at_the_end_of_a_break() -> None:
    said = " ".join(GALLERY["pause-reminder-paid"].text().split())
    assert "Nothing is charged then: your time is paid for until 17 August 2027." in said
    assert "is charged." not in said
    assert "$290.00 on 17 August 2027" in said


def test_the_receipt_of_a_break_names_both_renewals() -> None:
    said = " ".join(GALLERY["receipt-break-confirmed"].text().split())
    assert "17 August 2027 instead of 17 June 2027" in said
    assert "Your renewal has moved to Tuesday, 17 August 2027, and nothing is charged until then." in said


def test_no_code_stands_in_a_subject_that_lock_screens_and_servers_show() -> None:
    assert not re.search(r"\d", str(wire(mail())["Subject"]))


def test_a_merchant_says_it_in_their_own_words() -> None:
    subjects = {"receipt": "{brand}: {plan} ends on {day} [{reference}]"}
    environment = {"mail_subjects": subjects}
    shown = receipt("", content(facts={"endsAt": "2026-12-01T00:00:00Z"}), environment=environment)
    assert wire(shown)["Subject"] == "Northwind Notes: Pro ends on 1 December 2026 [LW-3F0C-B51D]"
    without_day = receipt("", content("uncancel"), environment=environment)
    assert wire(without_day)["Subject"] == "Your subscription goes on (LW-3F0C-B51D)"
    assert wire(mail(environment=environment))["Subject"] == "Your code for Northwind Notes"


# --- Bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GALLERY)
def test_a_mail_needs_nothing_from_anywhere(name: str) -> None:
    html = GALLERY[name].html()
    assert not re.search(
        r"<(img|link|script|iframe|object|embed|video|form|input)\b|@import|url\(|src=", html, re.I
    )
    for link in parse(html).all("a"):
        assert re.match(r"https://[a-z.]*northwind\.example/", link["href"] or ""), link
    assert "http://" not in html


@pytest.mark.parametrize("name", GALLERY)
def test_text_and_html_say_the_same(name: str) -> None:
    text, html = GALLERY[name].text(), GALLERY[name].html()
    page = parse(html)
    (h1,) = page.all("h1")
    flat = " ".join(text.split())
    assert " ".join(h1.text.split()) in flat
    for cell in [*page.all("th"), *(cell for row in page.all("tr") for cell in row.all("strong"))]:
        assert " ".join(cell.text.split()) in flat, cell.text
    for link in page.all("a"):
        assert link["href"] in text


@pytest.mark.parametrize("name", GALLERY)
def test_plain_text_is_set_for_its_readers(name: str) -> None:
    text = GALLERY[name].text()
    assert "\n\n\n" not in text
    assert text.endswith("\n")
    assert "&amp;" not in text
    assert "&#" not in text
    assert "{" not in text
    assert "None" not in text
    assert text.count("\n-- \n") == 1, "the footer is a signature, which readers set back"
    for line in text.splitlines():
        assert len(line) <= MEASURE or " " not in line.strip(), line
        assert line == "-- " or line == line.rstrip(), repr(line)


@pytest.mark.parametrize("name", GALLERY)
def test_a_reader_is_told_to_whom_it_was_sent_and_by_whom(name: str) -> None:
    shown = GALLERY[name]
    flat = " ".join(shown.text().split())
    assert f"Sent to {shown.recipient}" in flat
    assert shown.brand in flat


def test_every_kind_of_mail_is_in_the_gallery() -> None:
    assert {shown.kind for shown in GALLERY.values()} == set(MailKind)
    assert set(FACTS) == set(ReceiptType)
    assert set(STATUSES) == set(ReceiptStatus)


def test_a_code_can_be_read_in_groups_and_copied_in_one_piece() -> None:
    shown = GALLERY["code"]
    assert "    048 213\n" in shown.text()
    code = next(p for p in parse(shown.html()).all("p") if "code" in (p["class"] or ""))
    assert code.text.strip() == "048213"
    assert "10 minutes" in shown.text()


def test_a_code_mail_does_not_say_what_one_has_there() -> None:
    for word in ("subscription", "plan", "customer", "Pro"):
        assert word not in GALLERY["code"].text()


@pytest.mark.parametrize(("kind", "status"), list(product(FACTS, STATUSES)))
def test_a_receipt_says_in_words_what_was_asked_and_what_came_of_it(kind: str, status: str) -> None:
    text = GALLERY[f"receipt-{kind}-{status}"].text()
    assert "LW-3F0C-B51D" in text
    assert "21 November 2026, 09:58 (Copenhagen)" in text
    assert "21 November 2026, 08:58 UTC" in text
    assert ("Done " in text) == (status == "confirmed")
    has_ended = "is canceled" in text.partition("\n-- \n")[0]
    assert has_ended == (kind == "cancellation" and status == "confirmed")


@pytest.mark.parametrize("kind", FACTS)
def test_a_receipt_of_what_came_to_nothing_promises_nothing(kind: str) -> None:
    said = GALLERY[f"receipt-{kind}-failed"].text().partition("What was offered")[0]
    assert "$" not in said
    assert not re.search(r"202[67]", said.replace("21 November 2026", ""))


def test_a_receipt_has_what_was_promised() -> None:
    text = " ".join(GALLERY["receipt-discount-confirmed"].text().split())
    for fact in (
        "Price until now $29.00 a month",
        "Price $14.50 a month",
        "Next charge $14.50 on 1 December 2026",
        "Back to $29.00 from 1 March 2027",
        "> Half price for three months?",
        "Pro at half price & with everything in it.",
    ):
        assert fact in text


def test_a_receipt_names_days_by_the_customers_calendar_everywhere() -> None:
    text = " ".join(GALLERY["receipt-american"].text().split())
    assert "until Monday, November 30, 2026" in text
    assert "November 30, 2026, 7:00 PM (New York)" in text
    assert "December 1, 2026, 12:00 AM UTC" in text


def test_a_receipt_carries_its_signed_file() -> None:
    message = wire(GALLERY["receipt-undo"])
    (file,) = message.iter_attachments()
    assert file.get_filename() == "receipt-LW-3F0C-B51D.json"
    assert file.get_content_type() == "application/json"
    assert file.get_content() == b'{"receipt": {}}'


def test_a_receipt_without_a_way_back_offers_none() -> None:
    assert "Undo" not in GALLERY["receipt-ended"].text()
    assert "Undo the cancellation:\n" in GALLERY["receipt-undo"].text()


def test_what_a_stranger_wrote_is_quoted_to_the_merchant_and_to_nobody_else() -> None:
    text = GALLERY["manual-notice-unverified"].text()
    assert "> I lost access to my account <b>weeks</b> ago & nobody answers." in text
    shown = mail(MailKind.REQUEST_RECEIVED, {**UNVERIFIED, "page_url": None})
    for said in (shown.text(), shown.html()):
        assert "lost access" not in said


def test_a_merchant_is_told_that_an_address_is_not_proven() -> None:
    assert "not proven" in GALLERY["manual-notice-unverified"].text()
    assert "not proven" not in GALLERY["manual-notice"].text()
    assert "The subscription was paused by someone else." in GALLERY["manual-notice"].text()


def test_test_mode_is_said_in_every_mail() -> None:
    assert "(TEST)" in GALLERY["code-test"].text()
    assert "nothing is really charged" in GALLERY["code-test"].html()
    assert "TEST" not in GALLERY["code"].text() + GALLERY["code"].html()


def test_colours_come_from_the_theme_and_one_that_is_broken_costs_only_those() -> None:
    assert "#1f6655" in GALLERY["code"].html()
    broken = mail(environment={"theme": {"brand": "red;}</style><script>"}}).html()
    assert "<script" not in broken
    assert "#3b5bdb" in broken


def test_a_locale_without_a_catalogue_gets_english_with_its_own_figures() -> None:
    shown = receipt("", content("discount", facts=FACTS["discount"]["facts"]), locale="de")
    assert 'lang="en"' in shown.html()
    assert "14,50" in shown.text()
