"""Every screen of the gallery, read as a browser without scripts reads it."""

import gzip
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from markupsafe import Markup

from app.cancel.screens import Confirm, Facts
from app.web.copy import catalogues, placeholders
from app.web.render import CONTENT_SECURITY_POLICY, PAGE_HEADERS
from tests.support.gallery import GALLERY, NONCE, WORDING, Shown, day, render
from tests.support.html import parse
from tests.support.pages import Page, check

FRAGMENT = "cancel/_fragment.html"
STATIC = Path("static")
every_screen = pytest.mark.parametrize("shown", GALLERY.values(), ids=GALLERY.keys())


def arrived(shown: Shown, template: str = "cancel/show.html") -> Page:
    headers = {**PAGE_HEADERS, "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(nonce=NONCE)}
    request = httpx.Request("GET", f"http://leavewell.test{shown.frame.action or '/cancel/x'}")
    return Page(httpx.Response(200, text=render(shown, template), headers=headers, request=request))


@every_screen
def test_every_screen_is_a_sound_page_whole_and_in_part(shown: Shown) -> None:
    whole, part = arrived(shown), arrived(shown, FRAGMENT)
    check(whole)
    check(part, partial=True)
    assert whole.title == part.title
    assert whole.h1 == part.h1 == shown.screen.title
    assert whole.h1 in whole.title
    assert whole.buttons == part.buttons


@every_screen
def test_focus_can_be_led_to_the_heading(shown: Shown) -> None:
    assert arrived(shown).root.all("h1")[0]["tabindex"] == "-1"


@pytest.mark.parametrize(
    "shown",
    [s for s in GALLERY.values() if s.frame.errors],
    ids=[n for n, s in GALLERY.items() if s.frame.errors],
)
def test_mistakes_come_first_and_lead_to_their_fields(shown: Shown) -> None:
    page = arrived(shown)
    assert page.title.startswith("Error: ")
    first, *_ = page.root.all("main")[0].all("h1", "h2")
    assert first.text == "There is a problem"
    summary = next(element for element in page.root if element["role"] == "alert")
    links = {link["href"].removeprefix("#"): link.text for link in summary.all("a")}
    assert links == {error.field: error.message for error in shown.frame.errors}
    for field, message in links.items():
        control = page.by_id(field)
        assert control.tag in ("input", "textarea")
        assert control["aria-invalid"] == "true"
        assert message in [page.by_id(name).text for name in control["aria-describedby"].split()]


@pytest.mark.parametrize("name", [name for name, shown in GALLERY.items() if shown.frame.exit])
def test_the_way_out_takes_along_what_was_typed(name: str) -> None:
    page = arrived(GALLERY[name])
    leaving = [button for button in page.root.all("button") if button["value"] == "cancel_now"]
    assert [button.text for button in leaving] == ["Cancel now"]
    assert leaving[0]["form"] == page.by_id("step")["id"]
    assert leaving[0].has("formnovalidate")


def test_what_was_typed_and_chosen_is_there_again() -> None:
    page = arrived(GALLERY["survey-text-open"])
    assert page.value("reason") == "unused"
    assert page.value("follow_up--unused") == "A <b>widget</b> 🙂"
    assert arrived(GALLERY["offer-pause-date-error"]).value("option") == "2027-08-01"


def test_nothing_is_chosen_for_the_customer() -> None:
    for name in ("survey", "offer-pause", "offer-plan", "choose", "confirm-full"):
        assert not [field for field in arrived(GALLERY[name]).root.all("input") if field.has("checked")], name


def test_offers_say_yes_and_no_with_equal_weight() -> None:
    for name, shown in GALLERY.items():
        if name.startswith("offer-"):
            buttons = arrived(shown).root.all("form")[0].all("button")
            assert [button["value"] for button in buttons] == ["accept", "decline"], name
            assert {button["class"] for button in buttons} == {""}, name


def test_prices_and_dates_are_words() -> None:
    text = arrived(GALLERY["offer-discount"]).text
    assert "50% off for 3 months" in text
    assert "Price now: $29.00 With the offer: $14.50 a month" in text
    assert "Next charge $14.50 on 1 December 2026" in text
    assert "Back to $29.00 from 1 March 2027" in text
    assert "Tuesday, 1 December 2026" in arrived(GALLERY["confirm-period_end"]).text


def test_a_summary_without_rows_is_no_empty_box() -> None:
    assert not arrived(GALLERY["result-support_requested"]).root.all("dl")


def test_what_is_not_known_by_name_is_still_a_sentence() -> None:
    said = WORDING.result("canceled", Facts(ends_at=day(12, 1)))
    assert said.lead.startswith("Your subscription stays on until Tuesday, 1 December 2026.")


def test_the_confirm_step_says_what_ends_when_beside_the_merchants_own_words() -> None:
    shown = GALLERY["confirm-period_end"]
    assert isinstance(shown.screen, Confirm)
    own = replace(shown.screen, body=Markup("<p>Thank you for three good years.</p>"))
    text = arrived(replace(shown, screen=own)).text
    assert "After that nothing is charged." in text
    assert "Thank you for three good years." in text


def test_a_request_is_never_called_a_cancellation() -> None:
    for name in ("result-canceled_requested", "result-manual_cancellation_requested", "confirm-request"):
        assert "is canceled" not in arrived(GALLERY[name]).text, name


def test_the_landing_tells_a_scanner_nothing() -> None:
    page = arrived(GALLERY["landing"])
    assert page.buttons == ["Open the cancel page"]
    assert "@" not in page.text
    assert "csrf_token" not in page.response.text


def test_a_forged_link_names_no_company() -> None:
    page = arrived(GALLERY["notice-nobody"])
    assert "Northwind" not in page.response.text
    assert not page.links


def test_a_working_page_looks_again_without_scripts() -> None:
    page = arrived(GALLERY["working-cancel"])
    refresh = page.root.all("noscript")[0].all("meta")[0]
    assert (refresh["http-equiv"], refresh["content"]) == ("refresh", "5")
    assert "Check again" in page.links


def test_no_screen_claims_that_a_mail_was_sent() -> None:
    """The worker sends it later: it is on its way at best."""
    mails = ("mail.", "receipt.")
    said = [(key, text) for key, text in catalogues()["en"].items() if not key.startswith(mails)]
    assert not [
        key
        for key, text in said
        if isinstance(text, str)
        and re.search(
            r"\b(we (have )?(sent|emailed)|(mail|message|code) (was|has been) sent|inbox)\b",
            text,
            re.IGNORECASE,
        )
    ]


def test_plural_forms_name_the_same_arguments() -> None:
    for key, entry in catalogues()["en"].items():
        if not isinstance(entry, str):
            assert {placeholders(form) | {"count"} for form in entry.values()} == {
                placeholders(entry["other"]) | {"count"}
            }, key


def test_templates_hold_no_words_of_their_own() -> None:
    for path in (Path("templates") / "cancel").rglob("*.html"):
        plain = re.sub(r"{[{%#].*?[}%#]}", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert not re.search(r"[A-Za-z]", parse(f"<div>{re.sub(r'<[^>]*>', '', plain)}</div>").text), path


def test_the_first_screen_is_small() -> None:
    for name in ("survey", "offer-discount", "confirm-full", "choose", "landing", "entry", "code-sent"):
        page = len(gzip.compress(render(GALLERY[name]).encode()))
        scripts = sum(
            len(gzip.compress((STATIC / script).read_bytes()))
            for script in ("vendor/htmx.min.js", "js/hosted.js")
        )
        assert page <= 10 * 1024, name
        assert page + scripts <= 25 * 1024, name
