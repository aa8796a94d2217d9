"""What an endpoint gets, when it gets it again, and when it gets no more; on the tests' clock."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import pytest
from sqlalchemy import select as select_rows
from sqlmodel import Session, select

from app.adapters.http import OutboundHttp, Reply
from app.core.events import EventType
from app.core.webhook_ladder import LADDER_S
from app.db.base import metadata
from app.db.tables.accounts import Environment
from app.mail.kinds import MailKind
from app.webhooks import endpoints, queries, sending, service, settling
from app.webhooks.endpoints import EndpointDisabled
from app.webhooks.messages import Message
from app.webhooks.sending import DEADLINE_S, Tried
from tests.support.clock import START
from tests.support.receiver import Answer, Receiver
from tests.webhooks.conftest import Post, link_created

pytestmark = pytest.mark.anyio

THREE_DAYS = timedelta(days=3)


async def climb(post: Post, *, until: timedelta) -> int:
    """Let that much time go by, and make each try when it is due. Returns how many there were."""
    count, end = 0, post.clock.now() + until
    while dues := [one.due_at for one in post.deliveries() if one.due_at is not None]:
        if min(dues) > end:
            break
        post.clock.set(max(min(dues), post.clock.now()))
        done = await post.deliver()
        if not done:  # nobody listens any more
            break
        count += done
    post.clock.set(end)
    return count


# --- Delivered ----------------------------------------------------------------------------------------------------


async def test_an_event_arrives_once_with_what_happened(post: Post, receiver: Receiver) -> None:
    post.add(receiver.url)
    post.emit(link_created("cus_ben"))
    assert await post.deliver() == 1
    assert await post.wait_and_deliver(days=4) == 0
    [got] = receiver.inbox
    body = got.json()
    assert got.id == body["id"]
    assert (body["type"], body["timestamp"]) == ("cancel_link.created", "2026-11-21T09:00:00Z")
    assert (body["version"], body["appId"], body["mode"]) == (1, post.app_id, "test")
    assert (body["sessionId"], body["sequence"]) == (None, None)
    assert body["data"]["customerId"] == "cus_ben"
    assert got.headers["content-type"] == "application/json"
    assert post.delivery().status == "delivered"


async def test_each_endpoint_gets_the_types_it_chose(post: Post, receiver: Receiver) -> None:
    post.add(f"{receiver.url}/all")
    post.add(f"{receiver.url}/some", EventType.SESSION_COMPLETED, EventType.EFFECT_FAILED)
    post.emit()
    await post.deliver()
    assert [got.path for got in receiver.inbox] == ["/all"]


async def test_who_listens_later_is_not_told_what_was_before(post: Post, receiver: Receiver) -> None:
    post.emit()
    post.add(receiver.url)
    assert await post.deliver() == 0


async def test_another_environment_s_endpoint_is_told_nothing(post: Post, receiver: Receiver) -> None:
    post.add(receiver.url)
    [other] = post.database.read_sync(_other_environments, post.app_id)
    post.database.write_sync(service.emit, app_id=other, events=[link_created()], now=post.clock.now())
    assert await post.deliver() == 0


def _other_environments(db: Session, app_id: str) -> list[str]:
    return list(db.exec(select(Environment.app_id).where(Environment.app_id != app_id)))


# --- Tried again --------------------------------------------------------------------------------------------------


async def test_what_is_not_taken_comes_again_up_the_ladder_with_the_same_id_and_body(
    post: Post, receiver: Receiver
) -> None:
    post.add(receiver.url)
    receiver.usual = Answer(500)
    post.emit()
    assert await climb(post, until=timedelta(days=5)) == len(LADDER_S)
    assert len({(got.id, got.body) for got in receiver.inbox}) == 1
    waits = [
        (b.tried_at - a.tried_at).total_seconds() - a.latency_ms / 1000 for a, b in pairwise(post.attempts())
    ]
    for wait, rung in zip(waits, LADDER_S[1:], strict=True):
        assert rung <= wait <= 1.2 * rung
    assert waits != list(LADDER_S[1:]), "what failed together does not come again together"
    assert post.delivery().status == "failed"
    assert [attempt.failure for attempt in post.attempts()] == ["It answered 500 Internal Server Error."] * 10


class Broken(OutboundHttp):
    """Fails as nobody foresaw."""

    async def request(self, *_: Any, **__: Any) -> Reply:
        raise RecursionError("what must not be kept")


async def test_an_error_that_nobody_foresaw_is_a_try_that_failed(post: Post) -> None:
    http = Broken()
    endpoint = post.add("https://hooks.example.com/").endpoint
    post.emit()
    assert await climb(replace(post, http=http), until=timedelta(days=5)) == len(LADDER_S)
    assert post.delivery().status == "failed"
    assert {attempt.failure for attempt in post.attempts()} == {
        "An unforeseen error on our side: RecursionError."
    }
    assert post.endpoint(endpoint.id).disabled_reason == "failing"
    await http.aclose()


async def test_each_try_is_signed_anew_so_that_it_is_never_too_old(post: Post, receiver: Receiver) -> None:
    post.add(receiver.url)
    receiver.answer(503)
    post.emit()
    await post.deliver()
    await post.wait_and_deliver(seconds=6 + DEADLINE_S)
    first, second = receiver.inbox
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 21
    assert second.headers["webhook-signature"] != first.headers["webhook-signature"]


@pytest.mark.parametrize(
    ("latency_s", "asked_s", "next_s"), [(15, None, 15 + 5), (14, 10, 14 + 10), (0, None, 5)]
)
async def test_a_wait_begins_when_the_answer_has_come(
    post: Post, latency_s: int, asked_s: float | None, next_s: int
) -> None:
    endpoint = post.add("https://hooks.example.com/").endpoint
    post.emit()
    at = post.clock.now()
    [owed] = post.database.write_sync(
        queries.claim, endpoint.id, worker=post.holder, now=at, lease=post.ports.lease, limit=1
    )
    tried = Tried(at, 1000 * latency_s, endpoint.url, {}, status=503, failure="…", retry_after_s=asked_s)
    assert post.database.write_sync(settling.settle, post.vault, owed, tried, worker=post.holder, chance=0.0)
    assert post.delivery().due_at == at + timedelta(seconds=next_s)


class LateLoop(asyncio.SelectorEventLoop):
    """Its clock can be put forward."""

    late_s = 0.0

    def time(self) -> float:
        return super().time() + self.late_s


class Late(OutboundHttp):
    """Answers 14 seconds later, on the loop's clock, and asks for no message before a date."""

    def __init__(self, loop: LateLoop, until: str) -> None:
        super().__init__()
        self._loop, self._until = loop, until

    async def request(self, *_: Any, **__: Any) -> Reply:
        self._loop.late_s += 14
        return Reply(503, {"retry-after": self._until}, b"")


def test_a_date_to_wait_for_is_the_same_however_late_the_answer_comes() -> None:
    with asyncio.Runner(loop_factory=LateLoop) as runner:
        loop = cast("LateLoop", runner.get_loop())
        http = Late(loop, "Sat, 21 Nov 2026 10:00:00 GMT")
        tried = runner.run(sending.send(http, "https://hooks.example.com/", Message(b"{}", {}), at=START))
        runner.run(http.aclose())
    assert tried.latency_ms >= 14_000
    assert tried.retry_after_s is not None
    assert tried.ended_at + timedelta(seconds=tried.retry_after_s) == START + timedelta(hours=1)


@pytest.mark.parametrize("value", ["3600", "Sat, 21 Nov 2026 10:00:00 GMT"])
async def test_retry_after_is_waited_for(post: Post, receiver: Receiver, value: str) -> None:
    post.add(receiver.url)
    receiver.answer(429, retry_after=value)
    post.emit()
    await post.deliver()
    assert await post.wait_and_deliver(minutes=59) == 0
    assert await post.wait_and_deliver(minutes=1, seconds=DEADLINE_S) == 1
    assert post.delivery().status == "delivered"


async def test_retry_after_neither_shortens_a_wait_nor_puts_it_off_for_ever(
    post: Post, receiver: Receiver
) -> None:
    post.add(receiver.url)
    receiver.answer(503, 503, retry_after="1")
    receiver.answer(503, retry_after="999999")
    post.emit()
    await post.deliver()
    assert await post.wait_and_deliver(seconds=2) == 0
    assert await post.wait_and_deliver(seconds=4 + DEADLINE_S) == 1
    assert await post.wait_and_deliver(minutes=6, seconds=DEADLINE_S) == 1
    assert await post.wait_and_deliver(hours=24, seconds=DEADLINE_S) == 1
    assert post.delivery().status == "delivered"


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "-1",
        f"Mon, 01 Jan {'9' * 23} 00:00:00 GMT",
        f"Mon, {'9' * 23} Jan 2027 00:00:00 GMT",
        f"Mon, 01 Jan 2027 00:00:00 +{'9' * 23}",
    ],
)
async def test_a_retry_after_that_says_nothing_is_passed_over(
    post: Post, receiver: Receiver, value: str
) -> None:
    post.add(receiver.url)
    receiver.answer(503, 200, retry_after=value)
    post.emit()
    await post.deliver()
    assert (post.delivery().tries, len(post.attempts())) == (1, 1)
    await post.wait_and_deliver(seconds=6 + DEADLINE_S)
    assert post.delivery().status == "delivered"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 500])
async def test_only_a_success_is_one(post: Post, receiver: Receiver, status: int) -> None:
    post.add(receiver.url)
    receiver.answer(status, location=f"{receiver.url}/elsewhere")
    post.emit()
    await post.deliver()
    [attempt] = post.attempts()
    assert attempt.status == status
    assert attempt.failure
    assert post.delivery().status == "pending"
    assert len(receiver.inbox) == 1, "redirects are not followed"


async def test_an_answer_that_is_too_long_to_read_counts_by_its_status(
    post: Post, receiver: Receiver
) -> None:
    post.add(receiver.url)
    receiver.then.append(Answer(200, {"content-type": "text/plain"}, b"x" * 200_000))
    post.emit()
    await post.deliver()
    assert post.delivery().status == "delivered"
    [attempt] = post.attempts()
    assert attempt.response_body == "x" * 1024


async def test_after_three_days_of_outage_everything_arrives(post: Post, receiver: Receiver) -> None:
    post.add(receiver.url)
    receiver.usual = Answer(503)
    for _ in range(3):
        post.emit()
        await climb(post, until=timedelta(hours=12))
    begun = post.deliveries()[0].created_at
    await climb(post, until=THREE_DAYS - (post.clock.now() - begun))
    assert {delivery.status for delivery in post.deliveries()} == {"pending"}
    receiver.usual = Answer(200)
    receiver.inbox.clear()
    await climb(post, until=timedelta(days=2))
    assert sorted(receiver.ids) == sorted(delivery.event_id for delivery in post.deliveries())
    assert {delivery.status for delivery in post.deliveries()} == {"delivered"}
    assert post.mails() == []


# --- Disabled -----------------------------------------------------------------------------------------------------


async def test_who_answers_410_is_disabled_at_once_and_the_merchant_told(
    post: Post, receiver: Receiver
) -> None:
    endpoint = post.add(receiver.url).endpoint
    receiver.answer(410)
    post.emit()
    await post.deliver()
    assert post.endpoint(endpoint.id).disabled_reason == "gone"
    post.emit()
    assert await post.wait_and_deliver(days=1) == 0
    assert [(mail.kind, mail.recipient) for mail in post.mails()] == [
        (MailKind.WEBHOOK_DISABLED, "help@northwind.example")
    ]


async def test_who_takes_nothing_for_as_long_as_we_try_is_disabled_and_the_merchant_told_once(
    post: Post, receiver: Receiver
) -> None:
    endpoint = post.add(receiver.url).endpoint
    receiver.usual = Answer(500)
    post.emit()
    post.emit()
    await climb(post, until=THREE_DAYS)
    assert post.endpoint(endpoint.id).disabled_at is None
    await climb(post, until=timedelta(days=1))
    assert post.endpoint(endpoint.id).disabled_reason == "failing"
    assert len(post.mails()) == 1


async def test_one_event_that_is_never_taken_disables_nobody_who_takes_others(
    post: Post, receiver: Receiver
) -> None:
    endpoint = post.add(receiver.url).endpoint
    post.emit()
    receiver.usual = Answer(422)
    await climb(post, until=timedelta(days=1))
    receiver.answer(200)
    post.emit()
    await post.deliver()
    while (bad := post.deliveries()[0]).due_at is not None:
        post.clock.set(max(bad.due_at, post.clock.now()))
        await post.deliver()
    assert {delivery.status for delivery in post.deliveries()} == {"failed", "delivered"}
    assert post.endpoint(endpoint.id).disabled_at is None


async def test_what_is_owed_goes_out_once_the_endpoint_is_enabled_and_the_rest_when_asked_for(
    post: Post, receiver: Receiver
) -> None:
    endpoint = post.add(receiver.url).endpoint
    receiver.answer(410)
    since = post.clock.now()
    post.emit()
    await post.deliver()
    post.clock.advance(hours=1)
    post.emit()  # nobody listens
    with pytest.raises(EndpointDisabled):
        redeliver(post, endpoint.id, since)
    post.database.write_sync(endpoints.enable, app_id=post.app_id, endpoint_id=endpoint.id)
    assert await post.deliver() == 1
    assert redeliver(post, endpoint.id, since) == 1
    assert await post.deliver() == 1
    assert len(set(receiver.ids)) == 2
    assert redeliver(post, endpoint.id, since) == 0
    assert redeliver(post, endpoint.id, since, takes_delivered=True) == 2
    await post.deliver()
    assert len(receiver.inbox) == 5
    assert len(set(receiver.ids)) == 2, "who keeps the ids sees that these are repetitions"


def redeliver(post: Post, endpoint_id: str, since: datetime, *, takes_delivered: bool = False) -> int:
    found = post.database.write_sync(
        endpoints.redeliver_since,
        app_id=post.app_id,
        endpoint_id=endpoint_id,
        since=since,
        after=None,
        takes_delivered=takes_delivered,
        now=post.clock.now(),
    )
    assert found.last is None
    return found.count


async def test_one_that_failed_is_tried_all_over_again_when_asked_for(post: Post, receiver: Receiver) -> None:
    post.add(receiver.url)
    receiver.usual = Answer(500)
    post.emit()
    await climb(post, until=timedelta(hours=1))
    receiver.answer(200)  # something is taken, so that the endpoint stays
    post.emit()
    await climb(post, until=timedelta(days=5))
    [failed] = [one for one in post.deliveries() if one.status == "failed"]
    post.database.write_sync(
        endpoints.redeliver, app_id=post.app_id, delivery_id=failed.id, now=post.clock.now()
    )
    receiver.usual = Answer(200)
    await post.deliver()
    assert {one.status for one in post.deliveries()} == {"delivered"}
    again = next(one for one in post.deliveries() if one.id == failed.id)
    assert (again.tries, len(post.attempts(again))) == (0, 11)


# --- The log ------------------------------------------------------------------------------------------------------


async def test_the_log_keeps_the_try_and_none_of_its_signatures(post: Post, receiver: Receiver) -> None:
    secret = post.add(receiver.url).shown
    receiver.then.append(
        Answer(
            500,
            {"content-type": "text/plain", "set-cookie": "a=b"},
            "Nö\x00\x1b[31m".encode() + b"\xff" + b"y" * 4000,
        )
    )
    post.emit()
    await post.deliver()
    [attempt] = post.attempts()
    assert attempt.request_headers["webhook-id"] == receiver.ids[0]
    assert "webhook-signature" not in attempt.request_headers
    assert "ck-signature" not in attempt.request_headers
    assert attempt.response_headers["content-type"] == "text/plain"
    assert "set-cookie" not in attempt.response_headers
    assert attempt.response_body is not None
    assert attempt.response_body.startswith("Nö��[31m�yyy")
    assert len(attempt.response_body) <= 1024
    assert attempt.latency_ms >= 0
    signature = receiver.inbox[0].headers["webhook-signature"].split(",")[1]
    dump = post.database.read_sync(_everything)
    assert secret not in dump
    assert signature not in dump


def _everything(db: Session) -> str:
    return "\n".join(
        str(row) for table in metadata.sorted_tables for row in db.connection().execute(select_rows(table))
    )


async def test_the_log_is_kept_for_thirty_days_and_a_removed_endpoint_s_is_swept_away(
    post: Post, receiver: Receiver
) -> None:
    endpoint = post.add(receiver.url).endpoint
    post.emit()
    await post.deliver()
    sweep = {"now": post.clock.advance(days=29), "limit": 10}
    assert post.database.write_sync(endpoints.forget_deliveries, **sweep) == 0
    post.emit()
    sweep["now"] = post.clock.advance(days=2)
    assert post.database.write_sync(endpoints.forget_deliveries, **sweep) == 1
    assert len(post.deliveries()) == 1
    post.database.write_sync(
        endpoints.remove, post.vault, app_id=post.app_id, endpoint_id=endpoint.id, now=post.clock.now()
    )
    assert await post.deliver() == 0
    while post.database.write_sync(endpoints.forget_deliveries, **sweep):
        pass
    assert post.deliveries() == []
    assert endpoint.id not in post.database.read_sync(_everything)
