"""What is owed to a customer whatever the vendor: a change is made once though its key is forgotten, what does not show
is no success, and whoever goes on to cancel leaves nothing behind."""

import copy
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from app.db.database import Database
from app.effects.service import GIVE_UP_AFTER, NOT_VERIFIED
from app.sessions.settling import LANDING_TIME
from tests.crash.actions import CANCEL, DISCOUNT, PAUSE, Action
from tests.effects.vendor_shop import VendorShop, vendor_shop
from tests.support import databases
from tests.support.clock import FakeClock
from tests.support.press import press
from tests.support.simulator.vendors import VENDORS

pytestmark = pytest.mark.anyio

KEYS_LAST: Final = timedelta(hours=25)  # longer than any vendor keeps an idempotency key
A_YEAR: Final = timedelta(days=365)
# What vendors call how often a coupon can be redeemed, and until when.
LIMITS: Final = ("max_redemptions", "usage_limit", "conversion_limit")
ENDS: Final = ("redeem_by", "expires_at", "valid_till", "end_date")
OFFERS: Final = [pytest.param(action, id=action.title) for action in (DISCOUNT, PAUSE)]


@pytest.fixture(params=VENDORS)
async def shop(
    request: pytest.FixtureRequest, run_folder: Path, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[VendorShop]:
    """Of one vendor. The database makes no difference to them: one kind will do."""
    with Database(databases.fresh_sqlite(run_folder, tmp_path)) as database:
        async with vendor_shop(database, clock, request.param) as opened:
            yield opened


# --- A key that is forgotten ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [DISCOUNT, CANCEL], ids=["discount", "cancel"])
async def test_what_got_through_before_the_vendor_forgot_its_key_is_not_made_again(
    shop: VendorShop, action: Action
) -> None:
    writes = await shop.count_writes(action)
    screen = await shop.reach(action)
    shop.fail_write(writes, "after_commit", "drop")
    await action.ask(shop.visitor, screen)
    with shop.counting() as count:
        await shop.work(after=KEYS_LAST)
        assert count() == 0
    effect = shop.effects()[-1]
    assert (effect.status, effect.attempts) == ("applied", 1)
    assert shop.done() == action.done


@pytest.mark.parametrize("action", [DISCOUNT, CANCEL], ids=["discount", "cancel"])
async def test_what_did_not_get_through_is_made_though_the_vendor_was_away_for_a_day(
    shop: VendorShop, action: Action
) -> None:
    writes = await shop.count_writes(action)
    screen = await shop.reach(action)
    shop.fail_write(writes, "before_commit", "drop")
    await action.ask(shop.visitor, screen)
    await shop.work(after=KEYS_LAST)
    await shop.work()
    assert shop.effects()[-1].status == "applied"
    assert shop.done() == action.done


# --- What does not show -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shop", ["stripe", "paddle"], indirect=True)
async def test_an_offer_that_never_shows_is_an_alarm_and_at_last_a_failure(
    shop: VendorShop, caplog: pytest.LogCaptureFixture
) -> None:
    screen = await shop.reach(PAUSE)
    shop.show_nothing_new()
    page = await PAUSE.ask(shop.visitor, screen)
    assert page.path.endswith("/working")
    (effect,) = shop.effects()
    assert (effect.status, effect.last_error) == ("pending", NOT_VERIFIED)
    assert list(alarms(caplog)) == [effect.id]
    await shop.work(after=GIVE_UP_AFTER + timedelta(hours=1))
    (effect,) = shop.effects()
    assert (effect.status, effect.failed_reason) == ("failed", "not_verified")
    assert effect.last_error == NOT_VERIFIED
    assert [offer.status for offer in shop.offers()] == ["failed"]
    assert [receipt.status for receipt in shop.receipts()] == ["requested", "failed"]
    assert shop.sessions()[0].outcome is None


@pytest.mark.parametrize("shop", ["stripe", "paddle"], indirect=True)
async def test_a_cancellation_that_never_shows_is_an_alarm_and_at_last_a_persons_task(
    shop: VendorShop, caplog: pytest.LogCaptureFixture
) -> None:
    screen = await shop.reach(CANCEL)
    shop.show_nothing_new()
    await CANCEL.ask(shop.visitor, screen)
    assert list(alarms(caplog)) == [shop.effects()[0].id]
    await shop.work(after=GIVE_UP_AFTER + timedelta(hours=1))
    assert shop.effects()[0].failed_reason == "not_verified"
    assert shop.sessions()[0].outcome == "manual_cancellation_requested"
    assert [receipt.status for receipt in shop.receipts()] == ["requested", "requested"]


def alarms(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """The changes that errors in the log are about."""
    for record in caplog.records:
        if record.levelno == logging.ERROR:
            yield from (word for word in record.getMessage().split() if word.startswith("eff_"))


# --- Accepted, and then canceled --------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", OFFERS)
async def test_whoever_comes_back_to_cancel_is_rid_of_what_they_accepted(
    shop: VendorShop, action: Action
) -> None:
    await action.ask(shop.visitor, await shop.reach(action))
    assert shop.done() == action.done
    page = await press(shop.visitor, await shop.enter(), "cancel_now")
    await press(shop.visitor, page, "confirm")
    await assert_ends(shop, action.done)


@pytest.mark.parametrize("action", OFFERS)
async def test_a_cancellation_follows_an_offer_that_got_through_unseen(
    shop: VendorShop, action: Action
) -> None:
    writes = await shop.count_writes(action)
    screen = await shop.reach(action)
    shop.fail_write(writes, "after_commit", "drop")
    await go_on_to_cancel(shop, action, screen)
    await assert_ends(shop, action.done)


@pytest.mark.parametrize("action", OFFERS)
async def test_an_offer_that_was_withdrawn_half_made_is_not_made_and_leaves_nothing_usable(
    shop: VendorShop, action: Action
) -> None:
    writes = await shop.count_writes(action)
    screen = await shop.reach(action)
    before = copy.deepcopy(shop.books.state)
    shop.fail_write(writes, "before_commit", "500")
    await go_on_to_cancel(shop, action, screen)
    await assert_ends(shop, [])
    assert [effect.status for effect in shop.effects()[-2:]] == ["failed", "applied"]
    for coupon in new_coupons(before, shop.books.state):
        assert is_soon_spent(coupon), coupon


async def go_on_to_cancel(shop: VendorShop, action: Action, screen: Any) -> None:
    """Accept, and take the exit while it is not known yet what became of it."""
    working = await action.ask(shop.visitor, screen)
    assert working.path.endswith("/working")
    page = await press(shop.visitor, working, "cancel_now")
    await press(shop.visitor, page, "confirm")
    for _ in range(3):
        await shop.work(after=LANDING_TIME)


async def assert_ends(shop: VendorShop, done: list[str]) -> None:
    """After what was done the cancellation was; the subscription ends when the customer was told, for good."""
    assert [change for change in shop.done() if change != "resume"] == [*done, "cancel"]
    assert shop.sessions()[-1].outcome == "canceled"
    told = shop.receipts()[-1].content["facts"]["endsAt"]
    now = shop.subscription()
    assert (now["status"]["name"], moment(now["end"])) == ("active", moment(told))
    shop.clock.advance(days=A_YEAR.days)
    assert shop.subscription()["status"]["name"] == "canceled"
    assert shop.done()[-1] == "cancel"


def new_coupons(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for table in ("coupons", "discounts"):
        for name, coupon in after.get(table, {}).items():
            if name not in before.get(table, {}):
                yield coupon


def is_soon_spent(coupon: Mapping[str, Any]) -> bool:
    """Whether it can be redeemed once at the most, and in some days not even that: Maxio counts in days."""
    limit = next((int(coupon[name]) for name in LIMITS if coupon.get(name) is not None), None)
    end = next((moment(coupon[name]) for name in ENDS if coupon.get(name) is not None), None)
    made_at = datetime(2026, 11, 21, 9, tzinfo=UTC)
    return limit == 1 and end is not None and end <= made_at + timedelta(days=4)


def moment(given: str | int) -> datetime:
    if isinstance(given, int):
        return datetime.fromtimestamp(given, UTC)
    found = datetime.fromisoformat(given)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
