"""Whoever delivers webhooks is killed, at every moment of a delivery: it is not lost, and each copy has the same id and
body. On SQLite that is the server itself; on PostgreSQL a worker beside it.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import pytest
from sqlmodel import Session, col, select
from standardwebhooks.webhooks import Webhook

from app.adapters.vault import Vault
from app.db.tables.events import EventRow
from app.db.tables.webhooks import WebhookDelivery
from app.setup import webhooks as setup
from app.webhooks import endpoints, queries, service
from app.webhooks.kinds import Format, SigningScheme
from tests.crash.stage import DONE_WITHIN_S, LEASE_S, SECRET, Doer, Stage, written_by_nobody
from tests.support.databases import KINDS
from tests.support.merchant import LOOPBACK
from tests.support.receiver import HOLDS_AT_MOST_S, Got, Receiver, receiving
from tests.webhooks.conftest import link_created

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


class Death(StrEnum):
    """How far the delivery had come."""

    OWED = "owed, claimed by nobody"
    CLAIMED = "claimed, not sent"
    SENT = "sent, not answered"
    ANSWERED = "answered, not written down"


COPIES = {Death.OWED: 1, Death.CLAIMED: 1, Death.SENT: 2, Death.ANSWERED: 2}
CASES = [pytest.param(kind, death, id=f"{kind}-{death.name.lower()}") for kind in KINDS for death in Death]


@dataclass
class Post:
    """The process that delivers, and the endpoint that it delivers to."""

    stage: Stage
    receiver: Receiver
    endpoint_id: str
    secret: str
    doer: Doer

    def happen(self) -> str:
        """Something happens; returns its event's id."""
        return self.stage.database.write_sync(_emit, self.stage.merchant.app_id)

    async def kill_at(self, death: Death) -> str:
        """Have something happen and kill the process when its delivery has come so far; returns the event's id."""
        match death:
            case Death.OWED:
                self.doer.start()
                self.doer.kill()
                return self.happen()
            case Death.CLAIMED:
                event_id = self.happen()
                # As a process leaves it that dies between the claim's commit and the first byte.
                self.stage.database.write_sync(_claim, self.endpoint_id)
                return event_id
            case Death.SENT:
                self.receiver.hold()
                self.doer.start()
                event_id = self.happen()
                await self.wait_for_message()
                self.doer.kill()
                self.receiver.release()
                return event_id
            case Death.ANSWERED:
                return await self._kill_before_it_is_written_down()

    async def _kill_before_it_is_written_down(self) -> str:
        self.receiver.hold()
        self.doer.start()
        event_id = self.happen()
        await self.wait_for_message()
        answered = threading.Event()
        self.receiver.after_answer = answered.set
        with written_by_nobody(self.stage.database, "webhook_deliveries"):
            self.receiver.release()
            assert await asyncio.to_thread(answered.wait, HOLDS_AT_MOST_S)
            await asyncio.to_thread(self.doer.kill)
        self.receiver.after_answer = None
        return event_id

    async def wait_for_message(self) -> None:
        assert await asyncio.to_thread(self.receiver.arrived.acquire, timeout=DONE_WITHIN_S), (
            "nothing was sent"
        )

    async def arrived(self, event_id: str) -> list[Got]:
        """Every copy, once nothing is owed any more."""
        async with asyncio.timeout(DONE_WITHIN_S):
            while self.stage.database.read_sync(_is_owed, event_id):  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.1)
        return [got for got in self.receiver.inbox if got.id == event_id]


@contextmanager
def post_of(stage: Stage) -> Iterator[Post]:
    with receiving() as receiver, stage.doer() as doer:
        made = stage.database.write_sync(
            setup.add_endpoint,
            Vault([SECRET]),
            app_id=stage.merchant.app_id,
            url=receiver.url,
            types=(),
            description=None,
            format=Format.STANDARD,
            scheme=SigningScheme.V1,
            allowed=(LOOPBACK,),
            now=datetime.now(UTC),
        )
        if not stage.database.is_sqlite:
            stage.start(LEAVEWELL_WORKER="none")
        yield Post(stage, receiver, made.endpoint.id, made.shown, doer)
        stage.database.write_sync(
            endpoints.remove,
            Vault([SECRET]),
            app_id=stage.merchant.app_id,
            endpoint_id=made.endpoint.id,
            now=datetime.now(UTC),
        )


def _emit(db: Session, app_id: str) -> str:
    service.emit(db, app_id=app_id, events=[link_created()], now=datetime.now(UTC))
    newest = select(EventRow.id).order_by(col(EventRow.created_at).desc()).limit(1)
    return db.exec(newest).one()


def _claim(db: Session, endpoint_id: str) -> None:
    queries.claim(
        db, endpoint_id, worker="dead", now=datetime.now(UTC), lease=timedelta(seconds=LEASE_S), limit=10
    )


def _is_owed(db: Session, event_id: str) -> bool:
    deliveries = db.exec(select(WebhookDelivery).where(WebhookDelivery.event_id == event_id)).all()
    assert len(deliveries) == 1
    return deliveries[0].status != "delivered"


@pytest.mark.parametrize(("kind", "death"), CASES)
async def test_an_event_arrives_whenever_the_process_dies(
    stage_on: Callable[..., Stage], kind: str, death: Death
) -> None:
    with post_of(stage_on(kind, is_dark=True)) as post:
        event_id = await post.kill_at(death)
        post.doer.start()
        copies = await post.arrived(event_id)
        assert len(copies) == COPIES[death]
        assert len({copy.body for copy in copies}) == 1
        for copy in copies:
            assert Webhook(post.secret).verify(copy.body, dict(copy.headers))["id"] == event_id


@pytest.mark.parametrize("kind", KINDS)
async def test_a_process_that_is_told_to_stop_finishes_what_it_has_begun(
    stage_on: Callable[..., Stage], kind: str
) -> None:
    with post_of(stage_on(kind, is_dark=True)) as post:
        post.receiver.hold()
        post.doer.start()
        event_id = post.happen()
        await post.wait_for_message()
        letting_go = threading.Timer(1.0, post.receiver.release)
        letting_go.start()
        await asyncio.to_thread(post.doer.stop)
        assert not post.stage.database.read_sync(_is_owed, event_id)
        assert post.receiver.ids == [event_id]
