"""A customer's way through the pages, with each vendor behind them: what is said is what the vendor then has."""

import io
import logging
from decimal import Decimal

import pytest

from app.core.billing import Cancel, Discount, is_in_place
from app.core.direct import Paused
from tests.providers.shop import Shop, database_dump, secrets_of

pytestmark = pytest.mark.anyio

HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)


# --- What was pressed is what is there --------------------------------------------------------------------------------


async def test_cancelled(shop: Shop) -> None:
    page = await shop.cancel()
    assert shop.session().outcome == "canceled", page.h1
    ben = shop.subscription("sub_ben_pro")
    assert is_in_place(Cancel(timing="period_end"), ben, shop.clock.now())
    assert shop.changes("sub_ben_pro") == ["cancel"]
    await shop.work(0)
    (receipt,) = shop.receipts()
    assert (receipt.content["status"], receipt.signature is not None) == ("confirmed", True)


async def test_cancelled_and_taken_back(shop: Shop) -> None:
    page = await shop.cancel()
    page = await shop.press(page, "uncancel")
    assert shop.session().outcome == "uncanceled", page.h1
    assert shop.subscription("sub_ben_pro").end is None
    assert shop.changes("sub_ben_pro") == ["cancel", "uncancel"]


async def test_half_price(shop: Shop) -> None:
    page = await shop.press(await shop.at_offer("price"), "accept")
    assert shop.session().outcome == "discount_accepted", page.h1
    assert is_in_place(HALF, shop.subscription("sub_ben_pro"), shop.clock.now())
    assert shop.changes("sub_ben_pro") == ["discount"]
    assert shop.offers()[0].status == "applied"


async def test_a_pause_and_back_before_its_end(shop: Shop) -> None:
    page = await shop.press(await shop.at_offer("unused"), "accept")
    assert shop.session().outcome == "pause_accepted", page.h1
    assert isinstance(shop.subscription("sub_ben_pro").status, Paused)
    shop.clock.advance(hours=2)
    page = await shop.enter()
    assert shop.session().phase == "paused", page.h1
    page = await shop.press(page, "resume")
    assert shop.session().outcome == "resumed", page.h1
    assert not isinstance(shop.subscription("sub_ben_pro").status, Paused)
    assert shop.changes("sub_ben_pro") == ["pause", "resume"]


async def test_a_smaller_plan(shop: Shop) -> None:
    page = await shop.press(await shop.at_offer("too-big"), "accept")
    assert shop.session().outcome == "plan_switched", page.h1
    assert shop.subscription("sub_ben_pro").items[0].price.id == shop.id_of("price_lite_monthly")
    assert shop.changes("sub_ben_pro") == ["change-plan"]


# --- What the vendor will not, or cannot ------------------------------------------------------------------------------


async def test_several_items_are_a_request_and_nothing_is_written(shop: Shop) -> None:
    ben = shop.simulator.vendor.find_customer(shop.books, shop.id_of("cus_ben"))
    (subscription,) = shop.simulator.vendor.list_subscriptions(
        shop.books, shop.id_of("cus_ben"), shop.clock.now()
    )
    assert ben is not None
    lite = {
        "id": "price_lite_monthly",
        "amount": {"value": 600, "currency": "USD"},
        "duration": {"interval": "month"},
    }
    given = {
        **subscription,
        "id": "sub_several",
        "customerId": "cus_several",
        "items": [
            {"id": "sub_several_1", "price": {**lite, "id": "price_pro_monthly"}, "quantity": 1},
            {"id": "sub_several_2", "price": lite, "quantity": 1},
        ],
        "discounts": [],
        "metadata": {},
    }
    person = {
        "id": "cus_several",
        "email": "several@example.com",
        "currency": "USD",
        "addresses": [{"country": "US"}],
    }
    shop.simulator.vendor.put_customer(shop.books, person, [given], shop.clock.now())
    page = await shop.cancel("cus_several")
    session = shop.session()
    assert session.outcome == "manual_cancellation_requested", page.h1
    assert "several_items" in session.state["manual_reasons"]
    assert shop.changes("sub_several") == []
    assert "canceled" not in page.h1.lower()


async def test_a_coupon_that_is_gone_by_then_is_said_and_the_way_out_stays_open(shop: Shop) -> None:
    page = await shop.at_offer("coupon")
    if not shop.offers():
        return  # the vendor has no coupons of that kind: it was not offered
    shop.simulator.vendor.remove_coupon(shop.books, shop.id_of("coupon_half_price"))
    page = await shop.press(page, "accept")
    assert shop.session().phase == "trouble", page.h1
    assert shop.effects()[0].status == "failed"
    assert shop.changes("sub_ben_pro") == []
    page = await shop.press(page, "cancel_now")
    page = await shop.press(page, "confirm")
    assert shop.session().outcome == "canceled", page.h1


async def test_a_coupon_that_is_gone_already_is_not_offered(shop: Shop) -> None:
    shop.simulator.vendor.remove_coupon(shop.books, shop.id_of("coupon_half_price"))
    await shop.at_offer("coupon")
    assert shop.offers() == []


async def test_a_customer_whom_the_vendor_does_not_know_still_gets_out(shop: Shop) -> None:
    page = await shop.enter("cus_nobody")
    assert page.h1
    assert [button for button in page.buttons if button] or page.links  # a way on
    assert shop.books.changes == []


async def test_a_subscription_of_somebody_else_is_never_touched(shop: Shop) -> None:
    page = await shop.enter("cus_ben", subscription_id=shop.id_of("sub_dana_pro"))
    assert shop.session().subscription_id != shop.id_of("sub_dana_pro"), page.h1
    assert shop.changes("sub_dana_pro") == []


# --- The connection ---------------------------------------------------------------------------------------------------


async def test_credentials_revoked_in_the_middle_cost_time_and_nothing_else(shop: Shop) -> None:
    page = await shop.press(await shop.enter(), "cancel_now")
    secret = _secret_field(shop)
    shop.set_credentials(**{secret: _other(shop.simulator.vendor.credentials("test")[secret])})
    page = await shop.press(page, "confirm")
    (effect,) = shop.effects()
    assert effect.status == "pending", page.h1
    assert await shop.said_after_a_while(page) == "We have your cancellation"
    assert shop.changes("sub_ben_pro") == []
    shop.set_credentials()
    await shop.work()
    await shop.work()
    assert shop.effects()[0].status == "applied"
    assert shop.session().outcome == "canceled"
    assert shop.changes("sub_ben_pro") == ["cancel"]


async def test_with_wrong_credentials_there_are_no_offers_and_a_way_out(shop: Shop) -> None:
    secret = _secret_field(shop)
    shop.set_credentials(**{secret: _other(shop.simulator.vendor.credentials("test")[secret])})
    page = await shop.cancel(subscription_id=shop.id_of("sub_ben_pro"))
    assert shop.offers() == []
    assert await shop.said_after_a_while(page) == "We have your cancellation"
    assert [effect.status for effect in shop.effects()] == ["pending"]


async def test_the_customer_sees_progress_while_the_vendor_takes_long(shop: Shop) -> None:
    page = await shop.press(await shop.enter(), "cancel_now")
    shop.break_vendor("before_commit", "500", times=2)
    page = await shop.press(page, "confirm")
    assert page.path.endswith("/working")
    await shop.work()
    await shop.work()
    assert shop.session().outcome == "canceled"
    assert shop.changes("sub_ben_pro") == ["cancel"]


# --- Secrets ----------------------------------------------------------------------------------------------------------


async def test_no_secret_is_in_a_log_a_page_an_error_or_the_database(
    shop: Shop, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    heard = io.StringIO()
    listener = logging.StreamHandler(heard)
    logging.getLogger().addHandler(listener)
    try:
        await shop.press(await shop.at_offer("price"), "accept")
        await shop.cancel("cus_dana")
        shop.break_vendor("before_commit", "500", times=3)
        await shop.cancel("cus_ada")
        secret = _secret_field(shop)
        wrong = _other(shop.simulator.vendor.credentials("test")[secret])
        shop.set_credentials(**{secret: wrong})
        await shop.cancel("cus_farah", subscription_id=shop.id_of("sub_farah_pro"))
        await shop.work()
    finally:
        logging.getLogger().removeHandler(listener)
    printed = capfd.readouterr()
    everything = {
        "the log": heard.getvalue() + caplog.text + printed.out + printed.err,
        "a page": "\n".join(shop.pages),
        "the database": database_dump(shop.merchant.database),
        "an error": "\n".join(f"{effect.last_error} {effect.failed_reason}" for effect in shop.effects()),
    }
    assert "cancel" in everything["a page"]
    for secret_value in (*secrets_of(shop), wrong):
        for place, content in everything.items():
            assert secret_value not in content, f"a secret is in {place}"


def _secret_field(shop: Shop) -> str:
    """The credential that proves who we are."""
    return {"braintree": "private_key"}.get(shop.simulator.vendor.name, "api_key")


def _other(secret: str) -> str:
    return secret[:-6] + ("999999" if secret[-6:] != "999999" else "888888")
