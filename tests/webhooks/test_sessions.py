"""What a merchant is told of a customer's whole walk, in both formats."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.db.database import Database
from app.db.tables.mail import Mail
from app.webhooks.kinds import Format
from tests.support import desk as desks
from tests.support.clock import FakeClock
from tests.support.desk import BillingServer, Desk
from tests.support.receiver import Receiver
from tests.support.schemas import problems_of
from tests.webhooks.conftest import Post

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def billing_server() -> Iterator[BillingServer]:
    with desks.billing_server() as serving:
        yield serving


@pytest.fixture
async def desk(
    database: Database, clock: FakeClock, tmp_path: Path, billing_server: BillingServer
) -> AsyncIterator[Desk]:
    async with desks.desk_of(database, clock, tmp_path, billing_server) as opened:
        yield opened


def listen(desk: Desk, receiver: Receiver, format: Format) -> None:
    Post(desk.merchant, desk.ports.http).add(receiver.url, format=format)


async def test_each_step_of_a_walk_is_told_in_words_that_are_published(
    desk: Desk, receiver: Receiver
) -> None:
    listen(desk, receiver, Format.STANDARD)
    page = await desk.at_offer("price")
    await desk.visitor.submit(page, "Take 50% off")
    await desk.worker().drain()
    told = [got.json() for got in receiver.inbox]
    assert [problems_of(body) for body in told] == [[]] * len(told)
    of_session = sorted((body for body in told if body["sessionId"]), key=lambda body: body["sequence"] or 0)
    numbers = [body["sequence"] for body in of_session if body["sequence"]]
    assert numbers == list(range(1, len(numbers) + 1)), (
        "whoever sorts by them knows the order, and what is missing"
    )
    types = [body["type"] for body in of_session]
    for type in ("session.started", "session.offer_presented", "session.offer_accepted", "effect.applied"):
        assert type in types
    assert types[-1] == "session.completed"
    assert of_session[-1]["data"]["outcome"] == "discount_accepted"


async def test_a_finished_session_is_told_in_the_other_vendor_s_envelope(
    desk: Desk, receiver: Receiver
) -> None:
    listen(desk, receiver, Format.COMPATIBLE)
    page = await desk.at_offer("price")
    await desk.visitor.submit(page, "Take 50% off")
    await desk.worker().drain()
    [got] = receiver.inbox
    body = got.json()
    assert body["event"] == "session"
    customer, session = body["data"]["customer"], body["data"]["session"]
    assert (customer["id"], session["_id"]) == ("cus_ben", desk.session().id)
    assert (session["result"], session["saveType"], session["canceled"]) == ("discount", "DISCOUNT", False)
    assert (session["mode"], session["surveyChoiceId"]) == ("TEST", "price")
    assert session["surveyResponse"] == "It costs too much"
    assert session["acceptedOffer"]["offerType"] == "DISCOUNT"
    assert not {"name", "lastName", "phone"} & set(customer)


@pytest.mark.parametrize("format", list(Format))
async def test_who_leaves_the_page_open_is_told_of_as_dismissed(
    desk: Desk, receiver: Receiver, format: Format
) -> None:
    listen(desk, receiver, format)
    await desk.enter()
    desk.clock.advance(hours=2)
    await desk.worker().drain()
    told = [got.json() for got in receiver.inbox]
    if format is Format.STANDARD:
        last = max(told, key=lambda body: body["sequence"] or 0)  # they may arrive in another order
        assert (last["type"], last["data"]["outcome"]) == ("session.completed", "dismissed")
    else:
        session = told[0]["data"]["session"]
        assert (session["result"], session["aborted"], session["saveType"]) == ("abort", True, "ABANDON")


async def test_a_merchant_who_is_told_nothing_pays_one_look_for_it(desk: Desk, receiver: Receiver) -> None:
    """And no delivery, no job, no mail."""
    await desk.at_offer("price")
    await desk.worker().drain()
    assert desk.told()
    assert receiver.inbox == []
    assert desk.all(Mail) == []
