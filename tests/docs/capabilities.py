"""`python -m tests.docs.capabilities` prints the README's table of what each billing system can do, from the code."""

import sys
from collections.abc import Iterator
from typing import Final

from app.adapters.billing.registry import PROVIDERS, connect
from app.adapters.http import OutboundHttp
from app.core.billing import Capability
from tests.adapters.billing.test_registry import GOOD
from tests.support.clock import FakeClock

SHOWN: Final = ("stripe", "paddle", "chargebee", "braintree", "maxio", "direct")
WORDS: Final = {
    Capability.CANCEL_AT_PERIOD_END: "Cancel at the end of what is paid",
    Capability.CANCEL_NOW: "Cancel at once",
    Capability.UNCANCEL: "Take a cancellation back",
    Capability.DISCOUNT: "Discount",
    Capability.PAUSE: "Pause a monthly plan",
    Capability.PAUSE_TO_ANY_DAY: "Pause for weeks, or to a date",
    Capability.MOVE_RENEWAL: "Pause a yearly plan: the renewal moves",
    Capability.RESUME: "End a pause early",
    Capability.PLAN_CHANGE: "Smaller plan",
    Capability.TRIAL_EXTENSION: "Longer trial",
    Capability.FIND_BY_EMAIL: "Find a customer by email",
}
# `direct` asks the merchant's own look-up, if there is one.
WITH_LOOKUP: Final = {"lookup_url": "https://example.com/lookup"}


def rows() -> Iterator[tuple[str, ...]]:
    """The head, the line below it, and a row for each capability."""
    yield "", *(_head(name) for name in SHOWN)
    yield tuple("---" for _ in range(len(SHOWN) + 1))
    able = {name: _capabilities(name) for name in SHOWN}
    for capability in Capability:
        yield WORDS[capability], *("yes" if capability in able[name] else "no" for name in SHOWN)


def table() -> str:
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in rows())


def _head(name: str) -> str:
    page = "integration.md" if name == "direct" else f"providers/{name}.md"
    label = "your own" if name == "direct" else PROVIDERS[name].label.removesuffix(" Advanced Billing")
    return f"[{label}](docs/{page})"


def _capabilities(name: str) -> frozenset[Capability]:
    config = {**GOOD[name], **(WITH_LOOKUP if name == "direct" else {})}
    return connect(name, config, http=OutboundHttp(), clock=FakeClock(), mode="test").capabilities


if __name__ == "__main__":
    sys.stdout.write(table())
