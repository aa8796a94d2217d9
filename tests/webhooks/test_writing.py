"""Units of work in common transactions: each is done once, and one that fails spoils none of the others."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
from sqlmodel import Session, col, select

from app.db.base import new_id
from app.db.database import Database
from app.db.tables.accounts import Organization
from app.webhooks.writing import Writer
from tests.support.clock import START

pytestmark = pytest.mark.anyio


class Spoilt(Exception):
    pass


def add(db: Session, slug: str, *, fails: bool = False) -> str:
    db.add(Organization(id=new_id("org"), name=slug, slug=slug, created_at=START))
    db.flush()
    if fails:
        raise Spoilt
    return slug


def slugs(db: Session) -> list[str]:
    return list(db.exec(select(Organization.slug).order_by(col(Organization.slug))))


async def test_what_comes_at_once_is_all_written_and_each_gets_its_own_answer(database: Database) -> None:
    writer, names = Writer(database), [f"shop-{number:03}" for number in range(100)]
    assert await asyncio.gather(*(writer.write(name, add, name) for name in names)) == names
    assert database.read_sync(slugs) == names


async def test_one_that_fails_fails_alone(database: Database) -> None:
    writer = Writer(database)
    found = await asyncio.gather(
        *(writer.write(str(n), add, f"shop-{n}", fails=n == 5) for n in range(10)), return_exceptions=True
    )
    assert [n for n, one in enumerate(found) if isinstance(one, Spoilt)] == [5]
    assert database.read_sync(slugs) == [f"shop-{n}" for n in range(10) if n != 5]


async def test_whoever_comes_as_the_last_one_is_done_is_not_forgotten(database: Database) -> None:
    writer, numbers = Writer(database), count()

    async def come_again_and_again(numbers: Iterator[int]) -> None:
        for _ in range(15):
            await writer.write("", add, f"shop-{next(numbers)}")

    async with asyncio.timeout(30):
        await asyncio.gather(*(come_again_and_again(numbers) for _ in range(8)))
    assert len(database.read_sync(slugs)) == 120


async def test_who_gives_up_waiting_holds_up_nobody(database: Database) -> None:
    writer = Writer(database)
    impatient = asyncio.create_task(writer.write("a", add, "shop-a"))
    patient = asyncio.create_task(writer.write("b", add, "shop-b"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == "shop-b"
