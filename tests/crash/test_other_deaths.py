"""Others die: the billing service during the call, a worker of its own, one server of two."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from tests.crash.actions import CANCEL, DISCOUNT, Action
from tests.crash.billing import Billing, Point
from tests.crash.stage import WAITING, Stage
from tests.crash.truth import assert_made_once
from tests.support.databases import KINDS
from tests.support.server import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

on_postgresql = pytest.mark.skipif("postgresql" not in KINDS, reason="LEAVEWELL_TEST_DATABASES leaves it out")


@pytest.mark.parametrize(
    ("action", "point"), [(DISCOUNT, "before_commit"), (CANCEL, "after_commit")], ids=["never made", "made"]
)
async def test_billing_dies_during_the_call_and_comes_back(
    stage_on: Callable[[str], Stage], billing: Billing, action: Action, point: Point
) -> None:
    stage = stage_on("sqlite")
    async with stage.customer("demo") as customer:
        screen = await action.reach(customer.visitor, customer.page)
        billing.hold(point)
        asking = asyncio.create_task(action.ask(customer.visitor, screen))
        await billing.wait_until_held(point)
        billing.kill()
        assert (await asking).h1 in WAITING
        billing.start()
        await assert_made_once(customer, "demo", action)


@on_postgresql
@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
async def test_a_worker_dies_over_a_change_and_another_one_finishes_it(
    stage_on: Callable[[str], Stage], billing: Billing, point: Point
) -> None:
    stage = stage_on("postgresql")
    stage.stop()
    stage.start(LEAVEWELL_WORKER="none")
    try:
        async with stage.customer("demo") as customer:
            screen = await DISCOUNT.reach(customer.visitor, customer.page)
            billing.fail("read", "500")
            assert (await DISCOUNT.ask(customer.visitor, screen)).h1 in WAITING
            billing.hold(point)
            with stage.worker():
                await billing.wait_until_held(point)
            billing.let_go()
            assert (await customer.reload()).h1 in WAITING
            with stage.worker():
                await assert_made_once(customer, "demo", DISCOUNT)
    finally:
        stage.stop()


@on_postgresql
async def test_one_server_of_two_dies_and_the_other_one_finishes(
    stage_on: Callable[[str], Stage], billing: Billing
) -> None:
    stage = stage_on("postgresql")
    other = free_port()
    stage.start(port=other)
    try:
        async with stage.customer("demo") as customer:
            screen = await CANCEL.reach(customer.visitor, customer.page)
            billing.hold("after_commit")
            asking = asyncio.create_task(CANCEL.ask(customer.visitor, screen))
            await billing.wait_until_held("after_commit")
            stage.kill()
            with pytest.raises(httpx.HTTPError):
                await asking
            billing.let_go()
            customer.go_to(other)
            await assert_made_once(customer, "demo", CANCEL)
    finally:
        stage.stop(other)
