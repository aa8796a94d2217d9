"""What can go wrong while a change is made, and when. Each is brought about, and then made good again."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import httpx

from tests.crash.actions import Action
from tests.crash.billing import Point, SimulatedBilling
from tests.crash.stage import WAITING, Customer
from tests.support.pages import Page

ALL_READS: Final = 10_000
RETRY_AFTER_S: Final = 1


class Moment(StrEnum):
    """How far the change has come: which call to billing it is in."""

    BEFORE = "reading before it"
    UNDER_WAY = "before the commit"
    UNANSWERED = "after the commit"
    UNVERIFIED = "reading it back"

    @property
    def point(self) -> Point:
        return _POINTS[self]

    @property
    def is_write(self) -> bool:
        return self in (Moment.UNDER_WAY, Moment.UNANSWERED)


_POINTS: Final[Mapping[Moment, Point]] = {
    Moment.BEFORE: "read",
    Moment.UNDER_WAY: "before_commit",
    Moment.UNANSWERED: "after_commit",
    Moment.UNVERIFIED: "read",
}


class Kind(StrEnum):
    KILL = "The server is killed"
    DROP = "The connection breaks off"
    ERROR = "Billing answers 500"
    LIMIT = "Billing answers 429"
    SLOW = "Billing takes longer than we wait"
    LATE = "Billing makes it after our second try"
    STALE = "The first read is stale"
    STALER = "Each read is stale until it is sent again"


@dataclass(frozen=True)
class Fault:
    kind: Kind
    moment: Moment

    def __str__(self) -> str:
        return f"{self.kind}, {self.moment}"


_FAILURES: Final[Mapping[Kind, Mapping[str, object]]] = {
    Kind.DROP: {"kind": "drop"},
    Kind.ERROR: {"kind": "500"},
    Kind.LIMIT: {"kind": "429", "retry_after": RETRY_AFTER_S},
}
_MOMENTS: Final[Mapping[Kind, tuple[Moment, ...]]] = {
    Kind.KILL: tuple(Moment),
    Kind.DROP: tuple(Moment),
    Kind.ERROR: tuple(Moment),
    # Whoever limits calls has done nothing yet.
    Kind.LIMIT: (Moment.BEFORE, Moment.UNDER_WAY, Moment.UNVERIFIED),
    Kind.SLOW: (Moment.UNDER_WAY, Moment.UNANSWERED),
    Kind.LATE: (Moment.UNDER_WAY,),
    Kind.STALE: (Moment.UNVERIFIED,),
    Kind.STALER: (Moment.UNVERIFIED,),
}
FAULTS: Final = tuple(Fault(kind, moment) for kind, moments in _MOMENTS.items() for moment in moments)


def faults_of(provider: str) -> Iterator[Fault]:
    """Those that can happen with it: `direct` reads nothing back, and of the demo's service no read is stale."""
    for fault in FAULTS:
        is_stale = fault.kind in (Kind.STALE, Kind.STALER)
        if provider == "direct" and fault.moment is Moment.UNVERIFIED:
            continue
        if not (provider == "demo" and is_stale):
            yield fault


async def ask_and_count(customer: Customer, action: Action, screen: Page) -> int:
    """Ask for it while nothing goes wrong; how many calls of ours changed something at billing."""
    with customer.billing.counting("before_commit") as count:
        await action.ask(customer.visitor, screen)
        return count()


async def ask_and_suffer(
    customer: Customer, action: Action, screen: Page, fault: Fault, *, write: int = 1, writes: int = 1
) -> None:
    """Ask for it, let the fault happen in the `write`th of its `writes` calls, and let everything go on after that."""
    match fault.kind:
        case Kind.KILL:
            await _kill(customer, action, screen, fault.moment, write, writes)
        case Kind.SLOW | Kind.LATE:
            await _take_long(customer, action, screen, fault, write)
        case Kind.STALE | Kind.STALER:
            await _be_stale(customer, action, screen, fault.kind, writes)
        case _:
            await _fail(customer, action, screen, fault, write, writes)


async def _kill(
    customer: Customer, action: Action, screen: Page, moment: Moment, write: int, writes: int
) -> None:
    billing, stage = customer.billing, customer.stage
    asking = await _ask_until_held(customer, action, screen, moment, write, writes)
    stage.kill()
    try:
        await asking
    except httpx.HTTPError:
        pass
    else:
        raise AssertionError("the server answered although it was dead")
    billing.let_go()  # what has reached billing goes on without us
    billing.hold("read")
    stage.start()
    await _assert_waiting(customer)
    await billing.wait_until_held("read")
    await _assert_waiting(customer)
    billing.let_go()


async def _fail(
    customer: Customer, action: Action, screen: Page, fault: Fault, write: int, writes: int
) -> None:
    billing, failure = customer.billing, _FAILURES[fault.kind]
    if fault.moment is Moment.UNVERIFIED:
        asking = await _ask_until_held(customer, action, screen, Moment.UNANSWERED, writes, writes)
        billing.plan("read", failure)
        billing.let_go()
        await asking
        return
    if fault.moment.is_write:
        billing.let_pass(fault.moment.point, write - 1)
    billing.plan(fault.moment.point, failure)
    await action.ask(customer.visitor, screen)


async def _take_long(customer: Customer, action: Action, screen: Page, fault: Fault, write: int) -> None:
    billing = customer.billing
    billing.let_pass(fault.moment.point, write - 1)
    billing.hold(fault.moment.point)
    page = await action.ask(customer.visitor, screen)
    assert page.h1 in WAITING, f"the customer waits for billing, and is shown {page.h1!r}"
    if fault.kind is Kind.LATE:
        await customer.wait_for_result()
        billing.hold("after_commit")
        billing.let_go()
        await billing.wait_until_held("after_commit")  # by now it has come through as well
    billing.let_go()


async def _be_stale(customer: Customer, action: Action, screen: Page, kind: Kind, writes: int) -> None:
    billing = customer.billing
    assert isinstance(billing, SimulatedBilling)
    asking = await _ask_until_held(customer, action, screen, Moment.UNANSWERED, writes, writes)
    if kind is Kind.STALE:
        billing.be_stale(1)
        billing.let_go()
    else:
        billing.be_stale(ALL_READS)
        billing.hold("before_commit")
        billing.let_go()
        await billing.wait_until_held("before_commit")
        billing.forget_faults()
    await asking


async def _ask_until_held(
    customer: Customer, action: Action, screen: Page, moment: Moment, write: int, writes: int
) -> "asyncio.Task[Page]":
    """Ask for it; returns as soon as the call to billing hangs at that moment."""
    billing = customer.billing
    if moment is Moment.UNVERIFIED:
        asking = await _ask_until_held(customer, action, screen, Moment.UNANSWERED, writes, writes)
        billing.hold("read")
        billing.let_go()
    else:
        if moment.is_write:
            billing.let_pass(moment.point, write - 1)
        billing.hold(moment.point)
        asking = asyncio.create_task(action.ask(customer.visitor, screen))
    await billing.wait_until_held(moment.point)
    return asking


async def _assert_waiting(customer: Customer) -> None:
    page = await customer.reload()
    assert page.h1 in WAITING, f"it is not known what became of it, and the customer is shown {page.h1!r}"
