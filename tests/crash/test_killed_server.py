"""The server is killed while it makes a change. Started again, the change has been made exactly once, and everyone
says so: billing, the session, the offer, the events, and the page that the customer was waiting for."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.crash.billing import Billing, Point
from tests.crash.stage import CANCEL, DISCOUNT, PAUSE, WAITING, Action, Customer, Provider, Stage
from tests.support.databases import KINDS

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


@dataclass(frozen=True)
class Moment:
    """When the server dies: the call to billing it was in. `passes` such calls go through before."""

    name: str
    point: Point
    passes: int = 0


BEFORE = Moment("before", "read")
UNDER_WAY = Moment("under way", "before_commit")
UNANSWERED = Moment("unanswered", "after_commit")
UNVERIFIED = Moment("unverified", "read", passes=1)
MOMENTS: dict[Provider, tuple[Moment, ...]] = {
    "demo": (BEFORE, UNDER_WAY, UNANSWERED, UNVERIFIED),
    "direct": (BEFORE, UNDER_WAY, UNANSWERED),
}
# On PostgreSQL the same code runs; one of each is enough to show that its twin statements do as well.
ON_POSTGRESQL = {
    ("demo", "discount", "under way"),
    ("demo", "cancel", "unanswered"),
    ("demo", "pause", "before"),
    ("direct", "discount", "unanswered"),
    ("direct", "cancel", "under way"),
}

Case = tuple[str, Provider, Action, Moment]


def cases() -> Iterator[Case]:
    for provider, moments in MOMENTS.items():
        for action in (DISCOUNT, PAUSE, CANCEL):
            for moment in moments:
                for kind in KINDS:
                    if kind == "sqlite" or (provider, action.name, moment.name) in ON_POSTGRESQL:
                        yield kind, provider, action, moment


@pytest.mark.parametrize(
    ("kind", "provider", "action", "moment"),
    [pytest.param(*case, id=f"{case[0]}-{case[1]}-{case[2].name}-{case[3].name}") for case in cases()],
)
async def test_a_kill_at_any_moment_leaves_the_change_made_once(
    stage_on: Callable[[str], Stage],
    billing: Billing,
    kind: str,
    provider: Provider,
    action: Action,
    moment: Moment,
) -> None:
    stage = stage_on(kind)
    async with stage.customer(provider) as customer:
        screen = await action.reach(customer.visitor, customer.page)
        for _ in range(moment.passes):
            billing.let_pass(moment.point)
        billing.hold(moment.point)
        asking = asyncio.create_task(action.ask(customer.visitor, screen))
        await billing.wait_until_held(moment.point)
        stage.kill()
        with pytest.raises(httpx.HTTPError):
            await asking
        billing.let_go()  # what has reached billing goes on without us

        billing.hold("read")
        stage.start()
        assert (await customer.reload()).h1 in WAITING
        await billing.wait_until_held("read")
        assert (await customer.reload()).h1 in WAITING
        billing.let_go()
        await assert_made_once(customer, provider, action)


async def assert_made_once(customer: Customer, provider: Provider, action: Action) -> None:
    """Billing, session, effect, offer, events and page agree."""
    page = await customer.wait_for_result()
    found = await customer.wait_until_owed_nothing()
    (effect,) = found.effects
    assert customer.stage.billing.changes(customer.subscription_id) == [(action.name, effect.id)]
    confirmation = "read_back" if provider == "demo" else "merchant"
    assert (effect.status, effect.confirmation) == ("applied", confirmation)
    assert (found.session.phase, found.session.outcome) == ("finished", action.outcome)
    assert found.events.count("effect.applied") == 1
    assert found.events.count("session.completed") == 1
    assert "effect.failed" not in found.events
    if action.reason is not None:
        (offer,) = found.offers
        assert (offer.status, offer.effect_id) == ("applied", effect.id)
        assert offer.settled_at is not None
        assert found.events.count("session.offer_accepted") == 1
    assert page.path.startswith(f"/cancel/s/{customer.session_id}")
    assert page.h1 not in WAITING
