"""The page client itself: it must see what is wrong, and send what a browser would."""

import httpx
import pytest

from tests.support.pages import Page, check, fill

POLICY = (
    "default-src 'none'; style-src 'nonce-n'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "content-type": "text/html; charset=utf-8",
}
GOOD = """<!doctype html><html lang="en"><head><title>T</title><meta name="viewport" content="x">
<style nonce="n">b{}</style></head><body><main><h1>H</h1>%s</main></body></html>"""


def make_page(body: str = "", document: str = GOOD, **headers: str) -> Page:
    sent = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = httpx.Request("GET", "http://leavewell.test/x")
    return Page(httpx.Response(200, html=document % body, headers=sent, request=request))


def test_a_good_page_passes() -> None:
    check(make_page('<form method="post"><input type="hidden" name="csrf_token" value="t"></form>'))
    check(make_page('<form method="post" action="/cancel/cl_a"><button>Go</button></form>'))
    check(
        make_page('<label>Mail <input name="a"></label><label for="b">B</label><textarea id="b"></textarea>')
    )


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<h1>again</h1>", "2 h1"),
        ('<p id="a"></p><p id="a"></p>', "'a' is there 2 times"),
        ('<input name="a">', "no label for input 'a'"),
        ('<fieldset><input type="hidden"></fieldset>', "without a legend"),
        ("<button></button>", "button without words"),
        ('<label for="gone">x</label>', "'gone', which is not there"),
        ('<input aria-label="a" aria-describedby="gone">', "'gone', which is not there"),
        ('<form method="post" action="/cancel/s/cs_1"></form>', "no csrf_token"),
        ('<form action="https://evil.example/"></form>', None),
        ('<form method="post" action="https://evil.example/"></form>', "goes to evil.example"),
        ("<style>b{}</style>", "<style> that the CSP blocks"),
        ('<script nonce="other"></script>', "<script> that the CSP blocks"),
        ('<p onclick="x()"></p>', "inline onclick"),
        ('<p style="color:red"></p>', "style attribute"),
        ('<img src="https://cdn.example/x.png" alt="">', "third party"),
        ('<img src="/x.png">', "image without alt"),
    ],
)
def test_a_fault_is_seen(body: str, fault: str | None) -> None:
    page = make_page(body)
    if fault is None:
        check(page)
    else:
        with pytest.raises(AssertionError, match=fault):
            check(page)


@pytest.mark.parametrize(
    "headers",
    [
        {"content_security_policy": ""},
        {"content_security_policy": POLICY + "; script-src 'unsafe-inline'"},
        {"referrer_policy": "origin"},
        {"x_content_type_options": ""},
    ],
)
def test_a_missing_header_is_seen(headers: dict[str, str]) -> None:
    with pytest.raises(AssertionError):
        check(make_page(**headers))


@pytest.mark.parametrize("broken", ["<p><b></p></b>", "<div>", "</i>", '<a href="x" href="y">z</a>'])
def test_html_that_a_browser_would_have_to_repair_is_refused(broken: str) -> None:
    with pytest.raises(AssertionError):
        make_page(broken)


FORM = """<form id="step" method="post"><input type="hidden" name="csrf_token" value="t">
<input aria-label="n" name="note" value="old"><input aria-label="r" type="radio" name="reason" value="a" checked>
<input aria-label="r" type="radio" name="reason" value="b"><input aria-label="o" type="checkbox" name="ok">
<textarea aria-label="x" name="text">
one
two</textarea><input aria-label="d" name="off" disabled><select aria-label="s" name="s"><option value="1">1</option>
<option value="2" selected>2</option></select></form><input aria-label="e" name="outside" form="step" value="in">"""


def test_an_untouched_form_sends_what_a_browser_sends() -> None:
    page = make_page(FORM)
    sent = fill(page.root, page.by_id("step"), {})
    assert sent == [
        ("csrf_token", "t"),
        ("note", "old"),
        ("reason", "a"),
        ("text", "one\r\ntwo"),
        ("s", "2"),
        ("outside", "in"),
    ]


def test_fields_are_filled_in_by_name() -> None:
    page = make_page(FORM)
    sent = dict(fill(page.root, page.by_id("step"), {"note": "new", "reason": "b", "ok": True, "text": "x"}))
    assert (sent["note"], sent["reason"], sent["ok"], sent["text"]) == ("new", "b", "on", "x")


def test_a_choice_or_a_field_that_is_not_there_cannot_be_made() -> None:
    page = make_page(FORM)
    with pytest.raises(AssertionError, match="offers"):
        fill(page.root, page.by_id("step"), {"reason": "c"})
    with pytest.raises(AssertionError, match="no field"):
        fill(page.root, page.by_id("step"), {"gone": "x"})


def test_a_page_tells_what_its_fields_hold() -> None:
    page = make_page(FORM)
    assert page.value("reason") == "a"
    assert page.value("ok") == []
