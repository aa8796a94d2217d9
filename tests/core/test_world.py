"""What a session is decided on is stored once, and read back as it was."""

import json

from app.core.billing import Discount, Preview, preview_key
from app.core.facts import History
from app.core.money import Money
from app.core.world import read_world
from tests.core.walks import world
from tests.support.subscriptions import active, day

KEY = preview_key("sub_1", Discount(percent_off=50, duration="once"))


def test_a_world_reads_back_with_what_the_provider_said_beforehand() -> None:
    said = Preview(
        price_now=Money(2900, "EUR"),
        next_charge=Money(1740, "EUR"),
        next_charge_at=day("2026-12-01"),
        tax="added",
    )
    seen = world(
        active(),
        history=History(break_ends_at=day("2026-12-24")),
        previews={KEY: said},
        refused=frozenset({"sub_1 other"}),
    )
    stored = json.loads(json.dumps(seen.to_json()))
    assert read_world(stored) == seen
    assert read_world(stored).catalog.previews == {KEY: said}


def test_a_world_of_before_reads_without_what_came_later() -> None:
    stored = json.loads(json.dumps(world(active(), history=History()).to_json()))
    for name in ("previews", "refused"):
        stored.pop(name)
    for history in stored["history"].values():
        history.pop("break_ends_at", None)
    assert read_world(stored) == world(active(), history=History())
