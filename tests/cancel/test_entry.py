"""From nothing but the merchant's public address, or from a link that is over, to where a code is typed."""

import re
from datetime import timedelta

import pytest

from app.db.tables.verifications import Verification
from app.web.security import BROWSER_COOKIE
from tests.support.codes import STRANGER, ask, code_for, newest
from tests.support.desk import Desk
from tests.support.pages import FROM_A_PAGE, FROM_US, Page, Visitor

OVER = {
    "expired": ({"expires_at": timedelta(0)}, "This link has expired"),
    "revoked": ({"revoked_at": timedelta(0)}, "This link is no longer valid"),
    "used": ({"consumed_at": timedelta(0)}, "This link has already been used"),
}
SECRETS = re.compile(r'nonce(="|-)[\w-]+|name="csrf_token" value="[^"]+"|ver_\w+|(nobody|ben)(?=<wbr>)')


def entry(desk: Desk) -> str:
    return f"/cancel/{desk.merchant.app_id}"


def over(desk: Desk, kind: str = "expired", customer: str = "cus_ben", **mint: object) -> str:
    changes, _ = OVER[kind]
    return desk.merchant.mint(
        customer, **{name: desk.clock.now() + by for name, by in changes.items()}, **mint
    )


# --- The address field ----------------------------------------------------------------------------------------------


async def test_the_merchants_address_asks_for_an_email_address(mail_desk: Desk) -> None:
    before = mail_desk.everything()
    page = await mail_desk.visitor.open(entry(mail_desk))
    assert (page.h1, page.buttons) == ("Cancel your subscription", ["Send me a code"])
    field = page.by_id("email")
    assert (field["type"], field["autocomplete"], field["value"]) == ("email", "email", "")
    assert "Northwind Notes" in page.title
    assert page.links["help@northwind.example"]
    assert page.response.headers["cache-control"] == "no-store"
    assert "noindex" in page.response.headers["x-robots-tag"]
    assert "lw_browser=" in page.response.headers["set-cookie"]
    assert mail_desk.everything() == before


async def test_an_address_in_the_query_is_shown_and_no_more(mail_desk: Desk) -> None:
    before = mail_desk.everything()
    for given, shown in (
        ("ben%40example.com", "ben@example.com"),
        ("ben%2Btag%40example.com", "ben+tag@example.com"),
        ("%22%3E%3Cscript%3E", '"><script>'),
        ("x" * 255, ""),
        ("a%0d%0ab", ""),
        ("a%00b", ""),
        ("%ff%fe", "\N{REPLACEMENT CHARACTER}" * 2),
        ("", ""),
    ):
        page = await mail_desk.visitor.open(f"{entry(mail_desk)}?email={given}")
        assert page.value("email") == shown
        assert "<script>" not in page.response.text.replace('<script src="', "")
    assert mail_desk.everything() == before


async def test_an_unknown_app_is_not_found(mail_desk: Desk) -> None:
    for app_id in ("app_nothing", "app_", "app_%00", "app_test_" + "x" * 3000):
        for path in (f"/cancel/{app_id}", f"/cancel/r/{app_id}"):
            for method in ("GET", "POST", "HEAD"):
                answer = await mail_desk.visitor.client.request(method, path, headers=FROM_US)
                assert answer.status_code == 404, (method, path)


async def test_any_address_leads_to_where_the_code_is_typed(mail_desk: Desk) -> None:
    page = await ask(mail_desk, " Ben@Example.com ")
    row = newest(mail_desk, "Ben@Example.com")
    assert page.path == f"/cancel/v/{row.id}"
    assert page.h1 == "Check your email"
    assert "A message to Ben@Example.com is on its way" in page.text
    code = page.by_id("code")
    assert (code["inputmode"], code["autocomplete"]) == ("numeric", "one-time-code")


async def test_pressed_twice_it_asks_once(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(entry(mail_desk))
    first = await mail_desk.visitor.submit(page, "Send me a code", {"email": "ben@example.com"})
    again = await mail_desk.visitor.submit(page, "Send me a code", {"email": "ben@example.com"})
    assert first.path == again.path
    assert len(mail_desk.all(Verification)) == 1


async def test_the_pages_of_a_known_and_an_unknown_address_are_the_same(mail_desk: Desk) -> None:
    seen = []
    for email in ("ben@example.com", STRANGER):
        async with mail_desk.browser() as client:
            visitor = Visitor(client)
            page = await visitor.open(entry(mail_desk))
            page = await visitor.submit(page, "Send me a code", {"email": email})
            await code_for(mail_desk, email)
            wrong = await visitor.submit(page, "Continue", {"code": "000 000"}, status=422)
            mail_desk.clock.advance(minutes=1)
            again = await visitor.submit(wrong, "Send another message")
            for _ in range(3):
                await visitor.submit(again, "Continue", {"code": "000000"}, status=422)
            spent = await visitor.submit(again, "Continue", {"code": "000000"}, status=422)
            soon = await visitor.submit(again, "Send another message", status=429)
            pages = (page, wrong, again, spent, soon)
            seen.append([(p.status, sorted(_headers(p)), SECRETS.sub("", p.response.text)) for p in pages])
    assert seen[0] == seen[1]


def _headers(page: Page) -> list[tuple[str, str]]:
    secret = ("content-security-policy", "set-cookie", "content-length", "x-request-id")
    return [(name, value) for name, value in page.response.headers.items() if name not in secret]


# --- What is put right ----------------------------------------------------------------------------------------------


async def test_what_is_no_address_is_asked_for_again(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(entry(mail_desk))
    for typed, message in (
        ("", "Enter your email address"),
        ("   ", "Enter your email address"),
        ("ben", "Enter the whole email address, such as name@example.com"),
        ("ben@example", "Enter the whole email address, such as name@example.com"),
        ("ben@example.com, ada@example.com", "Enter the whole email address, such as name@example.com"),
    ):
        wrong = await mail_desk.visitor.submit(page, "Send me a code", {"email": typed}, status=422)
        assert wrong.title.startswith("Error: ")
        assert wrong.by_id("email-error").text == message
        assert wrong.links[message].endswith("#email")
        assert wrong.value("email") == typed
    assert mail_desk.all(Verification) == []


async def test_at_a_limit_one_can_wait_or_leave_a_request_with_what_was_typed(mail_desk: Desk) -> None:
    await ask(mail_desk)
    mail_desk.clock.advance(seconds=20)
    async with mail_desk.browser() as client:
        visitor = Visitor(client)
        page = await visitor.open(entry(mail_desk))
        held = await visitor.submit(page, "Send me a code", {"email": "ben@example.com"}, status=429)
        assert (
            held.by_id("email-error").text == "Too many codes were asked for. You can ask again in 40 seconds"
        )
        assert held.response.headers["retry-after"] == "40"
        assert held.value("email") == "ben@example.com"
        request = await visitor.submit(held, "Leave a request instead")
        assert (request.h1, request.value("email")) == ("Leave a cancellation request", "ben@example.com")
        done = await visitor.submit(request, "Send my request")
        assert done.h1 == "Northwind Notes has your request"
        mail_desk.clock.advance(seconds=40)
        assert (await visitor.submit(held, "Send me a code")).h1 == "Check your email"


async def test_a_browser_that_keeps_no_cookies_is_told_so(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(entry(mail_desk))
    mail_desk.visitor.client.cookies.clear()
    refused = await mail_desk.visitor.submit(page, "Send me a code", {"email": "ben@example.com"}, status=403)
    assert "your browser keeps no cookies" in refused.text
    assert refused.value("email") == "ben@example.com"
    again = await mail_desk.visitor.submit(refused, "Send me a code")  # the answer brought a cookie
    assert again.h1 == "Check your email"


async def test_only_our_own_form_has_a_mail_sent(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(entry(mail_desk))
    good = str(page.value("csrf_token"))
    for token, site in (("", "same-origin"), (good[:-1], "same-origin"), (good, "cross-site")):
        answer = await mail_desk.visitor.client.post(
            entry(mail_desk),
            data={"csrf_token": token, "email": "ben@example.com", "action": "send"},
            headers={**FROM_US, "Sec-Fetch-Site": site},
        )
        assert answer.status_code == 403
    assert mail_desk.all(Verification) == []


async def test_htmx_gets_the_part_and_a_new_browser_its_cookie(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(entry(mail_desk), partial=True)
    assert "<html" not in page.response.text
    assert BROWSER_COOKIE in page.response.headers["set-cookie"]
    assert page.by_id("step")["hx-boost"] == "true"


# --- Links that are over --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OVER)
async def test_a_link_that_is_over_goes_on_on_the_same_page(mail_desk: Desk, kind: str) -> None:
    path = over(mail_desk, kind)
    before = mail_desk.everything()
    for method, headers in (("GET", FROM_A_PAGE), ("GET", {}), ("POST", FROM_US), ("HEAD", {})):
        answer = await mail_desk.visitor.client.request(method, path, headers=headers)
        assert answer.status_code == 410
    assert mail_desk.everything() == before
    page = await mail_desk.visitor.open(path, status=410)
    assert page.h1 == OVER[kind][1]
    assert "Enter your account’s email address" in page.text
    assert page.by_id("step")["action"] == entry(mail_desk)
    assert page.value("email") == ""  # whose link it was is not said
    assert "cus_ben" not in page.text
    page = await mail_desk.visitor.submit(page, "Send me a code", {"email": "ben@example.com"})
    page = await mail_desk.visitor.submit(page, "Continue", {"code": await code_for(mail_desk)})
    assert page.h1 == "Why do you want to leave?"
    assert mail_desk.session().customer_id == "cus_ben"


async def test_the_links_subscription_is_taken_up_if_it_is_his(mail_desk: Desk) -> None:
    path = over(mail_desk, customer="cus_emil", subscription_id="sub_emil_publish")
    page = await mail_desk.visitor.open(path, status=410)
    page = await mail_desk.visitor.submit(page, "Send me a code", {"email": "emil@example.com"})
    code = await code_for(mail_desk, "emil@example.com")
    page = await mail_desk.visitor.submit(page, "Continue", {"code": code})
    assert page.h1 == "Why do you want to leave?"  # without a chooser
    assert mail_desk.session().state["subscription_id"] == "sub_emil_publish"


async def test_somebody_elses_link_says_nothing_about_who_proves_an_address(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(over(mail_desk, customer="cus_emil"), status=410)
    page = await mail_desk.visitor.submit(page, "Send me a code", {"email": "ben@example.com"})
    await mail_desk.visitor.submit(page, "Continue", {"code": await code_for(mail_desk)})
    session = mail_desk.session()
    assert (session.customer_id, session.link_id) == ("cus_ben", None)


async def test_a_link_is_kept_through_a_change_of_address_and_a_mistake(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(over(mail_desk), status=410)
    page = await mail_desk.visitor.submit(page, "Send me a code", {"email": "nonsense"}, status=422)
    page = await mail_desk.visitor.submit(page, "Send me a code", {"email": "been@example.com"})
    page = await mail_desk.visitor.follow(page, "Use another address")
    assert page.value("email") == "been@example.com"
    await mail_desk.visitor.submit(page, "Send me a code", {"email": "ben@example.com"})
    (link,) = mail_desk.links()
    assert newest(mail_desk).link_id == link.id


async def test_a_link_that_was_made_up_is_left_out(mail_desk: Desk) -> None:
    over(mail_desk)
    (link,) = mail_desk.links()
    signer = mail_desk.ports.signer
    made_up = (link.id, "x", signer.sign("link-ref", f"app_other:{link.id}"), signer.sign("csrf", link.id))
    for number, value in enumerate(made_up):
        page = await mail_desk.visitor.open(entry(mail_desk))
        answer = await mail_desk.visitor.client.post(
            entry(mail_desk),
            data={
                "csrf_token": str(page.value("csrf_token")),
                "email": f"ben{number}@example.com",
                "link": value,
            },
            headers=FROM_US,
        )
        assert answer.status_code == 200
    assert [row.link_id for row in mail_desk.all(Verification)] == [None] * len(made_up)


async def test_a_session_that_is_over_goes_on_by_email(mail_desk: Desk) -> None:
    page = await mail_desk.enter("cus_ben")
    cookie = mail_desk.visitor.client.cookies[BROWSER_COOKIE]
    mail_desk.clock.advance(hours=25)
    signer, now = mail_desk.ports.signer, int(mail_desk.clock.now().timestamp())
    browser = cookie.strip('"').partition(".")[0]
    mail_desk.visitor.client.cookies.clear()
    cookie = signer.sign("browser", f"{browser}.{now}")
    answer = await mail_desk.visitor.client.get(page.path, headers={"Cookie": f"{BROWSER_COOKIE}={cookie}"})
    over_page = Page(answer)
    assert (over_page.status, over_page.h1) == (410, "This page has expired")
    assert over_page.buttons == ["Send me a code"]


# --- Where nobody can be verified -----------------------------------------------------------------------------------


async def test_an_entry_that_is_switched_off_is_a_contact_page_with_a_request(mail_desk: Desk) -> None:
    mail_desk.merchant.change(hosted_enabled=False)
    await takes_requests(mail_desk)
    assert (await mail_desk.enter("cus_ada")).h1 == "Why do you want to leave?"  # links work on


async def test_an_entry_whose_billing_cannot_search_is_a_contact_page_with_a_request(mail_desk: Desk) -> None:
    mail_desk.merchant.change(provider="direct", provider_config=None)
    await takes_requests(mail_desk)


async def test_an_entry_without_mail_is_a_contact_page_with_a_request(desk: Desk) -> None:
    await takes_requests(desk)


async def takes_requests(there: Desk) -> None:
    page = await there.visitor.open(f"{entry(there)}?email=ben%40example.com")
    assert (page.status, page.h1) == (200, "How to cancel with Northwind Notes")
    assert page.links["help@northwind.example"] == "mailto:help@northwind.example"
    assert page.links["Back to Northwind Notes"] == "https://northwind.example/account"
    assert page.value("email") == "ben@example.com"
    page = await there.visitor.submit(page, "Send my request", {"note": "Please end it"})
    assert page.h1 == "Northwind Notes has your request"
    gone = await there.visitor.open(over(there), status=410)
    assert (gone.h1, gone.buttons) == ("This link has expired", ["Send my request"])


async def test_an_entry_page_from_before_the_switch_leads_to_the_request(mail_desk: Desk) -> None:
    page = await mail_desk.visitor.open(entry(mail_desk))
    mail_desk.merchant.change(hosted_enabled=False)
    page = await mail_desk.visitor.submit(page, "Send me a code", {"email": "ben@example.com"})
    assert page.buttons == ["Send my request"]
    assert page.value("email") == "ben@example.com"
    assert mail_desk.all(Verification) == []


# --- Back again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["expired", "revoked"])
async def test_who_came_by_a_link_that_was_over_comes_back_by_it_to_his_session(
    mail_desk: Desk, kind: str
) -> None:
    """Nobody has ever exchanged it; his address is proven all the same."""
    link = over(mail_desk, kind)
    page = await mail_desk.visitor.open(link, status=410)
    page = await mail_desk.visitor.submit(page, "Send me a code", {"email": "ben@example.com"})
    walk = await mail_desk.visitor.submit(page, "Continue", {"code": await code_for(mail_desk)})
    for headers in (FROM_A_PAGE, {}):
        assert (await mail_desk.visitor.open(link, headers=headers)).path == walk.path
    assert len(mail_desk.sessions()) == 1
