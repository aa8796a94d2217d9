"""What a customer did here before counts: cooldowns, pauses, sessions."""

from datetime import datetime, timedelta

from app.core.facts import History
from app.sessions import queries
from tests.support.desk import Desk


async def history(desk: Desk, customer: str = "cus_ben", subscription: str = "sub_ben_pro") -> History:
    found = await desk.database.read(
        queries.history_of,
        app_id=desk.merchant.app_id,
        customer_id=customer,
        subscription_ids=[subscription],
        now=desk.clock.now(),
    )
    return found[subscription]


async def take_pause(desk: Desk) -> None:
    page = await desk.at_offer("unused")
    option = next(e["value"] for e in page.root.all("input") if e["name"] == "option")
    page = await desk.visitor.submit(page, "Pause my subscription", {"option": option})
    assert page.h1 == "Your subscription is paused"


async def test_a_first_visit_has_no_history(desk: Desk) -> None:
    assert await history(desk) == History()
    await desk.enter()
    assert desk.session().snapshot["history"]["sub_ben_pro"]["sessions"] == 0


async def test_sessions_before_this_one_are_counted(desk: Desk) -> None:
    for _ in range(3):
        await desk.enter()
    counts = sorted(s.snapshot["history"]["sub_ben_pro"]["sessions"] for s in desk.sessions())
    assert counts == [0, 1, 2]


async def test_a_discount_that_was_taken_counts_for_the_customer(desk: Desk) -> None:
    await desk.visitor.submit(await desk.at_offer("price"), "Take 50% off")
    taken_at = desk.clock.now()
    desk.clock.advance(days=10)
    found = await history(desk)
    assert (found.discounts_12m, found.saves_12m, found.last_discount_at) == (1, 1, taken_at)
    assert found.last_by_kind == {"discount": taken_at}
    assert await history(desk, "cus_ada", "sub_ada_lite") == History()
    desk.clock.advance(days=360)
    assert (await history(desk)).discounts_12m == 0


async def test_an_offer_that_was_declined_or_failed_does_not_count(desk: Desk) -> None:
    page = await desk.visitor.submit(await desk.at_offer("price"), "No, continue to cancel")
    assert page.h1 == "What ends"
    page = await desk.at_offer("price")
    desk.store.act("test", "sub_ben_pro", "cancel", {"timing": "now"}, "elsewhere", desk.clock.now())
    page = await desk.visitor.submit(page, "Take 50% off")
    assert page.h1 == "That did not work"
    assert (await history(desk)).saves_12m == 0


async def test_a_pause_of_ours_is_known_while_it_lasts_and_when_it_ended(desk: Desk) -> None:
    await take_pause(desk)
    ends_at = datetime.fromisoformat(desk.subscription()["status"]["pause"]["end"])
    desk.clock.set(ends_at - timedelta(seconds=1))
    assert (await history(desk)).paused_by_us
    desk.clock.set(ends_at)
    found = await history(desk)
    assert (found.paused_by_us, found.last_pause_ended_at) == (False, ends_at)


async def test_a_pause_that_was_ended_early_ended_then(desk: Desk) -> None:
    await take_pause(desk)
    desk.clock.advance(days=3)
    page = await desk.visitor.submit(await desk.enter(), "Resume now")
    assert page.h1 == "Your subscription is running again"
    found = await history(desk)
    assert (found.paused_by_us, found.last_pause_ended_at) == (False, desk.clock.now())


async def test_a_pause_in_the_other_subscription_is_not_this_ones(desk: Desk) -> None:
    await take_pause(desk)
    assert not (await history(desk, subscription="sub_other")).paused_by_us
    assert (await history(desk, subscription="sub_other")).pauses_12m == 1  # but it is the customer's


async def test_the_other_environment_knows_nothing_of_it(desk: Desk) -> None:
    await desk.visitor.submit(await desk.at_offer("price"), "Take 50% off")
    found = await desk.database.read(
        queries.history_of,
        app_id="app_other",
        customer_id="cus_ben",
        subscription_ids=["sub_ben_pro"],
        now=desk.clock.now(),
    )
    assert found == {"sub_ben_pro": History()}
