"""As a session opens the billing system is asked what the offers come to: shown where it says so, never in the way."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, fields

from app.adapters.billing.connection import Connection
from app.adapters.billing.demo import DemoBilling
from app.connections import service as connections
from app.core.billing import Change, Preview, ProviderRefused, ProviderUnavailable
from app.core.direct import DirectCustomer, DirectSubscription
from app.core.money import Money
from app.db.tables.accounts import Environment
from app.db.tables.receipts import Receipt
from app.sessions import opening
from app.sessions.ports import SessionPorts
from tests.cancel.test_results import facts
from tests.support.desk import Desk
from tests.support.pages import FROM_US, Page
from tests.support.press import press

DEADLINE_MS = 400
SLACK_S = 2.0  # what a busy machine may take for everything else
Say = Callable[[str, Change], Awaitable[Preview | None]]


@dataclass
class Asked:
    """What was asked about."""

    changes: list[tuple[str, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0


class Previewing(DemoBilling):
    """The demo's billing, with something to say beforehand."""

    has_previews = True

    def __init__(self, connection: Connection, say: Say, asked: Asked) -> None:
        super().__init__(connection)
        self.say, self.asked = say, asked

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        self.asked.changes.append((subscription_id, change.type))
        self.asked.at_once += 1
        self.asked.most_at_once = max(self.asked.most_at_once, self.asked.at_once)
        try:
            return await self.say(subscription_id, change)
        finally:
            self.asked.at_once -= 1


async def opened(desk: Desk, say: Say, customer: str = "cus_ben") -> tuple[Page, Asked]:
    """A session of our visitor's browser, opened by a process whose provider says that."""
    asked = Asked()

    class Ports(SessionPorts):
        async def billing_of(
            self,
            environment: Environment,
            *,
            customer: DirectCustomer | None,
            subscriptions: Sequence[DirectSubscription],
            ends_at: float | None = None,
        ) -> Previewing:
            config = connections.config_of(environment, self.vault)
            return Previewing(Connection(config, "test", self.http, self.clock), say, asked)

    base = desk.session_ports()
    ports = Ports(**{each.name: getattr(base, each.name) for each in fields(base)})
    session_id, _ = await opening.enter(ports, **await desk.exchanging(customer))
    return await desk.visitor.open(f"/cancel/s/{session_id}", headers=FROM_US), asked


async def taxed(_: str, change: Change) -> Preview | None:
    """Tax comes on top, as in the United States."""
    after = 1450 if change.type == "discount" else 600
    return Preview(
        price_now=Money(2900, "USD"),
        price_after=Money(after, "USD"),
        next_charge=Money(after + 123, "USD"),
        tax="added",
    )


async def test_what_the_provider_says_is_shown_and_stands_in_the_receipt(desk: Desk) -> None:
    page, asked = await opened(desk, taxed)
    assert set(asked.changes) == {("sub_ben_pro", "discount"), ("sub_ben_pro", "plan_change")}
    page = await desk.visitor.submit(page, "Continue", {"reason": "price"})
    assert facts(page)["Next charge"].startswith("$15.73 on ")
    assert facts(page)["Tax"].startswith("Added to these prices")
    page = await desk.visitor.submit(page, "Take 50% off")
    assert page.h1 == "Your discount is in place"
    assert facts(page)["Next charge"].startswith("$15.73 on ")
    (receipt,) = desk.all(Receipt)
    assert receipt.content["facts"]["tax"] == "added"
    assert receipt.content["facts"]["nextCharge"]["amount"] == 1573


async def test_a_plan_is_shown_with_its_tax(desk: Desk) -> None:
    page, _ = await opened(desk, taxed)
    page = await desk.visitor.submit(page, "Continue", {"reason": "too-big"})
    assert "Tax is added to these prices." in page.text
    page = await press(desk.visitor, page, "accept")
    assert facts(page)["Next charge"].startswith("$7.23 on ")


async def test_what_the_provider_would_refuse_is_not_offered(desk: Desk) -> None:
    async def refuse(_: str, change: Change) -> Preview | None:
        if change.type == "discount":
            raise ProviderRefused("A coupon of last year.")
        return None

    page, _ = await opened(desk, refuse)
    page = await desk.visitor.submit(page, "Continue", {"reason": "price"})
    assert page.h1 == "What ends"
    told = [entry for entry in desk.session().explanations if entry["at"] == "why.offer:price"]
    assert told[0]["why"][0]["blockers"] == ["refused_by_provider"]


async def test_one_failure_is_one_preview_less(desk: Desk) -> None:
    async def fail(subscription_id: str, change: Change) -> Preview | None:
        if change.type == "discount":
            raise ProviderUnavailable("Too many requests.", retry_after=5)
        return await taxed(subscription_id, change)

    page, _ = await opened(desk, fail)
    assert desk.session().snapshot["is_verified"]
    page = await desk.visitor.submit(page, "Continue", {"reason": "price"})
    assert facts(page)["Next charge"].startswith("$14.50 on ")
    assert "Tax" not in facts(page)


async def test_a_preview_that_hangs_does_not_keep_the_page_or_the_other_previews(desk: Desk) -> None:
    desk.merchant.change(customer_data_timeout_ms=DEADLINE_MS)

    async def hang(subscription_id: str, change: Change) -> Preview | None:
        if change.type == "discount":
            await asyncio.Event().wait()
        return await taxed(subscription_id, change)

    started = time.monotonic()
    page, asked = await opened(desk, hang)
    assert time.monotonic() - started < DEADLINE_MS / 1000 + SLACK_S
    assert asked.at_once == 0, "nobody is asked any more"
    world = desk.session().snapshot
    assert world["is_verified"]
    assert len(world["previews"]) == 1
    page = await desk.visitor.submit(page, "Continue", {"reason": "price"})
    assert facts(page)["Next charge"].startswith("$14.50 on ")


async def test_all_are_asked_at_once(desk: Desk) -> None:
    together = asyncio.Barrier(4)

    async def wait_for_the_others(_: str, __: Change) -> Preview | None:
        await together.wait()
        return None

    _, asked = await opened(desk, wait_for_the_others, "cus_emil")
    assert {name for name, _ in asked.changes} == {"sub_emil_pro", "sub_emil_publish"}
    assert asked.most_at_once == len(asked.changes) == 4
    assert desk.session().snapshot["previews"] == {}
