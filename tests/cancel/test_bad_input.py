"""Every field of every form with what nobody should send: the right status, a message at the field, nothing lost."""

import itertools
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest

from app.db.database import Database
from app.web.security import BROWSER_COOKIE, browser_cookie, new_browser
from tests.support.clock import FakeClock
from tests.support.desk import BillingServer, Desk, desk_of, root_of
from tests.support.pages import FROM_A_PAGE, FROM_US, Page

FORM = "application/x-www-form-urlencoded"
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
EMOJI = "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{GRINNING FACE} \N{RIGHT-TO-LEFT OVERRIDE}abc \N{COMBINING ACUTE ACCENT}"


async def post(
    desk: Desk, page: Page, fields: list[tuple[str, str]], path: str | None = None
) -> httpx.Response:
    """Post to a page's form as its button would, fields as given, hidden ones as the page has them."""
    hidden = [("csrf_token", str(page.value("csrf_token")))]
    if decision := page.value("decision"):
        hidden.append(("decision", str(decision)))
    given = {name for name, _ in fields}
    body = urlencode([*(h for h in hidden if h[0] not in given), *fields], errors="surrogatepass")
    return await desk.visitor.client.post(
        path or page.by_id("step")["action"],
        content=body,
        headers={**FROM_US, "Content-Type": FORM},
        follow_redirects=False,
    )


async def at_feedback(desk: Desk) -> Page:
    page = await desk.visitor.submit(await desk.enter(), "Continue", {"reason": "other"})
    return await desk.visitor.submit(page, "Continue")


# --- Typed text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2_001, 10_000])
@pytest.mark.parametrize("letter", ["x", "\N{GRINNING FACE}"], ids=["letters", "emoji"])
async def test_text_that_is_too_long_is_said_to_be_and_kept(desk: Desk, length: int, letter: str) -> None:
    for page, field, fields in (
        (await desk.enter(), "follow_up--broken", {"reason": "broken"}),
        (await at_feedback(desk), "feedback", {}),
    ):
        before = desk.everything()
        wrong = await desk.visitor.submit(page, "Continue", {**fields, field: letter * length}, status=422)
        assert wrong.title.startswith("Error: ")
        assert wrong.by_id(f"{field}-error").text == "Write at most 2000 characters"
        assert wrong.links["Write at most 2000 characters"].endswith(f"#{field}")
        assert wrong.value(field) == letter * length
        assert desk.everything() == before
        right = await desk.visitor.submit(page, "Continue", {**fields, field: letter * 2_000})
        assert right.path != page.path


async def test_text_is_kept_as_it_was_typed_and_never_becomes_markup(desk: Desk) -> None:
    for text in (SCRIPT, EMOJI, "  spaces  ", "line\r\nline\n\nline", "&amp; &lt;b&gt;", "\x85\u2028\ufeff"):
        page = await desk.visitor.submit(await at_feedback(desk), "Continue", {"feedback": text})
        back = await desk.visitor.follow(page, "Back")
        shown = str(back.value("feedback")).replace("\r\n", "\n")
        assert shown == text.replace("\r\n", "\n").strip()
        assert "<script>alert" not in back.response.text
        assert "onerror=alert(1)>" not in back.response.text.replace("&gt;", "")
    stored = [s.state["answers"]["anything-else"].get("text") for s in desk.sessions()]
    assert SCRIPT in stored


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x0b"])
async def test_control_characters_are_named_and_the_rest_is_kept(desk: Desk, character: str) -> None:
    for page, field, fields in (
        (await desk.enter(), "follow_up--broken", [("reason", "broken")]),
        (await at_feedback(desk), "feedback", []),
    ):
        sent = [*fields, (field, f"be{character}fore"), ("action", "continue")]
        answer = await post(desk, page, sent)
        assert answer.status_code == 422
        wrong = Page(answer)
        assert wrong.by_id(f"{field}-error").text == "Remove the characters that cannot be shown"
        assert wrong.value(field) == "before"
        assert (
            await post(desk, wrong, [*fields, (field, "before"), ("action", "continue")])
        ).status_code == 303


async def test_the_exit_is_stopped_by_nothing_that_was_typed(desk: Desk) -> None:
    texts = ("x" * 10_000, "a\x00b\x1bc", SCRIPT, EMOJI, "", " ")
    for text, action in itertools.product(texts, ("cancel_now",)):
        for page, fields in (
            (await desk.enter(), [("reason", "missing"), ("follow_up--missing", text)]),
            (await at_feedback(desk), [("feedback", text)]),
        ):
            answer = await post(desk, page, [*fields, ("action", action)])
            assert answer.status_code == 303, repr(text[:10])
            assert answer.headers["location"].endswith("/confirm")


async def test_bytes_that_are_no_text_are_answered_with_a_page(desk: Desk) -> None:
    page = await at_feedback(desk)
    token = quote(str(page.value("csrf_token")))
    before = desk.everything()
    for raw in (b"%ff%fe", b"\xff\xfe", b"%ed%a0%80", b"\xed\xa0\x80", b"%c3", b"%c0%80"):
        answer = await desk.visitor.client.post(
            page.by_id("step")["action"],
            content=b"csrf_token=" + token.encode() + b"&action=continue&feedback=" + raw,
            headers={**FROM_US, "Content-Type": FORM},
        )
        assert answer.status_code == 400, raw
        assert ">This request could not be read</h1>" in answer.text
    assert desk.everything() == before


async def test_bodies_that_are_no_form_are_answered_with_a_page(desk: Desk) -> None:
    page = await at_feedback(desk)
    action = page.by_id("step")["action"]
    before = desk.everything()
    for kind, body, status in (
        ("application/json", b'{"feedback": "x"}', 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
        ("text/plain", b"feedback=x", 415),
        (f"{FORM}; charset=utf-16", "feedback=x".encode("utf-16"), 415),
        (FORM, b"a=1&" * 101, 400),
        (FORM, b"a" * 200 + b"=1", 400),
        (FORM, b"%00=1", 400),
        (FORM, b"=1", 400),
        (FORM, b"feedback=" + b"x" * 600_000, 413),
        (FORM, b"x" * 3_000_000, 413),
        (FORM, b"", 403),
        ("", b"", 403),
    ):
        headers = {**FROM_US, **({"Content-Type": kind} if kind else {})}
        answer = await desk.visitor.client.post(action, content=body, headers=headers)
        assert answer.status_code == status, (kind, body[:20])
        assert answer.text.startswith("<!doctype html>")
    assert desk.everything() == before


# --- Choices --------------------------------------------------------------------------------------------------------

WRONG = ("", "nothing-like-it", "x" * 10_000, SCRIPT, EMOJI, "../../etc/passwd", "why", "0", "[]")


async def test_a_reason_that_is_none(desk: Desk) -> None:
    page = await desk.enter()
    for value in WRONG[1:]:
        answer = await post(desk, page, [("reason", value), ("action", "continue")])
        assert answer.status_code == 422
        wrong = Page(answer)
        assert wrong.by_id("reason-error").text == "Choose one of the reasons below"
        assert "<script>alert" not in answer.text
    assert desk.session().state["answers"] == {}
    answer = await post(desk, page, [("reason", ""), ("action", "continue")])  # nothing chosen: skipped
    assert answer.status_code == 303


async def test_a_follow_up_that_is_none(desk: Desk) -> None:
    page = await desk.enter()
    for value in WRONG[1:]:
        sent = [("reason", "price"), ("follow_up--price", value), ("action", "continue")]
        wrong = Page(await post(desk, page, sent))
        assert wrong.status == 422
        assert wrong.by_id("follow_up--price-error").text == "Choose one of the answers"
        assert wrong.value("reason") == "price"
    for value, message in (
        ("", "Answer this question, or choose another reason"),
        ("ab", "Write at least 3 characters"),
        ("  a ", "Write at least 3 characters"),
    ):
        sent = [("reason", "missing"), ("follow_up--missing", value), ("action", "continue")]
        wrong = Page(await post(desk, page, sent))
        assert wrong.status == 422
        assert wrong.by_id("follow_up--missing-error").text == message
    assert desk.session().state["answers"] == {}


async def test_an_option_that_is_none(desk: Desk) -> None:
    pause = await desk.at_offer("unused")
    plan = await desk.at_offer("too-big")
    for page, values in ((pause, WRONG), (plan, WRONG[1:])):  # of one plan, choosing nothing is choosing it
        for value in values:
            wrong = Page(await post(desk, page, [("option", value), ("action", "accept")]))
            assert wrong.status == 422
            assert "There is a problem" in wrong.text
            assert "<script>alert" not in wrong.response.text
    assert (desk.effects(), desk.billed()) == ([], [])


async def test_a_subscription_that_is_none(desk: Desk) -> None:
    page = await desk.enter("cus_emil")
    for value in (*WRONG, "sub_ben_pro"):
        wrong = Page(await post(desk, page, [("subscription", value), ("action", "choose")]))
        assert wrong.status == 422
        assert wrong.by_id("subscription-error").text
    assert desk.session().phase == "choosing"


async def test_a_decision_that_is_none(desk: Desk) -> None:
    page = await desk.at_offer("price")
    for value, action in itertools.product(WRONG, ("accept", "decline")):
        answer = await post(desk, page, [("decision", value), ("action", action)])
        assert answer.status_code == 303
        assert answer.headers["location"] == page.path
    assert (desk.effects(), desk.offers()[0].status) == ([], "presented")


async def test_an_action_that_is_none_does_nothing_worse_than_continue(desk: Desk) -> None:
    page = await desk.enter()
    actions = (*WRONG, "settle", "Settle", "confirm", "keep ", "retry", "resume", "uncancel", "choose")
    for action in actions:
        answer = await post(desk, page, [("action", action)])
        assert answer.status_code == 303, action
    assert (desk.effects(), desk.session().outcome) == ([], None)


async def test_a_box_that_must_be_ticked(desk: Desk) -> None:
    page = await desk.at_confirm()
    for value in ("", SCRIPT, "x" * 10_000):
        assert (await post(desk, page, [("acknowledge", value), ("action", "nothing")])).status_code == 303
    assert desk.effects() == []


STRICT = """
version: 1
name: Strict
steps:
  - kind: survey
    id: why
    required: true
    reasons: [{ id: other, label: Something else }]
  - { kind: feedback, id: more, required: true, min_length: 5 }
  - { kind: confirm, id: confirm, timing: period_end, acknowledge: I know that my notes are deleted }
"""


async def test_what_is_required_is_asked_for_at_its_field_and_the_exit_still_works(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> None:
    async with desk_of(database, clock, tmp_path, billing_server, flow_text=STRICT) as desk:
        visit = desk.visitor
        page = await desk.enter()
        assert "Skip this" not in page.buttons
        for action in ("continue", "skip"):
            wrong = Page(await post(desk, page, [("action", action)]))
            assert (wrong.status, wrong.by_id("reason-error").text) == (422, "Choose a reason")
        page = await visit.submit(page, "Continue", {"reason": "other"})
        for text, message in (("", "Write a few words"), ("   ", "Write a few words")):
            wrong = await visit.submit(page, "Continue", {"feedback": text}, status=422)
            assert wrong.by_id("feedback-error").text == message
        wrong = await visit.submit(page, "Continue", {"feedback": "oh"}, status=422)
        assert wrong.by_id("feedback-error").text == "Write at least 5 characters"
        assert wrong.value("feedback") == "oh"
        page = await visit.submit(wrong, "Cancel now")
        wrong = await visit.submit(page, "Cancel my subscription", status=422)
        assert wrong.by_id("acknowledge-error").text == "Tick the box to go on"
        assert desk.effects() == []
        page = await visit.submit(wrong, "Cancel my subscription", {"acknowledge": True})
        assert page.h1 == "Your subscription is canceled"


async def test_of_a_field_sent_twice_the_last_counts(desk: Desk) -> None:
    page = await desk.enter()
    sent = [("reason", "price"), ("reason", "other"), ("action", "cancel_now"), ("action", "continue")]
    answer = await post(desk, page, sent)
    assert answer.headers["location"].endswith("/what-ends")
    assert desk.session().state["answers"]["why"]["reason"] == "other"


async def test_fields_that_no_step_has_are_not_read(desk: Desk) -> None:
    page = await desk.enter()
    sent = [("outcome", "canceled"), ("customer_id", "cus_ada"), ("mode", "live"), ("reason", "other")]
    assert (await post(desk, page, [*sent, ("action", "continue")])).status_code == 303
    row = desk.session()
    assert (row.outcome, row.customer_id, row.mode) == (None, "cus_ben", "test")


# --- Who sends it ---------------------------------------------------------------------------------------------------


async def test_a_form_without_our_token_is_refused_and_nothing_typed_is_lost(desk: Desk) -> None:
    page = await at_feedback(desk)
    other = await desk.enter("cus_ada")
    good = str(page.value("csrf_token"))
    before = desk.everything()
    for token in (
        "",
        good[:-1],
        good + "x",
        good.upper(),
        str(other.value("csrf_token")),
        "x" * 9_000,
        SCRIPT,
    ):
        answer = await post(desk, page, [("csrf_token", token), ("feedback", "kept"), ("action", "continue")])
        assert answer.status_code == 403
        assert Page(answer).value("feedback") == "kept"
        assert "What you typed is still here" in answer.text
    for site in ("cross-site", "same-site"):
        answer = await desk.visitor.client.post(
            page.by_id("step")["action"],
            data={"csrf_token": good, "action": "continue", "feedback": "kept"},
            headers={**FROM_A_PAGE, "Sec-Fetch-Site": site},
        )
        assert answer.status_code == 403
    assert desk.everything() == before
    again = Page(await post(desk, page, [("csrf_token", ""), ("feedback", "kept"), ("action", "continue")]))
    assert (await desk.visitor.submit(again, "Continue")).path.endswith("/confirm")


async def test_a_cookie_that_is_not_ours_opens_nothing(desk: Desk) -> None:
    page = await desk.enter()
    cookie = desk.visitor.client.cookies[BROWSER_COOKIE].strip('"')
    now, signer = desk.clock.now(), desk.ports.signer
    stranger = browser_cookie(new_browser(now), signer, now, secure=False).value
    stale = signer.sign("browser", cookie.partition(".")[0] + ".0")
    forged = ["", "x", cookie[:-1] + ("A" if cookie[-1] != "A" else "B"), cookie + "=", cookie.upper()]
    forged += [str(stranger), stale, "a.b.c", "x" * 5_000, signer.sign("csrf", "a.1"), '"' + cookie[5:] + '"']
    before = desk.everything()
    for value in forged:
        async with desk.browser() as client:
            for method in ("GET", "POST"):
                answer = await client.request(
                    method, page.path, headers={**FROM_US, "Cookie": f"{BROWSER_COOKIE}={value}"}
                )
                assert answer.status_code == 403, value[:20]
                assert ">This page belongs to another browser</h1>" in answer.text
    assert desk.everything() == before


async def test_addresses_that_lead_nowhere(desk: Desk) -> None:
    page = await desk.enter()
    root = root_of(page)
    strange = (
        "%00",
        "%F0%9F%98%80",
        "%ff",
        "..%2f..",
        "..%5c",
        "%25",
        "%3Cscript%3E",
        "x" * 3_000,
        "%0d%0aX:1",
    )
    before = desk.everything()
    for part in strange:
        for path in (f"/cancel/s/{part}", f"/cancel/s/{part}/why", f"{root}/{part}"):
            for method in ("GET", "POST", "HEAD"):
                answer = await desk.visitor.client.request(
                    method, path, headers=FROM_US, follow_redirects=False
                )
                assert answer.status_code in (303, 403, 404), (method, path, answer.status_code)
                assert "<script>" not in answer.text
                if answer.status_code == 303:
                    assert answer.headers["location"] == page.path
    assert desk.everything() == before


async def test_a_step_that_is_none_takes_no_answer(desk: Desk) -> None:
    page = await desk.enter()
    for step in ("nothing", "confirm", "what-ends", "%00", "why.offer", "x" * 2_000):
        sent = [("reason", "other"), ("feedback", "x"), ("action", "continue")]
        answer = await post(desk, page, sent, f"{root_of(page)}/{step}")
        assert answer.status_code == 303
        assert answer.headers["location"] == page.path
    assert desk.session().state["answers"] == {}
