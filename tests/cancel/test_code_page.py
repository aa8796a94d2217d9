"""Where the code is typed: every verdict, and a way on from each."""

import asyncio

import httpx
import pytest

from app.db.tables.verifications import Verification
from app.verify import service as verify
from demo.billing.seed import subscriptions_of
from tests.support.codes import STRANGER, ask, code_for, newest, not_the
from tests.support.desk import Desk
from tests.support.pages import FROM_A_PAGE, FROM_US, Page, Visitor


@pytest.fixture
def desk(mail_desk: Desk) -> Desk:
    return mail_desk


async def try_wrong(desk: Desk, page: Page, times: int, email: str = "ben@example.com") -> Page:
    wrong = not_the(await code_for(desk, email))
    for _ in range(times):
        page = await desk.visitor.submit(page, "Continue", {"code": wrong}, status=422)
    return page


# --- The right one --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written", ["{}{}", "{} {}", " {}-{} ", "{}\N{NO-BREAK SPACE}{}", "\N{EN SPACE}{}\t{}"]
)
async def test_the_right_code_opens_the_session(desk: Desk, written: str) -> None:
    page = await ask(desk)
    code = await code_for(desk)
    page = await desk.visitor.submit(page, "Continue", {"code": written.format(code[:3], code[3:])})
    session = desk.session()
    assert page.path == f"/cancel/s/{session.id}/why"
    assert (session.customer_id, session.entry, session.recipient) == ("cus_ben", "email", "ben@example.com")
    assert newest(desk).session_id == session.id


async def test_digits_of_other_scripts_are_digits(desk: Desk) -> None:
    page = await ask(desk)
    code = (await code_for(desk)).translate({ord("0") + n: 0xFF10 + n for n in range(10)})
    assert (await desk.visitor.submit(page, "Continue", {"code": code})).h1 == "Why do you want to leave?"


async def test_an_address_is_found_however_it_is_spelt(desk: Desk) -> None:
    page = await ask(desk, "BEN@EXAMPLE.COM")
    code = await code_for(desk, "BEN@EXAMPLE.COM")
    assert (await desk.visitor.submit(page, "Continue", {"code": code})).h1 == "Why do you want to leave?"


async def test_a_code_that_was_right_leads_to_its_session_from_then_on(desk: Desk) -> None:
    page = await ask(desk)
    code = await code_for(desk)
    walk = await desk.visitor.submit(page, "Continue", {"code": code})
    assert (await desk.visitor.open(page.path)).path == walk.path
    for typed in (code, "000000", ""):
        assert (await desk.visitor.submit(page, "Continue", {"code": typed})).path == walk.path
    assert (await desk.visitor.submit(page, "Send another message")).path == walk.path
    assert len(desk.sessions()) == 1


async def test_a_code_sent_twice_at_once_opens_one_session(desk: Desk) -> None:
    page = await ask(desk)
    data = {"csrf_token": str(page.value("csrf_token")), "code": await code_for(desk), "action": "check"}
    answers = await asyncio.gather(
        *(desk.visitor.client.post(page.path, data=data, headers=FROM_US) for _ in range(4))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len(desk.sessions()) == 1


async def test_several_subscriptions_are_chosen_from_in_the_session(desk: Desk) -> None:
    second = subscriptions_of("cus_emil", desk.clock.now())
    desk.store.put_customer(
        "test",
        {"id": "cus_two", "email": "two@example.com"},
        [{**each, "id": f"{each['id']}_2", "customerId": "cus_two"} for each in second],
    )
    page = await ask(desk, "two@example.com")
    page = await desk.visitor.submit(page, "Continue", {"code": await code_for(desk, "two@example.com")})
    assert page.h1 == "Which subscription do you want to cancel?"
    assert page.path.startswith("/cancel/s/")


# --- Several customers ----------------------------------------------------------------------------------------------


def share_address(desk: Desk) -> None:
    """Emil's address is Ben's, too, and a third customer's of whom nothing else is known."""
    for customer_id, changes in (
        ("cus_emil", {"email": "Ben@example.com"}),
        ("cus_chen", {"email": "ben@example.com", "name": None, "lastName": None}),
    ):
        customer = desk.store.find_customer("test", customer_id)
        assert customer is not None
        known = {k: v for k, v in {**customer, **changes}.items() if v is not None}
        subscriptions = desk.store.list_subscriptions("test", customer_id, desk.clock.now())
        desk.store.put_customer("test", known, subscriptions)


async def test_several_customers_under_one_address_are_told_apart(desk: Desk) -> None:
    share_address(desk)
    page = await ask(desk)
    page = await desk.visitor.submit(page, "Continue", {"code": await code_for(desk)})
    assert page.h1 == "Which subscription do you want to cancel?"
    assert page.path == f"/cancel/v/{newest(desk).id}"
    for words in ("Pro $29.00 a month", "Northwind Publish", "Ben Halvorsen’s account", "Account "):
        assert words in page.text, words
    assert (await desk.visitor.open(page.path)).text == page.text  # until one is chosen
    rows = {label.text: label["for"] for label in page.root.all("label")}
    publish = next(page.by_id(field)["value"] for words, field in rows.items() if "Publish" in words)
    page = await desk.visitor.submit(page, "Continue", {"subscription": publish})
    assert page.h1 == "Why do you want to leave?"
    session = desk.session()
    assert (session.customer_id, session.state["subscription_id"]) == ("cus_emil", "sub_emil_publish")


async def test_one_of_the_subscriptions_has_to_be_chosen(desk: Desk) -> None:
    share_address(desk)
    page = await ask(desk)
    page = await desk.visitor.submit(page, "Continue", {"code": await code_for(desk)})
    wrong = await desk.visitor.submit(page, "Continue", status=422)
    assert wrong.by_id("subscription-error").text == "Choose the subscription you want to cancel"
    for value in ("9.9", "0", "0.", "sub_ben_pro", "cus_ada", "-1.0", "x" * 5_000, "<script>"):
        answer = await post(desk, page, subscription=value, action="choose")
        assert answer.status_code == 422
        assert "Choose one of the subscriptions below" in answer.text
    assert desk.sessions() == []


# --- The wrong one --------------------------------------------------------------------------------------------------


async def test_a_wrong_code_says_how_many_tries_are_left_and_stays_as_typed(desk: Desk) -> None:
    page = await ask(desk)
    wrong = not_the(await code_for(desk))
    typed = f"{wrong[:3]} {wrong[3:]}"
    for left in ("4 tries", "3 tries", "2 tries", "1 try"):
        page = await desk.visitor.submit(page, "Continue", {"code": typed}, status=422)
        assert page.title.startswith("Error: Check your email")
        assert page.by_id("code-error").text == f"This is not the code. You have {left} left"
        assert page.value("code") == typed
    page = await desk.visitor.submit(page, "Continue", {"code": typed}, status=422)
    assert page.h1 == "This code no longer works"
    assert page.buttons == ["Send me a new code"]


async def test_the_right_code_after_five_wrong_ones_is_of_no_use_and_a_new_one_is(desk: Desk) -> None:
    page = await ask(desk)
    code = await code_for(desk)
    spent = await try_wrong(desk, page, 5)
    again = await desk.visitor.submit(page, "Continue", {"code": code}, status=422)
    assert again.h1 == spent.h1 == "This code no longer works"
    desk.clock.advance(minutes=1)
    page = await desk.visitor.submit(spent, "Send me a new code")
    assert page.h1 == "Another message is on its way"
    page = await desk.visitor.submit(page, "Continue", {"code": await code_for(desk)})
    assert page.h1 == "Why do you want to leave?"


async def test_a_new_code_that_has_to_wait_leaves_no_field_for_the_old_one(desk: Desk) -> None:
    page = await ask(desk)
    spent = await try_wrong(desk, page, 5)
    held = await desk.visitor.submit(spent, "Send me a new code", status=429)
    assert held.h1 == "Too soon for a new code"
    assert "A new one can go to ben@example.com in" in held.text
    assert held.buttons == ["Send me a new code"]
    request = await desk.visitor.follow(held, "Leave a request instead")
    assert request.value("email") == "ben@example.com"


async def test_who_comes_back_to_the_page_is_told_that_the_code_is_over(desk: Desk) -> None:
    page = await ask(desk)
    await try_wrong(desk, page, 5)
    assert (await desk.visitor.open(page.path)).h1 == "This code no longer works"
    desk.clock.advance(minutes=1)
    page = await ask(desk)
    await code_for(desk)
    assert (await desk.visitor.open(page.path)).h1 == "Check your email"
    desk.clock.advance(minutes=10)
    over = await desk.visitor.open(page.path)
    assert over.h1 == "This code has expired"
    assert over.buttons == ["Send me a new code"]
    empty = await desk.visitor.submit(page, "Continue", {"code": ""}, status=422)
    assert empty.h1 == "This code has expired"


async def test_what_cannot_be_a_code_costs_no_try(desk: Desk) -> None:
    page = await ask(desk)
    code = await code_for(desk)
    for typed, message in (
        ("", "Enter the code from the message"),
        ("  ", "Enter the code from the message"),
        ("12345", "Enter the 6 digits of the code, nothing else"),
        ("1234567", "Enter the 6 digits of the code, nothing else"),
        ("code", "Enter the 6 digits of the code, nothing else"),
        ("1" * 100_000, "Enter the 6 digits of the code, nothing else"),
    ):
        wrong = await desk.visitor.submit(page, "Continue", {"code": typed}, status=422)
        assert wrong.by_id("code-error").text == message
    assert newest(desk).tries == 0
    assert (await desk.visitor.submit(page, "Continue", {"code": code})).h1 == "Why do you want to leave?"


async def test_a_code_typed_before_its_mail_is_made_is_wrong_and_no_more(desk: Desk) -> None:
    page = await ask(desk)
    page = await desk.visitor.submit(page, "Continue", {"code": "123456"}, status=422)
    assert page.by_id("code-error").text == "This is not the code. You have 4 tries left"


async def test_an_expired_code_says_so_and_a_new_one_goes_on(desk: Desk) -> None:
    page = await ask(desk)
    code = await code_for(desk)
    desk.clock.advance(minutes=10)
    expired = await desk.visitor.submit(page, "Continue", {"code": code}, status=422)
    assert expired.h1 == "This code has expired"
    assert "a code works for 10 minutes only" in expired.text
    assert "ben@example.com" in expired.text
    page = await desk.visitor.submit(expired, "Send me a new code")
    page = await desk.visitor.submit(page, "Continue", {"code": await code_for(desk)})
    assert page.h1 == "Why do you want to leave?"


async def test_the_page_says_how_long_a_code_lives_here(desk: Desk) -> None:
    desk.merchant.change(code_life_s=300)
    assert "The code works for 5 minutes" in (await ask(desk)).text


async def test_ten_wrong_codes_an_hour_and_then_a_request_is_the_way_on(desk: Desk) -> None:
    page = await try_wrong(desk, await ask(desk), 5)
    desk.clock.advance(minutes=1)
    page = await try_wrong(desk, await desk.visitor.submit(page, "Send me a new code"), 5)
    desk.clock.advance(minutes=1)
    page = await desk.visitor.submit(page, "Send me a new code")
    code = await code_for(desk)
    limited = await desk.visitor.submit(page, "Continue", {"code": code}, status=429)
    assert limited.h1 == "Too many wrong codes"
    assert "you can go on in 58 minutes" in limited.text
    assert limited.response.headers["retry-after"] == "3480"
    request = await desk.visitor.follow(limited, "Leave a request instead")
    assert request.value("email") == "ben@example.com"
    assert (await desk.visitor.submit(request, "Send my request")).h1 == "Northwind Notes has your request"
    assert desk.sessions() == []


# --- One more mail, another address ---------------------------------------------------------------------------------


async def test_another_message_can_be_asked_for_after_a_minute(desk: Desk) -> None:
    page = await ask(desk)
    code = await code_for(desk)
    desk.clock.advance(seconds=45)
    soon = await desk.visitor.submit(page, "Send another message", status=429)
    assert soon.h1 == "Too soon for another message"
    assert "can go out in 15 seconds" in soon.text
    assert soon.response.headers["retry-after"] == "15"
    desk.clock.advance(seconds=15)
    again = await desk.visitor.submit(soon, "Send another message")
    assert again.h1 == "Another message is on its way"
    assert again.path == page.path
    assert await code_for(desk) == code  # the second message says the same
    assert (await desk.visitor.submit(again, "Continue", {"code": code})).h1 == "Why do you want to leave?"


async def test_a_code_still_works_while_the_next_message_has_to_wait(desk: Desk) -> None:
    page = await ask(desk)
    code = await code_for(desk)
    soon = await desk.visitor.submit(page, "Send another message", status=429)
    assert (await desk.visitor.submit(soon, "Continue", {"code": code})).h1 == "Why do you want to leave?"


async def test_the_address_can_be_changed_and_is_there_to_be_changed(desk: Desk) -> None:
    page = await ask(desk, "bne@example.com")
    entry = await desk.visitor.follow(page, "Use another address")
    assert entry.value("email") == "bne@example.com"
    page = await desk.visitor.submit(entry, "Send me a code", {"email": "ben@example.com"})
    assert "A message to ben@example.com is on its way" in page.text


async def test_a_request_can_be_left_at_any_time_with_the_address_filled_in(desk: Desk) -> None:
    request = await desk.visitor.follow(await ask(desk), "Leave a request instead")
    assert request.value("email") == "ben@example.com"
    back = await desk.visitor.follow(request, "Use a code by email instead")
    assert back.h1 == "Cancel your subscription"


async def test_an_unknown_address_that_is_guessed_right_finds_nothing_and_says_how_to_go_on(
    desk: Desk,
) -> None:
    page = await ask(desk, STRANGER)
    page = await desk.visitor.submit(page, "Continue", {"code": await code_for(desk, STRANGER)})
    assert page.h1 == "We found no active subscription"
    assert page.links["help@northwind.example"]
    assert (await desk.visitor.follow(page, "Try another address")).value("email") == STRANGER
    assert (await desk.visitor.follow(page, "Leave a request instead")).value("email") == STRANGER
    assert desk.sessions() == []


# --- Whose page it is -----------------------------------------------------------------------------------------------


async def test_another_browser_cannot_use_the_code_and_can_begin_anew(desk: Desk) -> None:
    page = await ask(desk)
    code = await code_for(desk)
    before = desk.everything()
    async with desk.browser() as client:
        await client.get(f"/cancel/{desk.merchant.app_id}")  # a browser we know, too
        stranger = Visitor(client)
        refused = await stranger.open(page.path, status=403)
        assert refused.h1 == "This page belongs to another browser"
        assert "ben@" not in refused.text
        for token in (str(page.value("csrf_token")), ""):
            answer = await client.post(
                page.path, data={"csrf_token": token, "code": code, "action": "check"}, headers=FROM_US
            )
            assert answer.status_code == 403
        assert (await stranger.follow(refused, "Start again")).h1 == "Cancel your subscription"
        of_another = await stranger.open(f"/cancel/{desk.merchant.app_id}?of={newest(desk).id}")
        assert of_another.value("email") == ""
    assert desk.everything() == before


async def test_a_verification_that_is_none_belongs_to_nobody(desk: Desk) -> None:
    await ask(desk)
    for strange in ("ver_" + "0" * 24, "%00", "%F0%9F%98%80", "%ff", "..%5c", "x" * 3_000, "%3Cscript%3E"):
        for method in ("GET", "POST", "HEAD"):
            answer = await desk.visitor.client.request(method, f"/cancel/v/{strange}", headers=FROM_US)
            assert answer.status_code == 403, (method, strange)
            assert "Northwind" not in answer.text
            assert "<script>" not in answer.text


async def test_a_browser_that_lost_its_cookie_begins_anew(desk: Desk) -> None:
    page = await ask(desk)
    desk.visitor.client.cookies.clear()
    for _ in range(2):
        refused = await desk.visitor.open(page.path, status=403)
        assert "Start again" in refused.links


async def test_a_form_that_is_not_ours_tries_no_code_and_keeps_what_was_typed(desk: Desk) -> None:
    page = await ask(desk)
    await code_for(desk)
    before = desk.everything()
    for action in ("check", "resend", "choose", "open"):
        answer = await post(desk, page, csrf_token="", code="123 456", action=action)
        assert answer.status_code == 403
        assert Page(answer).value("code") == "123 456"
        assert "What you typed is still here" in answer.text
    assert desk.everything() == before


async def test_viewing_changes_nothing(desk: Desk) -> None:
    share_address(desk)
    page = await ask(desk)
    code = await code_for(desk)
    before = desk.everything()
    for suffix in ("", "?again", "?nonsense=%00"):
        for method in ("GET", "HEAD"):
            for headers in (FROM_A_PAGE, FROM_US, {}):
                answer = await desk.visitor.client.request(method, page.path + suffix, headers=headers)
                assert answer.status_code == 200
    assert desk.everything() == before
    page = await desk.visitor.submit(page, "Continue", {"code": code})
    before = desk.everything()
    await desk.visitor.open(page.path)
    assert desk.everything() == before


async def test_a_code_that_was_right_when_the_power_went_still_opens_the_session(desk: Desk) -> None:
    page = await ask(desk)
    row, code = newest(desk), await code_for(desk)
    desk.database.write_sync(
        verify.try_code,
        desk.ports.signer,
        verification_id=row.id,
        browser_sha256=row.browser_sha256,
        typed=code,
        ip="192.0.2.1",
        now=desk.clock.now(),
    )
    page = await desk.visitor.open(page.path)
    assert page.h1 == "Your email address is confirmed"
    page = await desk.visitor.submit(page, "Continue")
    assert (page.h1, desk.session().customer_id) == ("Why do you want to leave?", "cus_ben")


async def test_neither_page_nor_database_gives_a_code_away(desk: Desk) -> None:
    page = await ask(desk)
    code = await code_for(desk)
    assert code not in page.response.text
    rows = desk.everything()
    assert code not in str((rows["verifications"], rows["mails"], rows["outbox_jobs"]))


async def test_other_methods_are_not_taken(desk: Desk) -> None:
    page = await ask(desk)
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await desk.visitor.client.request(method, page.path)).status_code == 405


async def test_the_page_is_the_merchants_and_speaks_the_visitors_language(desk: Desk) -> None:
    desk.visitor.client.headers["Accept-Language"] = "en-GB"
    page = await ask(desk)
    assert page.root.all("html")[0]["lang"] == "en-GB"
    assert page.title == "Check your email – Northwind Notes"
    assert desk.all(Verification)[0].locale == "en_GB"


async def post(desk: Desk, page: Page, **fields: str) -> httpx.Response:
    return await desk.visitor.client.post(
        page.path, data={"csrf_token": str(page.value("csrf_token")), **fields}, headers=FROM_US
    )
