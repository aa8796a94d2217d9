"""What a customer of the demo shop sees and does."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from demo.customers import CUSTOMERS
from demo.shop.outcomes import NOTICES
from tests.demo.shops import KEYS, LINK, ORIGIN, Shop, open_shop
from tests.support.html import Element, parse

OUTCOMES = [
    "canceled",
    "kept",
    "discount_accepted",
    "pause_accepted",
    "plan_switched",
    "trial_extended",
    "support_requested",
    "redirected",
    "uncanceled",
    "resumed",
    "manual_cancellation_requested",
    "cancel_already_scheduled",
    "dismissed",
    "expired",
]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


def plan(page: str, subscription_id: str) -> Element:
    """The card of one subscription."""
    cards = parse(page).all("article")
    return next(card for card in cards if card["data-subscription"] == subscription_id)


def words(page: str) -> str:
    return parse(page).all("main")[0].text


def returned(
    *, result: str = "kept", t: int = 1795251600, key: str = KEYS["test"].api_key, session: str = "cs_1"
) -> str:
    """The return URL as Leavewell makes it."""
    sig = hmac.new(key.encode(), f"{session}.{result}.{t}".encode(), hashlib.sha256).hexdigest()
    return f"/demo/billing?result={result}&session={session}&t={t}&sig={sig}"


# --- Signing in ---


async def test_front_door_introduces_all_six_customers(shop: Shop) -> None:
    page = await shop.page("/demo")
    for customer in CUSTOMERS:
        assert customer.name in page
        assert customer.blurb in page


async def test_every_customer_gets_notes_and_a_billing_page(shop: Shop) -> None:
    for customer in CUSTOMERS:
        await shop.sign_in(customer.id)
        assert customer.name.split()[0] in words(await shop.page("/demo/notes"))
        assert customer.email in words(await shop.page("/demo/billing"))


@pytest.mark.parametrize("path", ["/demo/notes", "/demo/billing", "/demo/backstage"])
async def test_a_customers_pages_ask_to_sign_in_and_lead_back(shop: Shop, path: str) -> None:
    answer = await shop.browser.get(f"{path}?a=1&b=2")
    assert answer.status_code == 303
    door = await shop.browser.get(answer.headers["location"])
    then = next(field["value"] for field in parse(door.text).all("input") if field["name"] == "then")
    entered = await shop.browser.post("/demo/sign-in", data={"customer": "cus_ada", "then": then})
    assert entered.headers["location"] == f"{path}?a=1&b=2"


@pytest.mark.parametrize(
    "then",
    [
        "https://evil.example/",
        "//evil.example",
        "/demo/../../x\\y",
        "/cancel/x",
        "javascript:1",
        "http://[",
        "/demo\r\nx: y",
    ],
)
async def test_signing_in_never_leads_off_the_shop(shop: Shop, then: str) -> None:
    answer = await shop.browser.post("/demo/sign-in", data={"customer": "cus_ada", "then": then})
    assert answer.headers["location"] == "/demo/notes"


@pytest.mark.parametrize("cookie", ["", "x", "eyJjIjoiY3VzX2FkYSIsIm0iOiJ0ZXN0In0.forged", "é", "." * 500])
async def test_a_cookie_that_is_not_ours_signs_nobody_in(shop: Shop, cookie: str) -> None:
    answer = await shop.browser.get("/demo/billing", headers={"cookie": f"northwind_visit={cookie}".encode()})
    assert answer.status_code == 303


async def test_one_changed_character_of_the_cookie_signs_out(shop: Shop) -> None:
    await shop.sign_in("cus_ada")
    cookie = shop.browser.cookies["northwind_visit"].strip('"')
    shop.browser.cookies.clear()
    for position in range(0, len(cookie) - 1, 7):
        other = "A" if cookie[position] != "A" else "B"
        changed = cookie[:position] + other + cookie[position + 1 :]
        answer = await shop.browser.get("/demo/notes", headers={"cookie": f"northwind_visit={changed}"})
        assert answer.status_code == 303


async def test_signing_out_signs_out(shop: Shop) -> None:
    await shop.sign_in("cus_ada")
    await shop.browser.post("/demo/sign-out")
    assert (await shop.browser.get("/demo/notes")).status_code == 303


async def test_nobody_can_be_somebody_else(shop: Shop) -> None:
    answer = await shop.browser.post("/demo/sign-in", data={"customer": "cus_nobody"})
    assert answer.status_code == 404
    assert parse(answer.text).all("h1")


async def test_a_form_on_another_site_does_nothing(shop: Shop) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    answer = await shop.browser.post("/demo/sign-in", data={"customer": "cus_ada"}, headers=headers)
    assert answer.status_code == 403
    assert (await shop.browser.get("/demo/notes")).status_code == 303


# --- Billing ---


async def test_billing_shows_plan_price_and_next_charge(shop: Shop) -> None:
    await shop.sign_in("cus_ben")
    card = plan(await shop.page("/demo/billing"), "sub_ben_pro").text
    assert "$29.00 a month" in card
    assert "Next charge $29.00 on 12 December 2026" in card


async def test_billing_shows_a_discount_and_until_when(shop: Shop) -> None:
    shop.act("sub_ben_pro", "discount", couponId="coupon_half_price")
    await shop.sign_in("cus_ben")
    page = await shop.page("/demo/billing")
    card = plan(page, "sub_ben_pro").text
    assert "Usually $29.00 $14.50 a month" in card
    assert "Next charge $14.50 on 12 December 2026" in card
    assert "Discount 50% off, until 12 March 2027" in card
    assert "Discount added" in words(page)


async def test_billing_shows_an_amount_off(shop: Shop) -> None:
    shop.act("sub_ben_pro", "discount", couponId="coupon_five_dollars")
    await shop.sign_in("cus_ben")
    card = plan(await shop.page("/demo/billing"), "sub_ben_pro").text
    assert "$24.00 a month" in card
    assert "$5.00 off, until 12 June 2027" in card


async def test_billing_shows_a_trial_and_its_end(shop: Shop) -> None:
    await shop.sign_in("cus_dana")
    card = plan(await shop.page("/demo/billing"), "sub_dana_pro").text
    assert "Free trial" in card
    assert "Trial ends 30 November 2026" in card
    assert "First charge $29.00 on 30 November 2026" in card


async def test_a_pause_can_be_ended(shop: Shop) -> None:
    shop.act("sub_ada_lite", "pause", resumesAt="2027-01-21T09:00:00Z")
    await shop.sign_in("cus_ada")
    page = await shop.page("/demo/billing")
    assert "Paused until 21 January 2027" in plan(page, "sub_ada_lite").text
    answer = await shop.browser.post("/demo/billing/resume", data={"subscription": "sub_ada_lite"})
    assert "running again" in words(await shop.page(answer.headers["location"]))
    assert shop.subscription("sub_ada_lite")["status"]["name"] == "active"


async def test_a_break_of_a_year_that_is_paid_for_moves_what_is_charged_next(shop: Shop) -> None:
    shop.act("sub_chen_pro", "pause", resumesAt="2027-01-21T09:00:00Z", renewsAt="2027-09-15T09:00:00Z")
    await shop.sign_in("cus_chen")
    page = await shop.page("/demo/billing")
    card = plan(page, "sub_chen_pro").text
    assert "On a break until 21 January 2027" in card
    assert "Next charge $290.00 on 15 September 2027" in card
    assert "Break until 21 January 2027, renewal moved to 15 September 2027" in words(page)
    shop.clock.advance(days=62)
    card = plan(await shop.page("/demo/billing"), "sub_chen_pro").text
    assert "On a break" not in card
    assert "Next charge $290.00 on 15 September 2027" in card


async def test_a_scheduled_end_is_shown_and_can_be_undone(shop: Shop) -> None:
    shop.act("sub_chen_pro", "cancel", timing="period_end")
    await shop.sign_in("cus_chen")
    card = plan(await shop.page("/demo/billing"), "sub_chen_pro")
    assert "Ends on 17 July 2027" in card.text
    assert "Next charge" not in card.text
    assert [button.text for button in card.all("button")] == ["Undo cancellation"]
    answer = await shop.browser.post("/demo/billing/undo", data={"subscription": "sub_chen_pro"})
    page = await shop.page(answer.headers["location"])
    assert "Your subscription goes on." in words(page)
    assert "Next charge" in plan(page, "sub_chen_pro").text
    assert not shop.subscription("sub_chen_pro").get("end")


async def test_undoing_twice_says_that_it_was_done_already(shop: Shop) -> None:
    await shop.sign_in("cus_chen")
    answer = await shop.browser.post("/demo/billing/undo", data={"subscription": "sub_chen_pro"})
    assert answer.status_code == 409
    assert "not scheduled to end" in words(answer.text)


async def test_nobody_undoes_for_somebody_else(shop: Shop) -> None:
    shop.act("sub_chen_pro", "cancel", timing="period_end")
    await shop.sign_in("cus_ada")
    answer = await shop.browser.post("/demo/billing/undo", data={"subscription": "sub_chen_pro"})
    assert answer.status_code == 404
    assert shop.subscription("sub_chen_pro")["end"]


async def test_what_has_ended_can_no_longer_be_canceled(shop: Shop) -> None:
    shop.act("sub_ada_lite", "cancel", timing="now")
    await shop.sign_in("cus_ada")
    page = await shop.page("/demo/billing")
    assert "Ended on 21 November 2026" in words(page)
    assert "Cancel subscription" not in page


async def test_several_subscriptions_are_all_shown(shop: Shop) -> None:
    await shop.sign_in("cus_emil")
    page = await shop.page("/demo/billing")
    assert "$29.00" in plan(page, "sub_emil_pro").text
    assert "$12.00" in plan(page, "sub_emil_publish").text


async def test_test_and_live_data_are_apart(shop: Shop) -> None:
    shop.act("sub_ben_pro", "discount", couponId="coupon_half_price")
    await shop.sign_in("cus_ben")
    answer = await shop.browser.post("/demo/mode", data={"mode": "live", "back": "/demo/billing"})
    page = await shop.page(answer.headers["location"])
    assert "live data" in words(page)
    assert "Discount" not in plan(page, "sub_ben_pro").text


async def test_an_unknown_mode_changes_nothing(shop: Shop) -> None:
    await shop.sign_in("cus_ben")
    await shop.browser.post("/demo/mode", data={"mode": "<b>", "back": "https://evil.example"})
    assert "test data" in words(await shop.page("/demo/billing"))


async def test_billing_that_does_not_answer_gets_a_friendly_page(shop: Shop) -> None:
    await shop.sign_in("cus_ben")
    shop.line.is_cut = True
    assert "help@northwind.example" in words(await shop.page("/demo/billing", status=503))


# --- To the cancel page and back ---


async def test_cancel_button_mints_a_link_and_leads_to_it(shop: Shop) -> None:
    await shop.sign_in("cus_ben")
    forms = parse(await shop.page("/demo/billing")).all("form")
    form = next(form for form in forms if form.text == "Cancel subscription")
    assert form["method"] == "post"
    fields = {field["name"]: field["value"] for field in form.all("input")}
    answer = await shop.browser.post(form["action"], data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, LINK)
    request = shop.leavewell.asked[-1]
    assert (request.method, str(request.url)) == ("POST", f"{ORIGIN}/v1/cancel-sessions")
    assert request.headers["x-ck-app"] == "app_test_1"
    assert request.headers["x-ck-api-key"] == KEYS["test"].api_key
    assert shop.leavewell.body == {
        "customerId": "cus_ben",
        "subscriptionId": "sub_ben_pro",
        "expiresAt": "2026-11-21T10:00:00+00:00",
        "returnUrl": f"{ORIGIN}/demo/billing",
    }


async def test_with_several_subscriptions_the_cancel_page_asks_which(shop: Shop) -> None:
    await shop.sign_in("cus_emil")
    await shop.browser.post("/demo/billing/cancel")
    assert "subscriptionId" not in shop.leavewell.body


async def test_live_mode_mints_with_the_live_key(shop: Shop) -> None:
    await shop.sign_in("cus_ben")
    await shop.browser.post("/demo/mode", data={"mode": "live"})
    await shop.browser.post("/demo/billing/cancel")
    assert shop.leavewell.asked[-1].headers["x-ck-api-key"] == KEYS["live"].api_key


async def test_the_way_back_is_to_the_address_one_came_from(shop: Shop) -> None:
    await shop.sign_in("cus_ben")
    cookie = f"northwind_visit={shop.browser.cookies['northwind_visit']}"
    for host, home in (("localhost:8000", "http://localhost:8000"), ("evil.example", ORIGIN)):
        await shop.browser.post("/demo/billing/cancel", headers={"host": host, "cookie": cookie})
        assert shop.leavewell.body["returnUrl"] == f"{home}/demo/billing"


async def test_nobody_cancels_without_signing_in(shop: Shop) -> None:
    answer = await shop.browser.post("/demo/billing/cancel")
    assert answer.headers["location"].startswith("/demo?then=")
    assert not shop.leavewell.asked


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(422, json={"message": "expiresAt is in the past."}), "expiresAt is in the past."),
        (httpx.Response(401, json={"detail": "The key is wrong <b>."}), "The key is wrong <b>."),
        (httpx.Response(500, text="oops"), "do not understand"),
        (httpx.Response(201, json={"url": 7}), "do not understand"),
        (httpx.Response(200, json=["x"]), "do not understand"),
        (httpx.ConnectError("refused"), "does not answer"),
        (httpx.ReadTimeout("slow"), "does not answer"),
    ],
)
async def test_when_no_link_can_be_made_there_is_another_way(
    shop: Shop, answer: httpx.Response | httpx.TransportError, said: str
) -> None:
    shop.leavewell.answer = answer
    await shop.sign_in("cus_ben")
    page = await shop.browser.post("/demo/billing/cancel")
    assert page.status_code == 502
    assert said in words(page.text)
    assert "help@northwind.example" in words(page.text)


async def test_on_direct_the_link_carries_customer_and_subscriptions(tmp_path: Path) -> None:
    async with open_shop(tmp_path, sends_billing_data=True) as shop:
        await shop.sign_in("cus_emil")
        await shop.browser.post("/demo/billing/cancel")
        assert shop.leavewell.body["customer"]["email"] == "emil@example.com"
        sent = [subscription["id"] for subscription in shop.leavewell.body["subscriptions"]]
        assert sent == ["sub_emil_pro", "sub_emil_publish"]


async def test_the_form_may_go_to_leavewell_and_nowhere_else(shop: Shop) -> None:
    answer = await shop.browser.get("/demo")
    assert f"form-action 'self' {ORIGIN}" in answer.headers["content-security-policy"]


def test_every_outcome_has_its_notice() -> None:
    assert list(NOTICES) == OUTCOMES


@pytest.mark.parametrize("result", OUTCOMES)
async def test_coming_back_shows_what_happened(shop: Shop, result: str) -> None:
    await shop.sign_in("cus_ben")
    assert NOTICES[result].title in words(await shop.page(returned(result=result)))


@pytest.mark.parametrize(
    "address",
    [
        returned(key="another key"),
        returned(result="<script>"),
        returned(t=1795251600 - 3700),
        returned().replace("cs_1", "cs_2"),
        returned().replace("t=1795251600", "t=soon"),
        "/demo/billing?result=kept&sig=%F0%9F%8C%B2",
        "/demo/billing?done=%00",
    ],
)
async def test_a_return_that_is_not_leavewells_shows_no_notice(shop: Shop, address: str) -> None:
    await shop.sign_in("cus_ben")
    page = await shop.page(address)
    assert not [element for element in parse(page) if element["role"] == "status"]


async def test_a_return_is_told_from_live_and_from_test(shop: Shop) -> None:
    await shop.sign_in("cus_ben")
    assert NOTICES["kept"].title in words(await shop.page(returned(key=KEYS["live"].api_key)))


# --- Backstage ---


async def test_backstage_shows_the_mint_without_its_secrets(shop: Shop) -> None:
    await shop.sign_in("cus_ben")
    await shop.browser.post("/demo/billing/cancel")
    page = await shop.page("/demo/backstage")
    assert "POST /v1/cancel-sessions" in page
    assert '"customerId": "cus_ben"' in parse(page).text.replace("&quot;", '"')
    assert KEYS["test"].api_key not in page
    assert "cl_abcdef" not in page


async def test_backstage_shows_the_return_without_its_signature(shop: Shop) -> None:
    await shop.sign_in("cus_ben")
    address = returned()
    await shop.page(address)
    page = await shop.page("/demo/backstage")
    assert "Signature is true." in page
    assert address.partition("sig=")[2] not in page


async def test_unknown_addresses_get_a_page_of_the_shop(shop: Shop) -> None:
    assert "Not here" in words(await shop.page("/demo/nothing", status=404))


async def test_a_head_request_is_answered(shop: Shop) -> None:
    assert (await shop.browser.head("/demo")).status_code == 200
