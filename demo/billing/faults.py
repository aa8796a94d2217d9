"""The fault switch: makes the service fail on demand, for tests of its callers. Off unless asked for."""

import asyncio
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

Point = Literal["read", "before_commit", "after_commit"]
Kind = Literal["drop", "hang", "500", "429", "slow"]

SLOW_S = 2.0
MOST_TIMES = 1000


class Dropped(Exception):
    """The connection is to break off without a whole answer."""


class Failed(Exception):
    """The answer is to be an error of the server's making."""

    def __init__(self, status: int, retry_after: int | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = retry_after


@dataclass(slots=True)
class Fault:
    """One thing to go wrong: where, how, how many times more."""

    point: Point
    kind: Kind
    times: int = 1
    retry_after: int | None = None
    seconds: float = SLOW_S


@dataclass
class Faults:
    """What is to go wrong, first come first met. A `hang` holds its call until `release`."""

    planned: deque[Fault] = field(default_factory=deque)
    held: dict[Point, int] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _releases: int = 0

    def plan(self, fault: Fault) -> None:
        self.planned.append(fault)

    def clear(self) -> None:
        self.planned.clear()

    async def meet(self, point: Point) -> None:
        """Called by the service at each point; does nothing, waits, or raises Dropped or Failed."""
        fault = next((fault for fault in self.planned if fault.point == point), None)
        if fault is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self.planned.remove(fault)
        match fault.kind:
            case "drop":
                raise Dropped
            case "500" | "429":
                raise Failed(int(fault.kind), fault.retry_after)
            case "slow":
                await asyncio.sleep(fault.seconds)
            case "hang":
                await self._hold(point)

    def describe(self) -> dict[str, Any]:
        """What is planned and what hangs, as JSON."""
        return {"planned": [asdict(fault) for fault in self.planned], "held": dict(self.held)}

    async def wait_until_held(self, point: Point) -> None:
        """Return once a call hangs at that point."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.held.get(point, 0) > 0)

    async def release(self) -> None:
        """Let every call go on that hangs now."""
        async with self._changed:
            self._releases += 1
            self._changed.notify_all()

    async def _hold(self, point: Point) -> None:
        async with self._changed:
            until = self._releases + 1
            self.held[point] = self.held.get(point, 0) + 1
            self._changed.notify_all()
            try:
                await self._changed.wait_for(lambda: self._releases >= until)
            finally:
                self.held[point] -= 1


def read_point(text: object) -> Point:
    """Raises ValueError."""
    for point in get_args(Point):
        if text == point:
            return cast("Point", point)
    raise ValueError(f"point is one of {', '.join(get_args(Point))}")


def read_fault(body: dict[str, Any]) -> Fault:
    """Read a fault from JSON; raises ValueError or TypeError."""
    kind, times, retry_after = str(body.get("kind")), body.get("times", 1), body.get("retry_after")
    if kind not in get_args(Kind):
        raise ValueError(f"kind is one of {', '.join(get_args(Kind))}")
    if not isinstance(times, int) or not 1 <= times <= MOST_TIMES:
        raise ValueError(f"times is a number from 1 to {MOST_TIMES}")
    return Fault(
        point=read_point(body.get("point")),
        kind=cast("Kind", kind),
        times=times,
        retry_after=None if retry_after is None else int(retry_after),
        seconds=float(body.get("seconds", SLOW_S)),
    )
