"""What a provider is asked beforehand: the changes of price that a flow could come to, few and each once."""

from typing import Any

import pytest

from app.core.billing import Capability, Catalog, Discount, Pause, PlanChange, Preview, preview_key
from app.core.direct import DirectSubscription
from app.core.money import Money
from app.core.previews import MOST_PREVIEWS, changes_to_preview
from tests.core.walks import BREAK, CONFIRM, HALF, LITE, MORE_TIME, TALK, flow, offer, world
from tests.support.subscriptions import NOW, active, on_trial, price

CATALOG = Catalog({"price_lite": price(900, price_id="price_lite")})
ALL = flow(offer(HALF, BREAK, LITE, MORE_TIME, TALK), CONFIRM)


def asked(
    *subscriptions: DirectSubscription, of: Any = ALL, lacking: Capability | None = None
) -> list[tuple[str, str]]:
    found = changes_to_preview(
        of,
        subscriptions=subscriptions,
        customer=None,
        capabilities=frozenset(Capability) - {lacking},
        catalog=CATALOG,
        now=NOW,
    )
    return [(subscription_id, change.type) for subscription_id, change in found]


def named(subscription: DirectSubscription, name: str) -> DirectSubscription:
    return subscription.model_copy(update={"id": name})


def test_only_changes_of_price_are_asked_about() -> None:
    assert asked(active()) == [("sub_1", "discount"), ("sub_1", "plan_change")]


def test_what_cannot_be_offered_anyway_is_not_asked_about() -> None:
    assert asked(on_trial()) == [("sub_1", "plan_change")], "on trial, no discount of several charges"
    assert asked(active(), lacking=Capability.DISCOUNT) == [("sub_1", "plan_change")]
    assert asked(active(600)) == [("sub_1", "discount")], "the plan is no step down"
    assert asked(active(end="2026-12-01")) == []


def test_the_same_change_is_asked_about_once() -> None:
    twice = flow(offer(HALF), offer({**HALF, "id": "again"}, id="later"), CONFIRM)
    assert asked(active(), of=twice) == [("sub_1", "discount")]


def test_many_subscriptions_take_turns_until_it_is_enough() -> None:
    many = flow(offer(*({**HALF, "id": f"off-{n}", "percent": n} for n in range(5, 15))), CONFIRM)
    found = asked(named(active(), "a"), named(active(), "b"), named(active(), "c"), of=many)
    assert len(found) == MOST_PREVIEWS
    assert [name for name, _ in found] == ["a", "b", "c", "a", "b", "c", "a", "b"]


@pytest.mark.parametrize("change", [Discount(percent_off=50, duration="once"), PlanChange(price=price(900))])
def test_what_was_said_of_a_subscription_ends_with_the_state_it_was_said_of(change: Any) -> None:
    said = Preview(price_after=Money(1, "EUR"))
    mine, others = preview_key("sub_1", change), preview_key("sub_10", change)
    seen = world(
        active(), previews={mine: said, others: said}, refused=frozenset({mine.replace("off", "x"), others})
    )
    assert seen.with_subscription(active()) == seen
    after = seen.with_subscription(active(1450))
    assert (set(after.previews), after.refused) == ({others}, {others})


def test_a_key_tells_subscriptions_and_changes_apart() -> None:
    pause = Pause(resumes_at=NOW)
    keys = {
        preview_key(name, change)
        for name in ("sub_1", "sub_2")
        for change in (
            pause,
            Discount(percent_off=50, duration="once"),
            Discount(percent_off=5, duration="once"),
        )
    }
    assert len(keys) == 6
