"""Delivers what endpoints are owed: each endpoint in a task of its own, so that one which hangs delays no other."""

import asyncio
import random
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.vault import SealBroken, Vault
from app.db.database import Database
from app.webhooks import messages, queries, sending, service, settling
from app.webhooks.queries import Owed
from app.webhooks.sending import Tried
from app.webhooks.writing import Writer

AT_ONCE: Final = 4  # to one endpoint that has just taken a message promptly
PATIENCE_S: Final = 2.0  # who answers in less is prompt
# Calls under way. Together they are 120 of the 200 that a process may have (adapters/http.py), where whoever waits
# loses its own time by it: changes at billing systems and customers' data find room there, whatever endpoints do.
PROMPT_AT_ONCE: Final = 80
SLOW_AT_ONCE: Final = 24
FAILING_AT_ONCE: Final = 16
POLL_S: Final = 1.0
GRACE_S: Final = 10.0
MOST_ROUNDS: Final = 1000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookPorts:
    database: Database
    clock: Clock
    http: OutboundHttp
    vault: Vault
    holder: str  # this process, by a name of its own
    lease: timedelta  # how long what a process that died had in hand waits for another one


class Dispatcher:
    """Runs beside the worker, as one of its companions.

    A look at the database tells which endpoints something is due to; each gets a runner, unless it has one. A runner
    waits for a place, takes a few deliveries, sends them, writes down what came of them, and goes on until nothing is
    due. Every call has a place, and nothing is claimed before there is one: what waits keeps all its time, and has no
    lease that could run out.

    Whoever hangs keeps one place and not four, for the first message goes out alone. Endpoints that were slow the last
    time share a few places of their own, and those that have been failing some others; these get one message a second
    at most. Both get one at a time, until one is taken promptly.
    """

    def __init__(
        self,
        ports: WebhookPorts,
        *,
        poll_s: float = POLL_S,
        grace_s: float = GRACE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._ports = ports
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._patience_s = patience_s
        self._prompt = asyncio.Semaphore(PROMPT_AT_ONCE)
        self._slow = asyncio.Semaphore(SLOW_AT_ONCE)
        self._failing = asyncio.Semaphore(FAILING_AT_ONCE)
        self._slow_ones: set[str] = set()  # endpoints, by what this process has seen of them
        self._writer = Writer(ports.database)
        self._runners: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, Owed] = {}
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Deliver until `stop()`; then let what is on its way arrive, and give back what does not."""
        loop = asyncio.get_running_loop()
        forget = self._ports.database.listen(service.TOPIC, lambda: _set_from_thread(loop, self._wake))
        heart = asyncio.create_task(self._beat())
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                await self._start_runners()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._wake.wait()
        finally:
            forget()
            await self._wind_down()
            heart.cancel()
            await asyncio.wait([heart])

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    async def drain(self, now: datetime | None = None) -> int:
        """For tests: deliver until nothing is due. Returns how many tries were made."""
        count = 0
        for _ in range(MOST_ROUNDS):
            at = now or self._ports.clock.now()
            due = await self._ports.database.read(queries.list_due, now=at)
            tried = [await self._deliver_some(endpoint_id, AT_ONCE, at) for endpoint_id, _ in due]
            if not any(tried):
                return count
            count += sum(map(len, tried))
        raise RuntimeError("deliveries become due as fast as they are made")

    async def _start_runners(self) -> None:
        try:
            due = await self._ports.database.read(queries.list_due, now=self._ports.clock.now())
        except Exception:
            _log.exception("webhooks.look_failed")
            return
        for endpoint_id, is_failing in due:
            if endpoint_id not in self._runners:
                task = asyncio.create_task(
                    self._run_for(endpoint_id, is_failing), name=f"webhook {endpoint_id}"
                )
                self._runners[endpoint_id] = task
                task.add_done_callback(partial(self._forget_runner, endpoint_id))

    def _forget_runner(self, endpoint_id: str, _: asyncio.Task[None]) -> None:
        del self._runners[endpoint_id]
        self._wake.set()  # something may have become due to it that it did not see any more

    async def _run_for(self, endpoint_id: str, is_failing: bool) -> None:
        try:
            if is_failing:
                async with self._failing:
                    await self._deliver_some(endpoint_id, 1)
                await self._pause()  # whoever refuses at once is not hammered
            elif endpoint_id in self._slow_ones:
                async with self._slow:
                    await self._deliver_some(endpoint_id, 1)
            else:
                await self._deliver_while_prompt(endpoint_id)
        except Exception:
            # What was in hand is tried again when its lease runs out.
            _log.exception("webhooks.delivery_failed", endpoint=endpoint_id)
            # Nor is a database that takes nothing down hammered: this one's end starts the next one.
            await self._pause()

    async def _pause(self) -> None:
        """As long as from one look to the next, unless it stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._stopping.wait()

    async def _deliver_while_prompt(self, endpoint_id: str) -> None:
        is_proven = False
        while not self._stopping.is_set():
            async with self._prompt:
                tries = await self._deliver_some(endpoint_id, AT_ONCE, is_proven=is_proven)
            is_proven = len(tries) == AT_ONCE and all(tries)
            if not is_proven:
                return

    async def _deliver_some(
        self, endpoint_id: str, limit: int, now: datetime | None = None, *, is_proven: bool = False
    ) -> list[bool]:
        """Send up to `limit` of what is due to an endpoint; the caller has a place for one call.

        Unless it is proven to be prompt, the first goes out alone. What is left when one was not taken promptly is
        given back. Returns of each that was tried whether it was.
        """
        if self._stopping.is_set():
            return []
        owed = await self._writer.write(
            endpoint_id,
            queries.claim,
            endpoint_id,
            worker=self._ports.holder,
            now=now or self._ports.clock.now(),
            lease=self._ports.lease,
            limit=limit,
        )
        self._held.update({one.id: one for one in owed})
        waiting = deque(owed)
        try:
            tries = [await self._deliver(waiting.popleft(), now)] if owed and not is_proven else []
            if all(tries):
                tries += await self._deliver_all(waiting, now)
            if waiting:
                left = list(waiting)
                await self._writer.write(endpoint_id, queries.give_back, left, worker=self._ports.holder)
            return tries
        finally:
            for one in owed:
                self._held.pop(one.id, None)

    async def _deliver_all(self, waiting: deque[Owed], now: datetime | None) -> list[bool]:
        """Side by side, as far as places are free besides the caller's; else one after the other."""

        async def go_on() -> list[bool]:
            tries = list[bool]()
            while waiting and all(tries):
                tries.append(await self._deliver(waiting.popleft(), now))
            return tries

        async def go_on_besides() -> list[bool]:
            if not waiting or self._prompt.locked():
                return []
            async with self._prompt:  # at once
                return await go_on()

        lots = await asyncio.gather(
            go_on(), *(go_on_besides() for _ in range(1, len(waiting))), return_exceptions=True
        )
        tries = list[bool]()
        for lot in lots:
            if isinstance(lot, BaseException):
                raise lot  # only now: the others were on their way, and had leases to keep
            tries += lot
        return tries

    async def _deliver(self, owed: Owed, now: datetime | None) -> bool:
        """Whether it was taken, and promptly."""
        at = now or self._ports.clock.now()
        log = _log.bind(delivery=owed.id, endpoint=owed.endpoint.id)
        record = await record_for(self._ports.database, owed)  # a failure here is not the endpoint's
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            tried = await try_once(self._ports, owed, record, now=at)
        except Exception as failure:
            # A try all the same, or the message would come again with each lease, for ever. Only its name is kept: what
            # an unforeseen error says may hold what must not be shown.
            log.exception("webhooks.try_failed")
            tried = Tried(
                at,
                round((loop.time() - begun) * 1000),
                owed.endpoint.url,
                {},
                failure=f"An unforeseen error on our side: {type(failure).__name__}.",
            )
        is_prompt = tried.latency_ms < 1000 * self._patience_s
        if is_prompt:
            self._slow_ones.discard(owed.endpoint.id)
        else:
            self._slow_ones.add(owed.endpoint.id)
        chance = random.random()  # noqa: S311 (jitter, not a secret)
        settled = await self._writer.write(
            owed.endpoint.id,
            settling.settle,
            self._ports.vault,
            owed,
            tried,
            worker=self._ports.holder,
            chance=chance,
        )
        log = log.bind(status=tried.status, ms=tried.latency_ms)
        if not settled:
            log.warning("webhooks.lease_lost")
        elif tried.failure is not None:
            log.info("webhooks.not_taken", reason=tried.failure)
        return is_prompt and tried.failure is None

    async def _beat(self) -> None:
        """Keep the leases of what is in hand."""
        while True:
            await asyncio.sleep(self._ports.lease.total_seconds() / 3)
            held = list(self._held.values())
            if not held:
                continue
            until = self._ports.clock.now() + self._ports.lease
            try:
                await self._ports.database.write(queries.extend, held, worker=self._ports.holder, until=until)
            except Exception:
                _log.exception("webhooks.heartbeat_failed")

    async def _wind_down(self) -> None:
        runners = list(self._runners.values())
        if not runners:
            return
        _, unfinished = await asyncio.wait(runners, timeout=self._grace_s)
        cut_short = list(self._held.values())
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
        if cut_short:
            try:
                await self._ports.database.write(queries.give_back, cut_short, worker=self._ports.holder)
            except Exception:
                _log.exception("webhooks.not_given_back")  # others take them when the lease runs out


async def record_for(database: Database, owed: Owed) -> dict[str, Any] | None:
    """The session's record, where the message is made of it."""
    if not messages.needs_record(owed.endpoint, owed.event):
        return None
    return await database.read(queries.find_record, owed.event.session_id or "")


async def try_once(ports: WebhookPorts, owed: Owed, record: dict[str, Any] | None, *, now: datetime) -> Tried:
    """Send a delivery that is held, once; `record` as `record_for` finds it."""
    try:
        message = messages.write(owed, ports.vault, now=now, record=record)
    except SealBroken:
        return Tried(
            now, 0, owed.endpoint.url, {}, failure="Its secret cannot be read: LEAVEWELL_SECRET has changed."
        )
    return await sending.send(ports.http, owed.endpoint.url, message, at=now)


def _set_from_thread(loop: asyncio.AbstractEventLoop, flag: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody is left to wake
        loop.call_soon_threadsafe(flag.set)
