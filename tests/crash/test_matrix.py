"""A sample of the crash matrix, of each billing system some: `make crash-matrix` carries out all of it.

Afterwards the change has been made exactly once, and everyone says so: billing, the session, the offer, the events, the
receipts, and the page that the customer was waiting for.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.crash.actions import CANCEL, DISCOUNT, PAUSE, Action
from tests.crash.faults import Fault, Kind, Moment
from tests.crash.matrix import PROVIDERS, count_writes, suffer
from tests.crash.stage import Stage
from tests.support.databases import KINDS
from tests.support.simulator.vendors import VENDORS

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

KILLED_BEFORE = Fault(Kind.KILL, Moment.BEFORE)
KILLED_UNDER_WAY = Fault(Kind.KILL, Moment.UNDER_WAY)
KILLED_UNANSWERED = Fault(Kind.KILL, Moment.UNANSWERED)
KILLED_UNVERIFIED = Fault(Kind.KILL, Moment.UNVERIFIED)
DROPPED_UNANSWERED = Fault(Kind.DROP, Moment.UNANSWERED)
LATE = Fault(Kind.LATE, Moment.UNDER_WAY)
STALER = Fault(Kind.STALER, Moment.UNVERIFIED)

Case = tuple[str, str, Action, Fault]

OF_THE_DEMO: tuple[Case, ...] = (
    ("sqlite", "demo", CANCEL, KILLED_BEFORE),
    ("sqlite", "demo", CANCEL, KILLED_UNDER_WAY),
    ("sqlite", "demo", CANCEL, KILLED_UNANSWERED),
    ("sqlite", "demo", CANCEL, KILLED_UNVERIFIED),
    ("sqlite", "demo", DISCOUNT, KILLED_UNDER_WAY),
    ("sqlite", "demo", PAUSE, KILLED_UNANSWERED),
    ("sqlite", "demo", DISCOUNT, LATE),
    ("sqlite", "direct", CANCEL, KILLED_UNANSWERED),
    ("sqlite", "direct", DISCOUNT, KILLED_BEFORE),
    ("sqlite", "direct", PAUSE, KILLED_UNDER_WAY),
    ("sqlite", "direct", DISCOUNT, DROPPED_UNANSWERED),
    # On PostgreSQL the same code runs; these show that its twin statements do as well.
    ("postgresql", "demo", DISCOUNT, KILLED_UNDER_WAY),
    ("postgresql", "demo", CANCEL, KILLED_UNANSWERED),
    ("postgresql", "demo", PAUSE, KILLED_BEFORE),
    ("postgresql", "direct", DISCOUNT, KILLED_UNANSWERED),
    ("postgresql", "direct", CANCEL, KILLED_UNDER_WAY),
)
OF_A_VENDOR = (
    (CANCEL, KILLED_UNANSWERED),
    (DISCOUNT, DROPPED_UNANSWERED),
    (DISCOUNT, STALER),
    (PAUSE, DROPPED_UNANSWERED),
)


def cases() -> Iterator[Case]:
    yield from (case for case in OF_THE_DEMO if case[0] in KINDS)
    for vendor in VENDORS:
        for action, fault in OF_A_VENDOR:
            yield "sqlite", vendor, action, fault


@pytest.fixture(scope="module")
def calls() -> dict[tuple[str, Action], int]:
    """How many calls that change something an action takes, as far as it was found out."""
    return {}


@pytest.mark.parametrize(
    ("kind", "provider", "action", "fault"),
    [
        pytest.param(*case, id="-".join(map(str, (case[0], case[1], case[2].title, case[3]))))
        for case in cases()
    ],
)
async def test_a_change_is_made_once_whatever_goes_wrong(
    stage_on: Callable[[str], Stage],
    calls: dict[tuple[str, Action], int],
    kind: str,
    provider: str,
    action: Action,
    fault: Fault,
) -> None:
    stage = stage_on(kind)
    if (provider, action) not in calls:
        calls[provider, action] = await count_writes(stage, provider, action)
    writes = calls[provider, action]
    await suffer(stage, provider, action, fault, write=writes, writes=writes)


def test_the_sample_has_every_billing_system() -> None:
    assert {provider for _, provider, _, _ in cases()} == set(PROVIDERS)
