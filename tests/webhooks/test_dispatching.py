"""Several endpoints at once: who hangs holds up nobody else, who fails is not hammered, and nothing is done twice."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.adapters.http import MOST_CALLS, OutboundHttp, Reply
from app.db.base import new_id
from app.db.database import Database, Overloaded, after_commit
from app.db.tables.webhooks import WebhookEndpoint
from app.webhooks import queries, service
from app.webhooks.dispatching import (
    AT_ONCE,
    FAILING_AT_ONCE,
    PATIENCE_S,
    PROMPT_AT_ONCE,
    SLOW_AT_ONCE,
    Dispatcher,
)
from app.webhooks.kinds import MOST_ENDPOINTS
from tests.support.receiver import Receiver, receiving
from tests.webhooks.conftest import Post, link_created

pytestmark = pytest.mark.anyio

SOON_S = 20.0
WEBHOOKS = Path(__file__).parents[2] / "docs" / "webhooks.md"


@asynccontextmanager
async def working(
    post: Post, *, grace_s: float = 10.0, patience_s: float = PATIENCE_S
) -> AsyncIterator[Dispatcher]:
    """A dispatcher as a process runs it."""
    dispatcher = Dispatcher(post.ports, poll_s=0.05, grace_s=grace_s, patience_s=patience_s)
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher
    finally:
        dispatcher.stop()
        await task


async def has_arrived(receiver: Receiver, count: int) -> None:
    async with asyncio.timeout(SOON_S):
        while len(receiver.inbox) < count:  # noqa: ASYNC110 - a server in another thread receives
            await asyncio.sleep(0.02)


class ReadOnly(Database):
    """Takes nothing down while `is_full`. Counts looks, and what was to be taken down."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_full = True
        self.looks = self.refused = 0
        self._counted = asyncio.Condition()

    async def read(self, fn: Callable[..., Any], *args: Any, **named: Any) -> Any:
        async with self._counted:
            self.looks += 1
            self._counted.notify_all()
        return await super().read(fn, *args, **named)

    async def write(self, fn: Callable[..., Any], *args: Any, **named: Any) -> Any:
        if not self.is_full:
            return await super().write(fn, *args, **named)
        async with self._counted:
            self.refused += 1
            self._counted.notify_all()
        raise Overloaded

    async def have_been(self, *, looks: int = 0, refused: int = 0) -> None:
        async with asyncio.timeout(SOON_S), self._counted:
            await self._counted.wait_for(lambda: self.looks >= looks and self.refused >= refused)


async def test_what_happens_is_sent_at_once(post: Post, receiver: Receiver) -> None:
    post.add(receiver.url)
    async with working(post):
        post.emit()
        await has_arrived(receiver, 1)
    assert post.delivery().status == "delivered"


async def test_endpoints_that_hang_hold_up_nobody_else(post: Post, receiver: Receiver) -> None:
    with receiving() as hanging:
        hanging.hold()
        for number in range(MOST_ENDPOINTS - 1):
            post.add(f"{hanging.url}/{number}")
        post.add(receiver.url)
        async with working(post, grace_s=0.1):
            for _ in range(50):
                post.emit()
            await has_arrived(receiver, 50)
            assert len(hanging.inbox) <= MOST_ENDPOINTS - 1
            assert len(set(receiver.ids)) == 50
            hanging.release()


class Town(OutboundHttp):
    """Endpoints behind one fake network: of whose URL has `hang` in it nobody is answered until `let_go`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.then: deque[int] = deque()
        self.let_go = asyncio.Event()
        self.on_call: Callable[[int], None] = lambda _: None
        self._called = asyncio.Condition()

    async def request(self, method: str, url: str, *_: Any, **__: Any) -> Reply:
        async with self._called:
            self.calls.append(url)
            self._called.notify_all()
        self.on_call(len(self.calls))
        status = self.then.popleft() if self.then else 200
        if "hang" in url and status == 200:
            await self.let_go.wait()
        return Reply(status, {}, b"")

    async def has_called(self, part: str, count: int) -> None:
        async with asyncio.timeout(SOON_S), self._called:
            await self._called.wait_for(lambda: self.count(part) >= count)

    def count(self, part: str) -> int:
        return sum(part in url for url in self.calls)


@dataclass
class Scene:
    """A post whose endpoints are a town's, and a database that counts looks."""

    post: Post
    town: Town
    database: ReadOnly

    def add(self, name: str, count: int = 1) -> None:
        for number in range(count):
            self.post.database.write_sync(
                _add_past_the_bound, self.post, f"https://{name}{number}.example.com/"
            )

    def happen(self, count: int = 1) -> None:
        self.post.emit(*(link_created() for _ in range(count)))

    async def looks(self, count: int) -> None:
        """So often it looks again at what is due."""
        for _ in range(count):
            seen = self.database.looks
            self.database.write_sync(after_commit, service.TOPIC)
            await self.database.have_been(looks=seen + 1)

    def fill_from_the_third_call(self, count: int) -> None:
        self.database.is_full = count == 3

    def leased(self) -> int:
        return sum(one.locked_by is not None for one in self.post.deliveries())


@pytest.fixture
async def scene(post: Post, database_url: str) -> AsyncIterator[Scene]:
    town = Town()
    with ReadOnly(database_url) as database:
        database.is_full = False
        merchant = replace(post.merchant, database=database)
        yield Scene(Post(merchant, town), town, database)
    await town.aclose()


def test_webhooks_leave_room_for_every_other_call() -> None:
    ours = PROMPT_AT_ONCE + SLOW_AT_ONCE + FAILING_AT_ONCE
    assert ours <= 0.6 * MOST_CALLS
    said = " ".join(WEBHOOKS.read_text("utf-8").split())
    assert f"{PROMPT_AT_ONCE} calls" in said
    assert f"{SLOW_AT_ONCE} to slow ones and {FAILING_AT_ONCE} to failing ones" in said


async def test_one_that_hangs_keeps_one_place_whatever_it_is_owed(scene: Scene) -> None:
    scene.add("hang", 60)
    scene.add("fine")
    scene.happen(AT_ONCE)
    async with working(scene.post, grace_s=0):
        await scene.town.has_called("hang", 60)
        await scene.town.has_called("fine", AT_ONCE)
        await scene.looks(3)
        assert scene.town.count("hang") == 60


async def test_more_that_hang_than_there_are_places_wait_unclaimed_and_get_theirs_later(
    scene: Scene,
) -> None:
    scene.add("hang", PROMPT_AT_ONCE + 5)
    scene.happen()
    async with working(scene.post):
        await scene.town.has_called("hang", PROMPT_AT_ONCE)
        await scene.looks(3)
        assert scene.town.count("hang") == PROMPT_AT_ONCE
        assert scene.leased() == PROMPT_AT_ONCE, "what waits has no lease that could run out"
        scene.town.let_go.set()
        await scene.town.has_called("hang", PROMPT_AT_ONCE + 5)
    assert {one.status for one in scene.post.deliveries()} == {"delivered"}


async def test_those_that_were_slow_the_last_time_share_places_of_their_own(scene: Scene) -> None:
    scene.add("hang", SLOW_AT_ONCE + 5)
    scene.happen()
    scene.town.let_go.set()
    async with working(scene.post, grace_s=0, patience_s=0):  # whoever answers is slow
        await scene.town.has_called("hang", SLOW_AT_ONCE + 5)
        while scene.leased():
            await scene.looks(1)
        scene.town.let_go.clear()
        scene.town.calls.clear()
        scene.happen(2)
        await scene.town.has_called("hang", SLOW_AT_ONCE)
        scene.add("fine", PROMPT_AT_ONCE)
        scene.happen()
        await scene.town.has_called("fine", PROMPT_AT_ONCE)
        await scene.looks(3)
        assert scene.town.count("hang") == SLOW_AT_ONCE


async def test_who_does_not_take_the_first_of_several_is_not_sent_the_others_at_once(scene: Scene) -> None:
    scene.add("hang")
    scene.happen(AT_ONCE)
    scene.town.then.append(500)
    async with working(scene.post, grace_s=0):
        await scene.town.has_called("hang", 2)  # the second as one that has been failing
        await scene.looks(3)
        assert scene.town.count("hang") == 2
        assert scene.leased() == 1


async def test_one_that_cannot_be_written_down_takes_no_lease_from_those_on_their_way(scene: Scene) -> None:
    scene.add("hang")
    scene.happen(3)
    scene.town.then += [204, 204]
    scene.town.on_call = scene.fill_from_the_third_call
    async with working(scene.post, grace_s=0):
        await scene.database.have_been(refused=1)
        scene.database.is_full = False
        await scene.looks(3)
    assert sorted(one.status for one in scene.post.deliveries()) == ["delivered", "pending", "pending"]
    assert scene.leased() == 0, "what was in hand until the end is given back"


def _add_past_the_bound(db: Session, post: Post, url: str) -> None:
    db.add(
        WebhookEndpoint(
            id=new_id("whk"),
            app_id=post.app_id,
            url=url,
            secret_encrypted=post.vault.seal("whsec_bGVhdmV3ZWxsLXdlYmhvb2tzLW9mLXRlc3RzLg=="),
            created_at=post.clock.now(),
        )
    )


async def test_who_has_been_failing_gets_one_message_at_a_time_until_one_is_taken(
    post: Post, receiver: Receiver
) -> None:
    post.add(receiver.url)
    receiver.answer(500)
    post.emit()
    await post.deliver()
    for _ in range(2 * AT_ONCE):
        post.emit()
    receiver.hold()
    async with working(post):
        await has_arrived(receiver, 2)
        await asyncio.sleep(0.3)  # several looks at what is due
        assert len(receiver.inbox) == 2, "the first failed, the second hangs, and no third is sent"
        receiver.release()
        await has_arrived(receiver, 1 + 2 * AT_ONCE)


async def test_two_processes_share_the_work(post: Post, receiver: Receiver, database_url: str) -> None:
    post.add(receiver.url)
    with Database(database_url) as another:
        other = Post(replace(post.merchant, database=another), post.http, holder="another process")
        async with working(post), working(other):
            for _ in range(40):
                post.emit()
            await has_arrived(receiver, 40)
    assert sorted(receiver.ids) == sorted(one.event_id for one in post.deliveries())


async def test_a_database_that_takes_nothing_down_is_left_alone_from_one_look_to_the_next(
    post: Post, receiver: Receiver, database_url: str
) -> None:
    post.add(receiver.url)
    post.emit()
    with ReadOnly(database_url) as database:
        full = Post(replace(post.merchant, database=database), post.http)
        dispatcher = Dispatcher(full.ports, poll_s=3600)
        task = asyncio.create_task(dispatcher.run())
        await database.have_been(refused=1)
        for looks in range(database.looks + 1, database.looks + 5):
            full.emit()  # which wakes it
            await database.have_been(looks=looks)
        assert database.refused == 1
        dispatcher.stop()
        async with asyncio.timeout(SOON_S):  # it stops at once, whatever it waits for
            await task
        assert database.refused == 1


async def test_what_could_not_be_taken_down_goes_out_once_it_can(
    post: Post, receiver: Receiver, database_url: str
) -> None:
    post.add(receiver.url)
    post.emit()
    with ReadOnly(database_url) as database:
        async with working(Post(replace(post.merchant, database=database), post.http)):
            await database.have_been(refused=2)
            database.is_full = False
            await has_arrived(receiver, 1)
    assert post.delivery().status == "delivered"


async def test_what_a_stopping_process_cannot_finish_is_given_back(post: Post, receiver: Receiver) -> None:
    post.add(receiver.url)
    receiver.hold()
    async with working(post, grace_s=0.05):
        post.emit()
        await has_arrived(receiver, 1)
    receiver.release()
    assert post.delivery().locked_by is None
    await post.deliver()
    assert post.delivery().status == "delivered"
    assert len(set(receiver.ids)) == 1


async def test_who_has_lost_a_delivery_to_another_writes_nothing_down(post: Post, receiver: Receiver) -> None:
    post.add(receiver.url)
    post.emit()
    slow = Dispatcher(post.ports)

    def be_overtaken(_: object) -> None:
        receiver.on_message = None
        post.clock.advance(seconds=16)
        [owed] = post.database.write_sync(
            queries.claim,
            post.delivery().endpoint_id,
            worker="another",
            now=post.clock.now(),
            lease=post.ports.lease,
            limit=1,
        )
        assert owed.id

    receiver.on_message = be_overtaken
    await slow.drain()
    assert post.delivery().status == "pending"
    assert post.delivery().locked_by == "another"
    assert post.attempts() == []


async def test_who_writes_a_failure_down_keeps_no_customer_waiting(post: Post, receiver: Receiver) -> None:
    made = post.add(receiver.url)

    def happen(db: Session) -> None:
        db.connection().execute(text("SET LOCAL lock_timeout = '300ms'"))
        service.emit(db, app_id=post.app_id, events=[link_created()], now=post.clock.now())

    def fail(db: Session) -> None:
        assert queries.hold_endpoint(db, made.endpoint.id) is not None
        if not post.database.is_sqlite:  # whose one writer everybody waits for
            post.database._submit_write(happen).result()

    post.database.write_sync(fail)
    assert len(post.deliveries()) == (0 if post.database.is_sqlite else 1)
