"""Two tabs at two servers, at the same instant: one offer, once; and whoever leaves by the exit, leaves."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.crash.actions import DISCOUNT, PAUSE, Action
from tests.crash.matrix import PROVIDERS
from tests.crash.stage import WAITING, Customer, Stage
from tests.crash.truth import assert_made_once, subscription_of
from tests.support.databases import KINDS
from tests.support.pages import Page
from tests.support.press import press
from tests.support.server import free_port

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.crash,
    pytest.mark.skipif("postgresql" not in KINDS, reason="LEAVEWELL_TEST_DATABASES leaves it out"),
]

TOGETHER = 4  # tabs; half of them at each server
# Where nobody holds anybody up, the vendor makes no difference.
SOME = ("demo", "direct", "paddle")


@pytest.fixture(scope="module")
def two_servers(stage_on: Callable[[str], Stage]) -> Iterator[tuple[Stage, int]]:
    """A stage, and the port of its second server."""
    stage, other = stage_on("postgresql"), free_port()
    stage.start(port=other)
    yield stage, other
    stage.stop(other)


async def two_tabs(customer: Customer, action: Action, other: int) -> tuple[Page, Page]:
    """The same screen, as each server shows it."""
    screen = await action.reach(customer.visitor, customer.page)
    customer.go_to(other)
    return screen, await customer.reload()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_tabs_at_two_servers_accept_at_once(two_servers: tuple[Stage, int], provider: str) -> None:
    stage, other = two_servers
    stage.billings.forget_faults()
    async with stage.customer(provider, DISCOUNT) as customer:
        tabs = await two_tabs(customer, DISCOUNT, other)
        await asyncio.gather(*(DISCOUNT.ask(customer.visitor, tab) for tab in tabs * (TOGETHER // 2)))
        await assert_made_once(customer, provider, DISCOUNT)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_exit_is_taken_at_one_server_while_the_other_one_makes_the_offer(
    two_servers: tuple[Stage, int], provider: str
) -> None:
    stage, other = two_servers
    stage.billings.forget_faults()
    async with stage.customer(provider, PAUSE) as customer:
        screen, same_screen = await two_tabs(customer, PAUSE, other)
        customer.billing.hold("before_commit")
        accepting = asyncio.create_task(PAUSE.ask(customer.visitor, screen))
        await customer.billing.wait_until_held("before_commit")
        page = await press(customer.visitor, same_screen, "cancel_now")
        assert (await press(customer.visitor, page, "confirm")).h1 in WAITING
        customer.billing.let_go()
        await accepting
        await assert_left(customer, [*PAUSE.done, "cancel"])


@pytest.mark.parametrize("provider", SOME)
async def test_the_offer_is_taken_in_one_tab_and_the_exit_in_the_other(
    two_servers: tuple[Stage, int], provider: str
) -> None:
    """Nobody can say which is first. The page tells which of the two it is, and billing has that one."""
    stage, other = two_servers
    stage.billings.forget_faults()
    async with stage.customer(provider, PAUSE) as customer:
        screen, same_screen = await two_tabs(customer, PAUSE, other)
        _, page = await asyncio.gather(
            PAUSE.ask(customer.visitor, screen), press(customer.visitor, same_screen, "cancel_now")
        )
        # By its button: at the same address the offer stands as being made, if it was taken in the meantime.
        if any(button["value"] == "confirm" for button in page.root.all("button")):
            await press(customer.visitor, page, "confirm")
        result = await customer.wait_for_result()
        if result.h1 == "Your subscription is canceled":
            await assert_left(customer, [*PAUSE.done, "cancel"], ["cancel"])
        else:
            assert result.h1 == "Your subscription is paused"
            await assert_made_once(customer, provider, PAUSE)


async def assert_left(customer: Customer, *done: list[str]) -> None:
    """The subscription ends, the cancellation is the last that billing was asked for, and all is on record."""
    await customer.wait_for_result()
    found = await customer.wait_until_owed_nothing()
    made = [name for name, _ in customer.billing.changes(customer.subscription_id) if name != "resume"]
    assert made in done
    assert found.session.outcome == "canceled"
    assert subscription_of(customer).end is not None
    of_offer = [effect.status for effect in found.effects if effect.type != "cancel"]
    assert of_offer in (
        ["applied"] if "pause" in made else ["failed"],
        [] if "pause" not in made else ["applied"],
    )
    receipts = [receipt.content["type"] for receipt in found.receipts if receipt.status == "confirmed"]
    assert receipts == ["cancellation"]
