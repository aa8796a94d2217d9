"""Every field of the forms outside of sessions with what nobody should send: the right status, nothing lost, nothing
written."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import httpx
import pytest

from app.web.security import BROWSER_COOKIE, browser_cookie, new_browser
from tests.cancel.test_bad_input import EMOJI, FORM, SCRIPT
from tests.support.codes import ask
from tests.support.desk import Desk
from tests.support.pages import FROM_US, Page


@dataclass
class Filled:
    """One form of a page: where it goes, with what, and which fields a person types into."""

    desk: Desk
    page: Page
    fields: dict[str, str]
    typed: tuple[str, ...]

    @property
    def path(self) -> str:
        return self.page.by_id("step")["action"]

    async def send(self, **changes: str) -> httpx.Response:
        fields = {"csrf_token": str(self.page.value("csrf_token")), **self.fields, **changes}
        return await self.send_raw(urlencode(fields, errors="surrogatepass").encode())

    async def send_raw(self, body: bytes, kind: str = FORM, **headers: str) -> httpx.Response:
        sent = {**FROM_US, **({"Content-Type": kind} if kind else {}), **headers}
        return await self.desk.visitor.client.post(
            self.path, content=body, headers=sent, follow_redirects=False
        )


@pytest.fixture(params=["entry", "code", "request"])
async def form(request: pytest.FixtureRequest, mail_desk: Desk) -> AsyncIterator[Filled]:
    desk = mail_desk
    if request.param == "entry":
        page = await desk.visitor.open(f"/cancel/{desk.merchant.app_id}")
        yield Filled(desk, page, {"email": "ada@example.com", "action": "send"}, ("email",))
    elif request.param == "code":
        yield Filled(desk, await ask(desk), {"code": "123456", "action": "check"}, ("code",))
    else:
        page = await desk.visitor.open(f"/cancel/r/{desk.merchant.app_id}")
        yield Filled(desk, page, {"email": "ada@example.com", "note": "x"}, ("email", "note"))


async def test_text_that_does_not_fit_is_refused_at_its_field_and_kept(form: Filled) -> None:
    before = form.desk.everything()
    for field in form.typed:
        for value in ("x" * 2_001, "x" * 10_000, "\N{GRINNING FACE}" * 10_000):
            answer = await form.send(**{field: value})
            assert answer.status_code == 422
            wrong = Page(answer)
            assert wrong.by_id(f"{field}-error").text
            assert wrong.value(field) == value
    assert form.desk.everything() == before


async def test_what_looks_like_markup_stays_text(form: Filled) -> None:
    for field in form.typed:
        for value in (SCRIPT, EMOJI, "&amp;<b>", "{{ 7*7 }}", "line\r\nline", "\x85\u2028\ufeff"):
            answer = await form.send(**{field: value})
            assert answer.status_code in (303, 422, 429), (field, value)
            assert "<script>alert" not in answer.text
            assert "onerror=alert(1)>" not in answer.text.replace("&gt;", "")
            if answer.status_code != 303:
                assert str(Page(answer).value(field)).splitlines() == value.splitlines()


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x0b"])
async def test_control_characters_are_named_and_the_rest_is_kept(form: Filled, character: str) -> None:
    before = form.desk.everything()
    for field in form.typed:
        answer = await form.send(**{field: f"12{character}34"})
        assert answer.status_code == 422
        wrong = Page(answer)
        assert wrong.by_id(f"{field}-error").text
        assert wrong.value(field) == "1234"
    assert form.desk.everything() == before


async def test_hidden_fields_and_buttons_may_hold_anything(form: Filled) -> None:
    for name in ("action", "link", "subscription", "decision", "customer_id", "app_id"):
        for value in ("", "x" * 10_000, SCRIPT, EMOJI, "a\x00b", "../../etc/passwd", "-1"):
            answer = await form.send(**{name: value})
            assert answer.status_code in (303, 422, 429), (name, value)
            assert "<script>alert" not in answer.text
    assert form.desk.sessions() == []


async def test_a_token_that_is_not_ours_changes_nothing_and_loses_nothing(form: Filled) -> None:
    good = str(form.page.value("csrf_token"))
    before = form.desk.everything()
    for token in ("", good[:-1], good + "x", good.upper(), "x" * 9_000, SCRIPT):
        answer = await form.send(csrf_token=token)
        assert answer.status_code == 403
        for field in form.typed:
            assert Page(answer).value(field) == form.fields[field]
    assert form.desk.everything() == before


async def test_a_cookie_that_is_not_ours_sends_nothing(form: Filled) -> None:
    cookie = form.desk.visitor.client.cookies[BROWSER_COOKIE].strip('"')
    now, signer = form.desk.clock.now(), form.desk.ports.signer
    stranger = str(browser_cookie(new_browser(now), signer, now, secure=False).value)
    stale = signer.sign("browser", cookie.partition(".")[0] + ".0")
    before = form.desk.everything()
    body = urlencode({"csrf_token": str(form.page.value("csrf_token")), **form.fields}).encode()
    for value in ("", "x", cookie[:-1] + "-", cookie + "=", cookie.upper(), stranger, stale, "x" * 5_000):
        async with form.desk.browser() as client:
            answer = await client.post(
                form.path,
                content=body,
                headers={**FROM_US, "Content-Type": FORM, "Cookie": f"{BROWSER_COOKIE}={value}"},
            )
        assert answer.status_code == 403, value[:20]
    assert form.desk.everything() == before


async def test_bytes_and_bodies_that_are_no_form_are_answered_with_a_page(form: Filled) -> None:
    token = quote(str(form.page.value("csrf_token"))).encode()
    before = form.desk.everything()
    for kind, body, status in (
        (FORM, b"csrf_token=" + token + b"&email=%ff%fe", 400),
        (FORM, b"csrf_token=" + token + b"&code=\xed\xa0\x80", 400),
        (FORM, b"a=1&" * 101, 400),
        (FORM, b"%00=1", 400),
        (FORM, b"email=" + b"x" * 600_000, 413),
        (FORM, b"", 403),
        ("", b"", 403),
        ("application/json", b'{"email": "ben@example.com"}', 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
        (f"{FORM}; charset=utf-16", "email=x".encode("utf-16"), 415),
    ):
        answer = await form.send_raw(body, kind)
        assert answer.status_code == status, (kind, body[:20])
        assert answer.text.startswith("<!doctype html>")
    assert form.desk.everything() == before


async def test_of_a_field_sent_twice_the_last_counts(form: Filled) -> None:
    token = quote(str(form.page.value("csrf_token")))
    field = form.typed[0]
    answer = await form.send_raw(f"csrf_token={token}&{field}=first&{field}=%20last%20&action=check".encode())
    assert answer.status_code == 422
    assert Page(answer).value(field) == " last "


async def test_queries_that_nobody_wrote_break_nothing(form: Filled) -> None:
    for query in (
        "email=%ff",
        "of=%00",
        "of=" + "x" * 3_000,
        "left=%f0",
        "again=%00",
        "&&&==",
        "email=a&email=b",
    ):
        answer = await form.desk.visitor.client.get(f"{form.path}?{query}")
        assert answer.status_code == 200, query
