"""The worker's half: who has the address, which mail is owed, and what is left when the worker is killed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, Response, post

from app.adapters import standard_webhooks
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.connections import service as connections
from app.core.billing import ProviderRefused
from app.db import outbox
from app.db.database import Session
from app.db.outbox import RetryLater
from app.db.tables.accounts import Environment
from app.db.tables.mail import Mail
from app.db.tables.outbox import OutboxJob
from app.mail.service import MailKind, MailStatus
from app.verify import looking, service
from app.verify.service import Verdict
from demo.billing.faults import Fault
from tests.support import office as offices
from tests.support import server
from tests.support.apps import OLD_SECRET, SECRET
from tests.support.desk import BillingServer
from tests.support.merchant import BILLING_KEY
from tests.verify.world import BEN, EMIL, NOBODY, World

pytestmark = pytest.mark.anyio


def kinds(world: World) -> list[str]:
    return [mail.kind for mail in world.mails()]


def only_mail(world: World) -> Mail:
    [mail] = world.mails()
    return mail


async def look_up(world: World, *, finishes: bool = False, attempts: int = 1) -> None:
    """What a worker does with the look-ups that are due; unless it finishes, it is killed right after each."""
    for row in world.jobs():
        if row.kind == service.JOB:
            job = outbox.Job(row.id, row.kind, row.subject_id, row.payload, attempts)
            await looking.look_up(world.ports, job)
            if finishes:
                await world.database.write(_delete, row.id)


def _delete(db: Session, job_id: str) -> None:
    db.delete(db.get_one(OutboxJob, job_id))


async def send_codes(world: World) -> None:
    """What a worker does with the mails that are due, however sending them ends."""
    for row in world.jobs():
        if row.kind == looking.CODE_MAIL_JOB:
            job = outbox.Job(row.id, row.kind, row.subject_id, row.payload, 1)
            with suppress(RetryLater):
                await looking.send_code(world.ports, job)


# --- Who has the address ------------------------------------------------------------------------------------


async def test_a_customer_is_mailed_the_code(world: World) -> None:
    id = world.ask(" Ben@Example.com").verification_id
    await look_up(world)
    mail = only_mail(world)
    assert (mail.kind, mail.recipient, mail.subject_id) == (MailKind.CODE, "Ben@Example.com", id)
    data = world.data_of(mail)
    assert data == {"code": world.code(id), "minutes": 10, "asked_at": "2026-11-21T09:00:00Z"}
    assert world.code(id) not in repr(mail.model_dump())


async def test_billing_that_takes_letters_for_others_lets_nobody_in(world: World) -> None:
    """Whoever only lowers both finds `kim@` by the sign of a kelvin; many databases find far more."""
    world.put_customer("cus_kim", "kim@example.com", world.subscription_of("cus_kim"))
    assert "\u212a".lower() == "k"
    id = world.ask("\u212aim@example.com").verification_id
    await look_up(world)
    assert only_mail(world).kind == MailKind.NOT_FOUND
    world.try_code(id, world.code(id))
    assert service.found_customers(world.vault, world.row(id)) == ()


async def test_a_stranger_is_told_that_there_is_nothing(world: World) -> None:
    id = world.ask(NOBODY).verification_id
    await look_up(world)
    mail = only_mail(world)
    assert (mail.kind, mail.recipient) == (MailKind.NOT_FOUND, NOBODY)
    assert world.data_of(mail) == {
        "entry_url": f"{world.ports.base_url}/cancel/{world.app_id}",
        "asked_at": "2026-11-21T09:00:00Z",
    }
    assert world.row(id).code_mac is not None, "a code all the same: wrong tries look alike"
    [job] = [job for job in world.jobs() if job.kind != service.JOB]
    assert job.kind == looking.CODE_MAIL_JOB, "and its life begins alike"


async def test_found_customers_are_told_once_the_code_was_right(world: World) -> None:
    id = await world.asked(EMIL)
    assert "emil" not in repr(world.row(id).found_encrypted)
    with pytest.raises(ValueError, match="not proven"):
        service.found_customers(world.vault, world.row(id))
    world.try_code(id, world.code(id))
    found = {each.customer.id: each for each in service.found_customers(world.vault, world.row(id))}
    assert set(found) >= {"cus_emil"}
    emil = found["cus_emil"]
    assert {each.id for each in emil.subscriptions} == {"sub_emil_pro", "sub_emil_publish"}
    assert emil.subscriptions[0].items[0].price.name is not None


async def test_several_customers_of_one_address_are_all_found(world: World) -> None:
    for n in range(3):
        world.put_customer(f"cus_{n}", "team@example.com", world.subscription_of(f"cus_{n}"))
    id = await world.asked("TEAM@example.com")
    world.try_code(id, world.code(id))
    found = service.found_customers(world.vault, world.row(id))
    assert {each.customer.id for each in found} == {"cus_0", "cus_1", "cus_2"}


async def test_no_more_than_ten_customers_are_asked_about(world: World) -> None:
    for n in range(14):
        world.put_customer(f"cus_{n}", "team@example.com", world.subscription_of(f"cus_{n}"))
    id = await world.asked("team@example.com")
    world.try_code(id, world.code(id))
    assert len(service.found_customers(world.vault, world.row(id))) == looking.MOST_CUSTOMERS


async def test_a_customer_whose_subscription_is_over_is_nobody(world: World) -> None:
    over = world.subscription_of(
        "cus_gone", status={"name": "canceled", "canceledAt": "2026-11-01T00:00:00Z"}
    )
    world.put_customer("cus_gone", "gone@example.com", over)
    world.ask("gone@example.com")
    await look_up(world)
    assert kinds(world) == [MailKind.NOT_FOUND]


async def test_codes_differ(world: World) -> None:
    codes = set()
    for n in range(5):
        codes.add(world.code(await world.asked(f"nobody{n}@example.com", browser=f"b{n}")))
    assert len(codes) > 1
    assert all(len(code) == 6 for code in codes)


# --- Billing is down ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "waits"), [("drop", [2, 4, 8, 16]), ("500", [2, 4, 8, 16]), ("429", [5, 5, 8, 16])]
)
async def test_while_billing_is_down_the_mail_is_late_not_lost(
    world: World, kind: str, waits: list[float]
) -> None:
    id = world.ask().verification_id
    world.faults.plan(Fault("read", kind, times=8))  # type: ignore[arg-type]  # one of its kinds
    waited = []
    for attempt in range(1, 5):
        with pytest.raises(RetryLater) as later:
            await look_up(world, attempts=attempt)
        waited.append(later.value.after_s)
        assert world.mails() == []
    assert waited == waits
    world.faults.clear()
    world.clock.advance(hours=3)
    await look_up(world)
    assert kinds(world) == [MailKind.CODE]
    assert world.row(id).code_expires_at == world.clock.now() + timedelta(minutes=10)


async def test_the_time_between_tries_stays_bounded(world: World) -> None:
    world.ask()
    world.faults.plan(Fault("read", "429", times=9, retry_after=100_000))
    for attempts in (1, 9, 10_000):
        with pytest.raises(RetryLater) as later:
            await look_up(world, attempts=attempts)
        assert later.value.after_s == 300


async def test_a_billing_that_is_slow_is_not_waited_for_any_longer_than_it_may_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ask()
    world.faults.plan(Fault("read", "slow", seconds=0.5))
    with monkeypatch.context() as patched:
        patched.setattr(looking, "DEADLINE_S", 0.05)
        with pytest.raises(RetryLater, match="did not answer"):
            await look_up(world)
    world.faults.clear()
    await look_up(world)
    assert kinds(world) == [MailKind.CODE]


async def test_an_address_that_billing_will_not_look_for_is_nobodys_and_holds_nobody_up(world: World) -> None:
    with offices.opened() as office:
        world.change(provider="office", provider_config=world.vault.seal(json.dumps(offices.config())))
        world.ask("jörg@example.com")
        office.fail(ProviderRefused("It cannot be done.", "The office refused: email, wrong format."))
        await look_up(world)
    assert kinds(world) == [MailKind.NOT_FOUND]
    assert world.ports.failing.known == set()


async def test_after_a_day_it_is_given_up(world: World) -> None:
    world.ask()
    world.faults.plan(Fault("read", "500", times=99))
    world.clock.advance(hours=24)
    await world.work()
    assert world.mails() == []
    assert world.jobs() == []


async def test_a_connection_that_was_broken_since_can_be_mended(world: World) -> None:
    world.ask()
    world.change(provider_config="sealed with something else")
    with pytest.raises(RetryLater):
        await look_up(world)
    mended = Vault(world.merchant.settings.secrets).seal('{"base_url": "http://127.0.0.1:9", "api_key": "k"}')
    world.change(provider_config=mended)
    with pytest.raises(RetryLater):
        await look_up(world)
    assert world.mails() == []


# --- Killed, and run again ----------------------------------------------------------------------------------


async def test_a_look_up_that_is_run_again_changes_nothing(world: World) -> None:
    id = world.ask().verification_id
    await look_up(world)
    before = world.row(id).model_dump()
    world.clock.advance(seconds=40)
    await look_up(world)
    await look_up(world)
    assert world.row(id).model_dump() == before, "no second code, no longer life"
    assert len(world.mails()) == 1


async def test_two_workers_with_one_job_make_one_code(world: World) -> None:
    world.ask()
    await asyncio.gather(*(look_up(world) for _ in range(4)))
    [mail] = world.mails()
    [verification] = {mail.subject_id}
    assert world.data_of(mail)["code"] == world.code(str(verification))


async def test_one_more_mail_is_owed_once_though_both_jobs_are_run_again(world: World) -> None:
    id = world.ask().verification_id
    await look_up(world)
    world.clock.advance(minutes=1)
    world.resend(id)
    for _ in range(3):
        await look_up(world)
    assert [world.data_of(mail)["code"] for mail in world.mails()] == [world.code(id)] * 2
    assert world.data_of(world.mails()[1])["asked_at"] == "2026-11-21T09:01:00Z"


async def test_a_code_lives_from_when_its_mail_goes_out(world: World) -> None:
    id = world.ask().verification_id
    await look_up(world)
    world.clock.advance(minutes=30)
    assert world.try_code(id, world.code(id)).verdict is Verdict.EXPIRED
    await send_codes(world)
    world.clock.advance(minutes=9)
    assert world.try_code(id, world.code(id)).verdict is Verdict.RIGHT


async def test_the_same_life_for_those_whom_nobody_knows(world: World) -> None:
    known, unknown = world.ask(BEN).verification_id, world.ask(NOBODY, browser="bob").verification_id
    await look_up(world)
    world.clock.advance(minutes=7)
    await send_codes(world)
    assert world.row(known).code_expires_at == world.row(unknown).code_expires_at
    assert world.row(known).code_expires_at == world.clock.now() + timedelta(minutes=10)


async def test_the_end_of_a_code_does_not_tell_how_long_billing_was_asked(world: World) -> None:
    ends = set()
    for number, look_up_s in enumerate((0.08, 0.31, 2.5, 9.9)):
        asked_at = world.clock.now()
        id = world.ask(BEN, browser=f"browser {number}").verification_id
        world.clock.advance(seconds=look_up_s)
        await look_up(world, finishes=True)
        first = world.row(id).code_expires_at
        world.clock.advance(seconds=look_up_s / 10)
        await send_codes(world)
        row = world.row(id)
        assert first is not None
        assert row.code_expires_at == first
        assert first >= world.clock.now() + timedelta(minutes=10), "never less than is promised"
        ends.add(first - asked_at)
        world.clock.advance(hours=1)
    assert len(ends) == 1


async def test_billing_that_has_failed_is_asked_about_one_customer_at_a_time(
    world: World, billing_server: BillingServer
) -> None:
    """Who hangs ten seconds for each of many would keep the worker from every other merchant's customers."""
    for number in range(4):
        world.ask(f"a{number}@example.com", browser=f"browser {number}")
    jobs = [outbox.Job(row.id, row.kind, row.subject_id, row.payload, 1) for row in world.jobs()]

    def begun() -> list[asyncio.Task[None]]:
        return [asyncio.create_task(looking.look_up(world.ports, job)) for job in jobs]

    world.faults.plan(Fault("read", "500"))
    with pytest.raises(RetryLater, match="500"):
        await looking.look_up(world.ports, jobs[0])
    world.faults.plan(Fault("read", "hang"))
    tries = begun()
    pending = set(tries)
    while len(pending) > 1:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    key = {"Authorization": f"Bearer {BILLING_KEY}"}
    await asyncio.to_thread(httpx.post, f"{billing_server.url}/faults/release", headers=key)
    ends = [str(end) for end in await asyncio.gather(*tries, return_exceptions=True)]
    assert sum("being asked again" in end for end in ends) == 3
    assert ends.count("None") == 1, "the one that is asked about is answered"
    assert await asyncio.gather(*begun()) == [None] * 4
    assert len(world.mails()) == 4


async def test_a_mail_that_was_sent_does_not_prolong_its_code(world: World) -> None:
    id = world.ask().verification_id
    await look_up(world)
    await world.database.write(_mark_sent, only_mail(world).id)
    before = world.row(id).code_expires_at
    world.clock.advance(minutes=5)
    await send_codes(world)
    assert world.row(id).code_expires_at == before


def _mark_sent(db: Session, mail_id: str) -> None:
    mail = db.get_one(Mail, mail_id)
    mail.status, mail.data_encrypted = MailStatus.SENT, None


async def test_no_mail_goes_out_for_a_code_that_is_of_no_use(world: World) -> None:
    used, spent, old = (world.ask(f"x{n}@example.com", browser=f"b{n}").verification_id for n in range(3))
    await look_up(world)
    world.try_code(used, world.code(used), browser="b0")
    for _ in range(5):
        world.try_code(spent, "000000", browser="b1")
    await send_codes(world)
    by_subject = {mail.subject_id: mail for mail in world.mails()}
    for id, why in ((used, "used"), (spent, "spent")):
        mail = by_subject[id]
        assert (mail.status, mail.data_encrypted) == (MailStatus.GIVEN_UP, None)
        assert mail.last_error == f"The code is {why}."
    world.clock.advance(hours=24)
    world.database.write_sync(service.forget, now=world.clock.now(), limit=10)
    await send_codes(world)
    assert {mail.status for mail in world.mails() if mail.subject_id == old} <= {
        MailStatus.GIVEN_UP,
        MailStatus.SENT,
    }


async def test_a_verification_that_was_used_or_spent_meanwhile_owes_nothing(world: World) -> None:
    id = world.ask().verification_id
    for n in range(5):
        world.try_code(id, f"{n:06}")
    await look_up(world)
    assert world.mails() == []


async def test_a_job_about_nothing_is_done(world: World) -> None:
    job = outbox.Job("job_1", service.JOB, "ver_none", {}, 1)
    await looking.look_up(world.ports, job)
    assert world.mails() == []


async def test_what_an_old_secret_sealed_is_looked_up_anew_once_that_is_gone(world: World) -> None:
    id = world.ask().verification_id
    await look_up(world, finishes=True)
    rotated = Vault([OLD_SECRET])
    world.ports = replace(world.ports, vault=rotated, signer=Signer([OLD_SECRET]))
    config = connections.config_of(
        world.database.read_sync(lambda db: db.get_one(Environment, world.app_id)), world.vault
    )
    world.database.write_sync(
        connections.save,
        rotated,
        app_id=world.app_id,
        provider="demo",
        config=config,
        now=world.clock.now(),
    )
    world.clock.advance(minutes=1)
    world.resend(id)
    await look_up(world, finishes=True)
    world.vault = rotated
    assert world.data_of(world.mails()[1])["code"] == world.code(id)
    assert world.try_code(id, world.code(id), signer=Signer([OLD_SECRET, SECRET])).verdict is Verdict.RIGHT
    assert service.found_customers(rotated, world.row(id))
    with pytest.raises(service.VerificationLost):
        service.found_customers(Vault([SECRET]), world.row(id))


# --- Whether there is such an entry -------------------------------------------------------------------------


async def test_an_entry_needs_mail_and_a_billing_that_finds_addresses(world: World) -> None:
    def can(*, has_mailer: bool = True) -> bool:
        return world.database.read_sync(
            lambda db: service.can_verify(
                db.get_one(Environment, world.app_id),
                vault=world.vault,
                http=world.ports.http,
                clock=world.clock,
                has_mailer=has_mailer,
            )
        )

    assert can()
    assert not can(has_mailer=False)
    world.change(hosted_enabled=False)
    assert not can()
    world.change(hosted_enabled=True, provider_config=None)
    assert not can(), "billing was never connected"
    world.change(provider_config="nonsense")
    assert not can(), "no secret opens the connection"


# --- `direct`: the merchant's own look-up -------------------------------------------------------------------


@dataclass
class LookUpUrl:
    """A merchant's look-up URL that answers as it is told."""

    now: datetime
    secret: str = field(default_factory=standard_webhooks.new_secret)
    asked: list[str] = field(default_factory=list)
    answer: tuple[int, object] = (404, {})

    def app(self) -> Litestar:
        @post("/lookup")
        async def look_up(request: Request[Any, Any, Any]) -> Response[Any]:
            headers = {name: request.headers[name] for name in request.headers}
            body = await request.body()
            assert standard_webhooks.is_signed(self.secret, headers, body, now=self.now)
            self.asked.append((await request.json())["email"])
            status, content = self.answer
            return Response(content, status_code=status)

        return Litestar([look_up], logging_config=None)


@pytest.fixture
async def direct(world: World) -> AsyncIterator[LookUpUrl]:
    merchant = LookUpUrl(world.clock.now())
    with server.served(merchant.app()) as url:
        world.database.write_sync(
            connections.save,
            world.vault,
            app_id=world.app_id,
            provider="direct",
            config={
                "action_url": f"{url}/action",
                "action_secret": merchant.secret,
                "lookup_url": f"{url}/lookup",
            },
            now=world.clock.now(),
        )
        yield merchant


async def test_a_merchants_own_look_up_is_asked_for_the_address_as_typed(
    world: World, direct: LookUpUrl
) -> None:
    subscription = world.subscription_of("cus_own")
    direct.answer = (200, {"customer": {"id": "cus_own"}, "subscriptions": [subscription]})
    id = world.ask("Somebody+news@Example.com").verification_id
    await look_up(world)
    assert direct.asked == ["Somebody+news@Example.com"]
    assert kinds(world) == [MailKind.CODE]
    world.try_code(id, world.code(id))
    [found] = service.found_customers(world.vault, world.row(id))
    assert (found.customer.id, found.subscriptions[0].id) == ("cus_own", "sub_of_cus_own")


async def test_nobody_at_the_merchants_own_look_up(world: World, direct: LookUpUrl) -> None:
    world.ask()
    await look_up(world)
    assert kinds(world) == [MailKind.NOT_FOUND]


@pytest.mark.parametrize("answer", [(200, {"customer": 1}), (200, []), (500, {}), (200, {"customer": {}})])
async def test_nonsense_from_a_look_up_is_no_proof_that_nobody_is_there(
    world: World, direct: LookUpUrl, answer: tuple[int, object]
) -> None:
    world.ask()
    direct.answer = answer
    with pytest.raises(RetryLater):
        await look_up(world)
    assert world.mails() == []


async def test_a_look_up_url_that_was_taken_away_is_no_proof_either(world: World, direct: LookUpUrl) -> None:
    world.ask()
    config = {"action_url": "http://127.0.0.1:9/action", "action_secret": direct.secret}
    world.database.write_sync(
        connections.save,
        world.vault,
        app_id=world.app_id,
        provider="direct",
        config=config,
        now=world.clock.now(),
    )
    with pytest.raises(RetryLater):
        await look_up(world)
