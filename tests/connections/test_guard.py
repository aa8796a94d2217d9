"""When a billing system is asked, and when it is left alone: in this process and in every other one."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
import structlog
from sqlmodel import Session

from app.adapters.standard_webhooks import new_secret
from app.connections import health, service
from app.connections.guard import FAIR_S, OutOfTime, redacted
from app.core.billing import (
    CredentialsRefused,
    NotYet,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
)
from app.core.errors import Unavailable
from app.db.base import load_json
from app.db.database import Database
from app.db.tables.accounts import Environment
from app.mail.kinds import MailKind
from tests.connections.conftest import Process
from tests.support.clock import FakeClock
from tests.support.merchant import Merchant
from tests.support.office import KEY, Office, config

P = ParamSpec("P")
R = TypeVar("R")

DOWN = ProviderUnavailable("The office answered 503.")
LONG_S = 3600.0
PATIENCE_S = FAIR_S + 1.0  # a slow machine may need some of it to begin


async def break_down(process: Process, office: Office, times: int = health.FAILURES) -> None:
    office.fail(*[DOWN] * times)
    for _ in range(times):
        with pytest.raises(ProviderUnavailable, match="503"):
            await process.ask()


async def wait_of(process: Process, *, within_s: float | None = None) -> float:
    """How long the next caller, who may have only so much time, is told to wait; he is not let through."""
    ends_at = asyncio.get_running_loop().time() + within_s if within_s is not None else None
    caller = await process.billing(ends_at=ends_at)
    with pytest.raises(ProviderUnavailable, match="left alone") as held_off:
        await caller.find_customer("cus_1")
    assert held_off.value.retry_after is not None
    return held_off.value.retry_after


# --- How many at once -------------------------------------------------------------------------------------------


async def test_no_more_calls_are_under_way_than_the_vendor_takes(process: Process, office: Office) -> None:
    office.is_held = True
    calls = [asyncio.create_task(process.ask()) for _ in range(5)]
    await office.until(inside=2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await office.until(inside=3)
    await office.release()
    await asyncio.gather(*calls)
    assert (office.peak, len(office.calls)) == (2, 5)


async def test_whoever_waits_for_his_turn_waits_on_his_own_time(process: Process, office: Office) -> None:
    office.is_held = True
    calls = [asyncio.create_task(process.ask()) for _ in range(2)]
    await office.until(inside=2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await process.ask()
    await office.release()
    await asyncio.gather(*calls)
    assert len(office.calls) == 2
    await process.ask()  # who gave up holds no place


# --- Failures ---------------------------------------------------------------------------------------------------


async def test_after_five_failures_in_a_row_no_process_asks_any_more(
    process: Process, other: Process, office: Office
) -> None:
    await break_down(process, office)
    for one in (process, other):
        assert await wait_of(one) == 10
    assert len(office.calls) == health.FAILURES
    assert process.row().last_error == "The office answered 503."


async def test_four_failures_and_an_answer_are_nothing(
    process: Process, other: Process, office: Office
) -> None:
    for _ in range(3):
        await break_down(process, office, times=4)
        await other.ask()
    assert (process.row().failures, process.row().rest_until) == (0, None)


async def test_a_no_is_an_answer_and_so_is_not_yet(process: Process, office: Office) -> None:
    for answer in (ProviderRefused("It cannot be done."), NotYet("It renews just now.", retry_after=900)):
        office.fail(*[answer] * 9)
        for _ in range(9):
            with pytest.raises(type(answer)):
                await process.ask()
        await break_down(process, office, times=4)
        office.fail(answer)
        with pytest.raises(type(answer)):
            await process.ask()
        assert (process.row().failures, process.row().rest_until) == (0, None)


async def test_each_failed_try_doubles_the_rest_to_five_minutes(
    process: Process, other: Process, office: Office, clock: FakeClock
) -> None:
    await break_down(process, office)
    for rest in (10, 20, 40, 80, 160, 300, 300):
        assert await wait_of(other) == rest
        clock.advance(seconds=rest)
        await break_down(process, office, times=1)
    clock.advance(minutes=5)
    await process.ask()
    await other.ask()
    assert (process.row().failures, process.row().rest_until) == (0, None)


async def test_calls_that_fail_together_count_once(process: Process, office: Office) -> None:
    await break_down(process, office, times=4)
    office.is_held = True
    office.fail(DOWN, DOWN)
    calls = [asyncio.create_task(process.ask()) for _ in range(2)]
    await office.until(inside=2)
    await office.release()
    assert all(
        isinstance(each, ProviderUnavailable) for each in await asyncio.gather(*calls, return_exceptions=True)
    )
    assert process.row().failures == health.FAILURES
    assert await wait_of(process) == 10


async def told_to_wait(process: Process) -> None:
    """The vendor has asked this process for two minutes of rest."""
    await process.database.write(
        health.note_failure,
        process.vault,
        app_id=process.merchant.app_id,
        failure=health.Failure("The office answered 429.", retry_after=120),
        claim=None,
        now=process.merchant.clock.now(),
    )


async def test_an_answer_to_an_older_question_ends_no_rest(
    process: Process, other: Process, office: Office
) -> None:
    office.is_held = True
    slow = asyncio.create_task(process.ask())
    await office.until(inside=1)
    await told_to_wait(other)
    await office.release()
    await slow
    assert await wait_of(process) == 120


async def test_whoever_is_at_it_learns_of_a_rest_that_his_own_process_began(
    process: Process, office: Office
) -> None:
    caller = await process.billing()
    await caller.find_customer("cus_1")
    await break_down(process, office)
    with pytest.raises(ProviderUnavailable, match="left alone"):
        await caller.find_customer("cus_1")


async def test_whoever_is_at_it_for_long_learns_of_a_rest_from_elsewhere(
    process: Process, other: Process, office: Office, clock: FakeClock
) -> None:
    caller = await process.billing()
    await caller.find_customer("cus_1")
    await break_down(other, office)
    clock.advance(seconds=6)
    with pytest.raises(ProviderUnavailable, match="left alone") as held_off:
        await caller.find_customer("cus_1")
    assert held_off.value.retry_after == 4


# --- A system that says nothing ---------------------------------------------------------------------------------


async def silence(process: Process, office: Office, *, within_s: float) -> None:
    """A caller with so much time asks three things at once, and is told nothing."""
    office.is_held = True
    caller = await process.billing(ends_at=asyncio.get_running_loop().time() + within_s)
    questions = (caller.find_customer("cus_1"), caller.list_subscriptions("cus_1"), caller.list_catalog())
    for answer in await asyncio.gather(*questions, return_exceptions=True):
        assert isinstance(answer, OutOfTime)
    await office.release()


async def test_silence_until_the_callers_time_ends_is_one_failure(
    process: Process, other: Process, office: Office
) -> None:
    await break_down(process, office, times=health.FAILURES - 1)
    await silence(process, office, within_s=PATIENCE_S)
    assert process.row().failures == health.FAILURES
    assert process.row().last_error == "The billing system did not answer in time."
    assert office.inside == 0, "nobody waits for it any more"
    calls = len(office.calls)
    for one in (process, other):
        assert await wait_of(one, within_s=LONG_S) == 10
    assert len(office.calls) == calls


async def test_an_answer_ends_the_count_of_silences(process: Process, office: Office) -> None:
    await break_down(process, office, times=health.FAILURES - 1)
    await process.ask()
    await silence(process, office, within_s=PATIENCE_S)
    assert (process.row().failures, process.row().rest_until) == (1, None)


async def test_a_caller_with_hardly_any_time_says_nothing_about_the_system(
    process: Process, office: Office
) -> None:
    """A merchant may let customers wait for a fifth of a second; a vendor who takes a third is not down."""
    await break_down(process, office, times=health.FAILURES - 1)
    await silence(process, office, within_s=0.2)
    assert (process.row().failures, process.row().rest_until) == (health.FAILURES - 1, None)


async def test_a_caller_who_is_called_off_says_nothing_about_the_system(
    process: Process, office: Office
) -> None:
    await break_down(process, office, times=health.FAILURES - 1)
    office.is_held = True
    loop = asyncio.get_running_loop()
    caller = await process.billing(ends_at=loop.time() + 3600)
    gone = asyncio.create_task(caller.find_customer("cus_1"))
    await office.until(inside=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await gone
    assert gone.cancelled()
    await office.release()
    assert (process.row().failures, process.row().rest_until) == (health.FAILURES - 1, None)
    await process.ask()


async def test_whoever_waits_for_a_turn_that_never_comes_says_nothing_about_the_system(
    process: Process, office: Office
) -> None:
    await break_down(process, office, times=health.FAILURES - 1)
    office.is_held = True
    busy = [asyncio.create_task(process.ask()) for _ in range(2)]
    await office.until(inside=2)
    caller = await process.billing(ends_at=asyncio.get_running_loop().time() + PATIENCE_S)
    with pytest.raises(OutOfTime):
        await caller.find_customer("cus_1")
    assert process.row().failures == health.FAILURES - 1
    await office.release()
    await asyncio.gather(*busy)


async def test_silence_towards_the_one_who_asks_for_all_doubles_the_rest(
    process: Process, other: Process, office: Office, clock: FakeClock
) -> None:
    await break_down(process, office)
    clock.advance(seconds=10)
    await silence(process, office, within_s=PATIENCE_S)
    assert await wait_of(other, within_s=LONG_S) == 20


async def silent_until_it_rests(process: Process, office: Office) -> None:
    """The fifth opening that it was too slow for."""
    failure = health.Failure(health.SILENCE)
    for _ in range(health.FAILURES - 1):
        await process.database.write(
            health.note_failure,
            process.vault,
            app_id=process.merchant.app_id,
            failure=failure,
            claim=None,
            now=process.merchant.clock.now(),
        )
    await silence(process, office, within_s=PATIENCE_S)
    assert process.row().rest_until is not None


async def test_what_is_too_slow_for_openings_is_still_asked_by_who_has_time(
    process: Process, other: Process, office: Office
) -> None:
    """A change that a customer has confirmed is made, though sessions open without billing."""
    await silent_until_it_rests(process, office)
    for one in (process, other):
        assert await wait_of(one, within_s=LONG_S) == 10
        await one.ask()
        assert await wait_of(one, within_s=LONG_S) == 10, "one slow answer makes it no faster"


async def test_what_fails_those_with_time_too_is_left_alone_by_all(
    process: Process, other: Process, office: Office
) -> None:
    await silent_until_it_rests(process, office)
    await break_down(process, office, times=1)
    for one in (process, other):
        assert await wait_of(one) == 10
    assert process.row().last_error == "The office answered 503."


async def test_silence_takes_nothing_from_the_time_that_a_vendor_wants(
    process: Process, other: Process, office: Office
) -> None:
    """The opening began to ask before the vendor said so to somebody else."""
    office.is_held = True
    opening = asyncio.create_task(silence(process, office, within_s=PATIENCE_S))
    await office.until(inside=2)
    await told_to_wait(other)
    await opening
    for one in (process, other):
        assert await wait_of(one) == 120
    assert process.row().last_error == "The office answered 429."


# --- The one who asks whether it answers again ------------------------------------------------------------------


async def test_after_a_rest_one_asks_for_all_processes(
    process: Process, other: Process, office: Office, clock: FakeClock
) -> None:
    await break_down(process, office)
    clock.advance(seconds=10)
    office.is_held = True
    before = len(office.calls)
    calls = [asyncio.create_task(one.ask()) for one in (process, other, process, other)]
    await office.until(inside=1)
    held_off: list[BaseException | None] = []
    async with asyncio.timeout(10):
        for call in asyncio.as_completed(calls):
            with pytest.raises(ProviderUnavailable) as caught:
                await call
            held_off.append(caught.value)
            if len(held_off) == 3:
                break
    [probe] = [call for call in calls if not call.done()]
    assert [getattr(error, "retry_after", None) for error in held_off] == [2, 2, 2]
    await office.release()
    await probe
    assert len(office.calls) == before + 1
    await other.ask()
    assert len(office.calls) == before + 2


async def test_all_that_one_caller_asks_is_let_through_with_him(
    process: Process, office: Office, clock: FakeClock
) -> None:
    await break_down(process, office)
    clock.advance(seconds=10)
    caller = await process.billing()
    await asyncio.gather(caller.find_customer("cus_1"), caller.list_subscriptions("cus_1"))
    assert process.row().rest_until is None


async def test_if_the_one_who_asks_dies_another_one_does(
    process: Process, other: Process, office: Office, clock: FakeClock
) -> None:
    await break_down(process, office)
    clock.advance(seconds=10)
    office.is_held = True
    probe = asyncio.create_task(process.ask())
    await office.until(inside=1)
    probe.cancel()
    await asyncio.wait([probe])
    await office.release()
    assert await wait_of(other) == 2
    clock.advance(seconds=health.PROBE.total_seconds())
    await other.ask()
    assert process.row().rest_until is None


# --- What it asks for itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "rest"), [(None, 5), (7, 7), (5.5, 5.5), (120, 120), (900, 900), (86_400, 900)]
)
async def test_a_vendor_that_wants_time_gets_it_from_every_process(
    process: Process, other: Process, office: Office, clock: FakeClock, asked: float | None, rest: float
) -> None:
    office.fail(RateLimited("The office answered 429.", retry_after=asked))
    with pytest.raises(ProviderUnavailable, match="429"):
        await process.ask()
    assert await wait_of(other) == rest
    clock.advance(seconds=rest)
    await other.ask()
    await process.ask()


# --- Credentials ------------------------------------------------------------------------------------------------


def refuse(office: Office) -> None:
    office.accounts.clear()


async def refused(process: Process) -> None:
    with pytest.raises(CredentialsRefused):
        await process.ask()


async def test_refused_credentials_are_left_alone_at_once_and_the_merchant_is_told(
    process: Process, other: Process, office: Office
) -> None:
    refuse(office)
    with structlog.testing.capture_logs() as logged:
        await refused(process)
    assert await wait_of(other) == 60
    row = process.row()
    assert (row.needs_attention, row.last_error) == (True, "The office does not know the key ***.")
    [error] = [line for line in logged if line["log_level"] == "error"]
    assert error["app_id"] == process.merchant.app_id
    assert KEY not in str(logged)
    [mail] = process.mails()
    assert (mail.kind, mail.recipient) == (MailKind.CONNECTION_REFUSED, "help@northwind.example")
    said: dict[str, Any] = load_json(process.vault.open(mail.data_encrypted or ""))
    assert said == {
        "app_id": process.merchant.app_id,
        "provider": "office",
        "reason": "The office does not know the key ***.",
        "refused_at": "2026-11-21T09:00:00Z",
    }


async def test_one_incident_is_one_mail(process: Process, office: Office, clock: FakeClock) -> None:
    """A key that may do some things and not others lets the connection come and go."""
    for _ in range(20):
        office.fail(CredentialsRefused("The key may not read coupons."))
        await refused(process)
        clock.advance(minutes=1)
        await process.ask()
        clock.advance(minutes=1)
    assert len(process.mails()) == 1
    assert process.row().needs_attention


async def test_however_long_it_lasts_it_is_one_incident(
    process: Process, office: Office, clock: FakeClock
) -> None:
    refuse(office)
    for _ in range(12):
        await refused(process)
        clock.advance(hours=1)
    assert len(process.mails()) == 1


async def test_what_is_mended_elsewhere_is_over_after_ten_calm_minutes(
    process: Process, office: Office, clock: FakeClock
) -> None:
    office.fail(CredentialsRefused())
    await refused(process)
    clock.advance(minutes=1)
    await process.ask()
    assert process.row().needs_attention
    clock.advance(minutes=10)
    await process.ask()
    assert not process.row().needs_attention


async def test_new_credentials_begin_anew(process: Process, office: Office, clock: FakeClock) -> None:
    office.fail(CredentialsRefused())
    await refused(process)
    clock.advance(seconds=1)
    await process.database.write(
        service.save,
        process.vault,
        app_id=process.merchant.app_id,
        provider="office",
        config=config(),
        now=clock.now(),
    )
    await process.ask()
    assert not process.row().needs_attention
    office.fail(CredentialsRefused())
    await refused(process)
    assert len(process.mails()) == 2, "another incident"


async def test_what_the_old_credentials_meet_says_nothing_about_the_new_ones(
    process: Process, office: Office, clock: FakeClock
) -> None:
    """A caller began with the old ones, which are revoked as soon as the new ones are saved."""
    office.fail(CredentialsRefused())
    office.is_held = True
    began_before = asyncio.create_task(process.ask())
    await office.until(inside=1)
    await process.database.write(
        service.save,
        process.vault,
        app_id=process.merchant.app_id,
        provider="office",
        config=config(hook_secret="another-one"),
        now=clock.now(),
    )
    await office.release()
    with pytest.raises(CredentialsRefused):
        await began_before
    assert (process.row().needs_attention, process.row().rest_until, process.mails()) == (False, None, [])
    await process.ask()
    office.fail(CredentialsRefused())
    await refused(process)
    assert process.row().needs_attention


async def test_a_merchant_without_an_address_gets_no_mail(process: Process, office: Office) -> None:
    process.merchant.change(contact_email=None)
    refuse(office)
    await refused(process)
    assert process.mails() == []
    assert process.row().needs_attention


def test_no_part_of_a_secret_is_quoted() -> None:
    two = f"{new_secret()} {new_secret()}"
    said = f"bad: {two}, {two.split()[1]}; key sk, again {two.split()[0]}"
    assert redacted(said, [two, "sk"]) == "bad: ***, ***; key sk, again ***"


# --- What it costs, and what it must not cost -------------------------------------------------------------------


class Counting(Database):
    """Counts units of work, and can be told to be unavailable."""

    writes = reads = 0
    is_down = False

    async def read(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        self.reads += 1
        if self.is_down:
            raise Unavailable
        return await super().read(fn, *args, **kwargs)

    async def write(self, fn: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        self.writes += 1
        if self.is_down:
            raise Unavailable
        return await super().write(fn, *args, **kwargs)


async def test_a_caller_reads_one_row_and_writes_once_a_minute(
    merchant: Merchant, database_url: str, office: Office, clock: FakeClock
) -> None:
    with Counting(database_url) as counting:
        process = Process(merchant, counting)
        for _ in range(6):
            caller = await process.billing()
            for _ in range(3):
                await caller.find_customer("cus_1")
            clock.advance(seconds=15)
        assert (counting.reads, counting.writes) == (6, 2)
        assert process.row().last_ok_at == clock.now() - timedelta(seconds=30)


async def test_a_database_that_is_down_keeps_nobody_from_billing(
    merchant: Merchant, database_url: str, office: Office
) -> None:
    with Counting(database_url) as counting:
        process = Process(merchant, counting)
        counting.is_down = True
        await process.ask()
        office.fail(DOWN)
        with pytest.raises(ProviderUnavailable, match="503"):
            await process.ask()


async def test_what_the_merchant_sent_along_is_read_in_every_state(process: Process, office: Office) -> None:
    """`direct` has no customers of its own: nothing goes out, and nothing is learned."""
    secrets = {"action_url": "https://acme.example/a", "action_secret": new_secret()}
    now = process.merchant.clock.now()
    await process.database.write(
        service.save,
        process.vault,
        app_id=process.merchant.app_id,
        provider="direct",
        config=secrets,
        now=now,
    )
    await process.database.write(
        health.note_failure,
        process.vault,
        app_id=process.merchant.app_id,
        failure=health.Failure("It answered 429.", retry_after=60),
        claim=None,
        now=now,
    )
    caller = await process.billing()
    assert await caller.find_customer("cus_1") is None
    assert await caller.list_subscriptions("cus_1") == []
    assert process.row().rest_until is not None
    with pytest.raises(ProviderUnavailable, match="left alone"):
        await caller.find_customers_by_email("ben@example.com")


async def test_a_connection_from_before_there_were_rows_is_asked_too(
    process: Process, office: Office
) -> None:
    def forget(db: Session) -> None:
        db.delete(process.row())

    process.database.write_sync(forget)
    await process.ask()
    assert process.row().last_ok_at == process.merchant.clock.now()
    assert process.database.read_sync(lambda db: db.get_one(Environment, process.merchant.app_id)).provider
