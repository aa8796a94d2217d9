import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from app.db import outbox
from app.db.database import Database, Session
from app.db.outbox import Job
from tests.db.support import add_organization, list_jobs, list_slugs, owe
from tests.support.clock import START

pytestmark = pytest.mark.anyio

LEASE_S = 30
SOON = START + timedelta(seconds=1)
AFTER_LEASE = START + timedelta(seconds=LEASE_S)


class Refused(Exception):
    pass


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """The same database, as a second process sees it."""
    with Database(database.url.render_as_string(hide_password=False)) as connected:
        yield connected


async def claim(database: Database, worker: str = "ann", *, at: object = START, limit: int = 10) -> list[Job]:
    return await database.write(outbox.claim_due, worker=worker, now=at, lease_s=LEASE_S, limit=limit)


async def test_a_job_is_owed_only_if_its_reason_is_committed(database: Database) -> None:
    def sign_up(db: Session, slug: str, *, refuse: bool) -> None:
        add_organization(db, slug, START)
        owe(db, START)
        if refuse:
            raise Refused

    with pytest.raises(Refused):
        await database.write(sign_up, "refused", refuse=True)
    assert await claim(database) == []
    await database.write(sign_up, "accepted", refuse=False)
    assert await database.read(list_slugs) == ["accepted"]
    [job] = await claim(database)
    assert (job.kind, job.subject_id, job.payload, job.attempts) == ("effect", "eff_1", {"n": 1}, 1)


async def test_a_job_waits_for_its_time(database: Database) -> None:
    await database.write(owe, SOON)
    assert await claim(database, at=START) == []
    assert len(await claim(database, at=SOON)) == 1


async def test_the_longest_due_come_first_and_no_more_than_asked_for(database: Database) -> None:
    for n in (3, 1, 2):
        await database.write(owe, START + timedelta(seconds=n), f"eff_{n}")
    later = START + timedelta(minutes=1)
    assert [job.subject_id for job in await claim(database, at=later, limit=2)] == ["eff_1", "eff_2"]
    assert [job.subject_id for job in await claim(database, at=later, limit=2)] == ["eff_3"]


async def test_two_workers_never_get_the_same_job(database: Database, other: Database) -> None:
    for n in range(60):
        await database.write(owe, START, f"eff_{n}")
    claims = [
        claim(each, name, limit=3) for _ in range(15) for each, name in ((database, "ann"), (other, "bob"))
    ]
    taken = [job.id for jobs in await asyncio.gather(*claims) for job in jobs]
    assert len(taken) == len(set(taken)) == 60


async def test_a_lease_that_ran_out_hands_the_job_over(database: Database) -> None:
    await database.write(owe, START)
    [of_ann] = await claim(database, "ann")
    assert await claim(database, "bob", at=AFTER_LEASE - timedelta(seconds=1)) == []
    [of_bob] = await claim(database, "bob", at=AFTER_LEASE)
    assert (of_bob.id, of_bob.attempts) == (of_ann.id, 2)


async def test_only_the_holder_finishes(database: Database) -> None:
    await database.write(owe, START)
    [of_ann] = await claim(database, "ann")
    [of_bob] = await claim(database, "bob", at=AFTER_LEASE)
    assert not await database.write(outbox.finish, of_ann, "ann")
    assert not await database.write(outbox.retry, of_ann, "ann", due_at=START, error="late")
    assert not await database.write(outbox.extend, of_ann, "ann", until=AFTER_LEASE)
    assert await database.write(outbox.finish, of_bob, "bob")
    assert await database.read(list_jobs) == []


async def test_a_worker_that_claimed_its_own_job_anew_does_not_finish_it_twice(database: Database) -> None:
    await database.write(owe, START)
    [first] = await claim(database, "ann")
    [second] = await claim(database, "ann", at=AFTER_LEASE)
    assert not await database.write(outbox.finish, first, "ann")
    assert await database.write(outbox.finish, second, "ann")


async def test_a_heartbeat_keeps_the_job(database: Database) -> None:
    await database.write(owe, START)
    [job] = await claim(database, "ann")
    assert await database.write(outbox.extend, job, "ann", until=AFTER_LEASE + timedelta(seconds=LEASE_S))
    assert await claim(database, "bob", at=AFTER_LEASE) == []
    assert await database.write(outbox.finish, job, "ann")


async def test_a_retry_comes_back_at_its_time_and_counts(database: Database) -> None:
    await database.write(owe, START)
    [job] = await claim(database, "ann")
    assert await database.write(outbox.retry, job, "ann", due_at=SOON, error="x" * 5000)
    assert await claim(database, "bob", at=START) == []
    [again] = await claim(database, "bob", at=SOON)
    assert again.attempts == 2
    [row] = await database.read(list_jobs)
    assert row.last_error == "x" * outbox.MAX_ERROR_LENGTH


async def test_a_job_born_leased_is_left_to_who_tries_it(database: Database) -> None:
    def owe_leased(db: Session) -> Job:
        return outbox.enqueue(
            db, kind="effect", subject_id="eff_1", due_at=START, locked_by="web", locked_until=AFTER_LEASE
        )

    job = await database.write(owe_leased)
    assert await claim(database, "ann") == []
    assert len(await claim(database, "ann", at=AFTER_LEASE)) == 1
    assert not await database.write(outbox.finish, job, "web"), "too late: somebody else has it"


async def test_half_a_lease_is_refused(database: Database) -> None:
    def owe_wrongly(db: Session) -> Job:
        return outbox.enqueue(db, kind="effect", subject_id="eff_1", due_at=START, locked_by="web")

    with pytest.raises(ValueError, match="lease"):
        await database.write(owe_wrongly)
