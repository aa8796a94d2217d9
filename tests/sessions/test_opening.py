"""How a session opens: billing and the merchant's endpoint asked once, at once, and neither in the way of the walk."""

import asyncio
import gzip
import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlmodel import Session

from app.accounts import service as accounts
from app.db.tables.accounts import ApiKey, Environment
from app.db.tables.sessions import CancelSession
from app.sessions import opening, queries
from app.sessions import service as sessions
from tests.adapters.loopback import Conversation, Loopback, answering, conversing, http_answer
from tests.support.desk import Desk
from tests.support.pages import FROM_A_PAGE, FROM_US

SURVEY = "Why do you want to leave?"
DEADLINE_MS = 300
SLACK_S = 0.5 + 1.5  # what is promised, and what a busy machine may take for everything else
SECRET = b64encode(b"a secret of the endpoint, 32 by.").decode()


@asynccontextmanager
async def endpoint(
    desk: Desk, conversation: Conversation, *, deadline_ms: int = 5_000, **settings: Any
) -> AsyncIterator[Loopback]:
    """The merchant's customer data endpoint, holding that conversation."""
    async with conversing(conversation) as serving:
        desk.merchant.change(
            customer_data_url=f"{serving.url}data", customer_data_timeout_ms=deadline_ms, **settings
        )
        yield serving


def saying(answer: Mapping[str, Any]) -> Conversation:
    return answering(http_answer(json.dumps(answer).encode(), headers="content-type: application/json\r\n"))


def asked(serving: Loopback) -> list[dict[str, Any]]:
    """The bodies that the endpoint was sent."""
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in serving.requests]


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def hmac_hex(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


# --- What is asked --------------------------------------------------------------------------------------------------


async def test_the_endpoint_is_asked_as_the_contract_says(desk: Desk) -> None:
    async with endpoint(desk, saying({})) as serving:
        await desk.enter("cus_ben")
    (request,) = serving.requests
    assert request.startswith(b"POST /data HTTP/1.1\r\n")
    assert headers_of(request)["content-type"].startswith("application/json")
    assert asked(serving) == [
        {"customerId": "cus_ben", "signature": hmac_hex(desk.merchant.api_key, "cus_ben")}
    ]
    assert desk.session().data_call_reason is None


async def test_it_is_signed_with_the_key_that_minted_the_link_else_with_the_oldest_active_one(
    desk: Desk,
) -> None:
    second = desk.database.write_sync(_new_key, desk, minutes=1)
    third = desk.database.write_sync(_new_key, desk, minutes=2)
    async with endpoint(desk, saying({})) as serving:
        await desk.enter("cus_ben", api_key_id=third.id)
        desk.database.write_sync(_revoke_key, third.id, desk)
        await desk.enter("cus_ben", api_key_id=third.id)
        desk.database.write_sync(_revoke_key, desk.merchant.key_id, desk)
        await desk.enter("cus_ben", api_key_id=third.id)
        desk.database.write_sync(_revoke_key, second.id, desk)
        page = await desk.enter("cus_ben", api_key_id=third.id)
    keys = (third.secret, desk.merchant.api_key, second.secret)
    assert [a["signature"] for a in asked(serving)] == [hmac_hex(key, "cus_ben") for key in keys]
    assert page.h1 == SURVEY  # no key is left to sign with: it is not asked, and nobody is stopped
    assert {s.data_call_reason for s in desk.sessions()} == {None, "no_active_key"}


async def test_standard_webhooks_headers_let_the_merchant_refuse_a_replay(desk: Desk) -> None:
    sealed = desk.ports.vault.seal(f"whsec_{SECRET}")
    async with endpoint(desk, saying({}), customer_data_secret=sealed) as serving:
        await desk.enter("cus_ben")
    (request,) = serving.requests
    headers, body = headers_of(request), request.partition(b"\r\n\r\n")[2]
    assert headers["webhook-id"] == f"msg_{desk.session().id}"
    assert headers["webhook-timestamp"] == str(int(desk.clock.now().timestamp()))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = b64encode(hmac.digest(b64decode(SECRET), signed, "sha256")).decode()
    assert headers["webhook-signature"].split() == [f"v1,{expected}"]


async def test_billing_and_the_endpoint_are_asked_at_the_same_time(desk: Desk) -> None:
    """The endpoint answers only once billing has been asked, and billing only once the endpoint has."""
    billing_asked = asyncio.Event()

    async def after_billing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(_until, lambda: desk.faults.held.get("read", 0) > 0)
        billing_asked.set()
        writer.write(http_answer(b'{"customerAttributes": {"plan": "Gold"}}'))

    desk.break_billing("read", kind="hang", times=1)
    async with endpoint(desk, after_billing, deadline_ms=1_000) as serving:
        page = await desk.enter("cus_ben")
    assert billing_asked.is_set()
    assert len(serving.requests) == 1
    assert page.h1 == SURVEY
    assert desk.session().snapshot["attributes"] == {"plan": "Gold"}


async def test_it_is_asked_once_a_session_however_often_the_page_is_opened(desk: Desk) -> None:
    async with endpoint(desk, saying({"customerAttributes": {"plan": "Pro"}})) as serving:
        path = desk.merchant.mint("cus_ben")
        page = await desk.visitor.open(path, headers=FROM_A_PAGE)
        for _ in range(3):
            await desk.visitor.open(page.url, headers=FROM_US)
            await desk.visitor.open(path, headers=FROM_A_PAGE)
        assert len(serving.requests) == 1


async def test_requests_at_the_same_moment_wait_for_the_one_that_opens(desk: Desk) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(http_answer(b'{"customerAttributes": {"plan": "Pro"}}'))

    path = desk.merchant.mint("cus_ben")
    await desk.visitor.open(path)  # the browser is known
    async with endpoint(desk, slow) as serving:
        pages = await asyncio.gather(*(desk.visitor.open(path, headers=FROM_A_PAGE) for _ in range(5)))
    assert {page.h1 for page in pages} == {SURVEY}
    assert len(serving.requests) == 1


# --- What it says ---------------------------------------------------------------------------------------------------


async def test_the_endpoint_beats_the_mint_and_the_mint_beats_metadata(desk: Desk) -> None:
    document = desk.store.find_customer("test", "cus_ben")
    assert document is not None
    document["metadata"] = {"plan": "of metadata", "seats": 3, "region": "of metadata"}
    subscriptions = desk.store.list_subscriptions("test", "cus_ben", desk.clock.now())
    desk.store.put_customer("test", document, subscriptions)
    async with endpoint(desk, saying({"customerAttributes": {"plan": "of endpoint"}})):
        await desk.enter("cus_ben", attributes={"plan": "of mint", "region": "of mint"})
    standing = desk.database.read_sync(_standing, desk)
    state = standing.state
    facts = standing.walk.facts(subscription_id=state.subscription_id, reason=None, follow_up=None)
    assert (facts["plan"], facts["region"], facts["seats"]) == ("of endpoint", "of mint", 3)


async def test_another_customer_and_subscription_replace_ours_for_the_session(desk: Desk) -> None:
    async with endpoint(desk, saying({"customerId": "cus_emil", "subscriptionId": "sub_emil_publish"})):
        page = await desk.enter("cus_ben", subscription_id="sub_ben_pro")
    assert page.h1 == SURVEY
    row = desk.session()
    assert (row.customer_id, row.subscription_id) == ("cus_emil", "sub_emil_publish")
    page = await desk.visitor.submit(page, "Cancel now")
    await desk.visitor.submit(page, "Cancel my subscription")
    assert (desk.billed("sub_emil_publish"), desk.billed("sub_ben_pro")) == (["cancel"], [])


async def test_a_replaced_customer_is_looked_up_although_the_first_look_up_hangs(desk: Desk) -> None:
    desk.break_billing("read", kind="hang", times=1)

    async def replacing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not before it is the first look-up that hangs.
        await asyncio.to_thread(_until, lambda: desk.faults.held.get("read", 0) > 0)
        await saying({"customerId": "cus_ada"})(reader, writer)

    async with endpoint(desk, replacing):
        started = time.monotonic()
        await desk.enter("cus_ben")
    assert time.monotonic() - started < 5
    assert desk.session().snapshot["customer"]["id"] == "cus_ada"


async def test_what_cannot_be_used_is_left_out_and_named(desk: Desk) -> None:
    answer = {
        "customerId": 7,
        "subscriptionId": "x" * 256,
        "customerAttributes": {"plan": "Pro", "nested": {"a": 1}, "list": [1], "a.dot": 1, "none": None},
    }
    async with endpoint(desk, saying(answer)):
        page = await desk.enter("cus_ben")
    row = desk.session()
    assert page.h1 == SURVEY
    assert row.snapshot["attributes"] == {"plan": "Pro"}
    for name in ("customerId", "subscriptionId", "nested", "list", "a.dot"):
        assert name in str(row.data_call_reason)


# --- What goes wrong ------------------------------------------------------------------------------------------------


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(10)


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(100):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


FAILURES: dict[str, tuple[Conversation, str]] = {
    "hangs for ten seconds": (_hang, "timeout"),
    "trickles": (_trickle, "timeout"),
    "redirects": (
        answering(http_answer(status="302 Found", headers="location: http://127.0.0.1:9/\r\n")),
        "redirect",
    ),
    "answers a megabyte": (answering(http_answer(b'{"a":"' + b"x" * 1_000_000 + b'"}')), "too_large"),
    "announces a megabyte": (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"), "too_large"),
    "answers no JSON": (answering(http_answer(b"<html>hello</html>")), "not_json"),
    "answers nothing": (answering(http_answer(b"")), "not_json"),
    "answers a NUL": (answering(http_answer(b'{"customerAttributes": {"a": "\\u0000"}}')), "not_json"),
    "answers half a letter": (answering(http_answer(b'"\\ud800"')), "not_"),
    "answers a list": (answering(http_answer(b"[1, 2]")), "not_an_object"),
    "nests deeply": (answering(http_answer(b"[" * 30_000)), "not_json"),
    "401": (answering(http_answer(status="401 Unauthorized")), "status_401"),
    "500": (answering(http_answer(status="500 Oops")), "status_500"),
    "204": (answering(b"HTTP/1.1 204 No Content\r\n\r\n"), "status_204"),
    "closes early": (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", close=True), "connection"),
    "closes at once": (answering(b"", close=True), "connection"),
    "compresses": (
        answering(http_answer(gzip.compress(b"{}"), headers="content-encoding: gzip\r\n")),
        "compressed",
    ),
    "speaks no HTTP": (answering(b"220 mail.example ESMTP\r\n\r\n", close=True), "not_http"),
}


async def test_an_endpoint_that_fails_stops_nobody(desk: Desk) -> None:
    for name, (conversation, reason) in FAILURES.items():
        path = desk.merchant.mint("cus_ben", attributes={"plan": "of mint"})
        deadline_ms = DEADLINE_MS if reason == "timeout" else 5_000
        async with endpoint(desk, conversation, deadline_ms=deadline_ms, customer_data_failures=0):
            started = time.monotonic()
            page = await desk.visitor.open(path, headers=FROM_A_PAGE)
            took = time.monotonic() - started
        assert reason != "timeout" or took < DEADLINE_MS / 1000 + SLACK_S, name
        assert page.h1 == SURVEY
        row = next(s for s in desk.sessions() if s.id == page.path.split("/")[3])
        assert str(row.data_call_reason).startswith(reason), name
        assert row.snapshot["attributes"] == {}
        assert row.snapshot["mint_attributes"] == {"plan": "of mint"}
        assert row.snapshot["is_verified"]  # billing answered meanwhile
        page = await desk.visitor.submit(page, "Continue", {"reason": "price"})
        assert "Take 50% off" in page.buttons


async def test_an_endpoint_where_none_may_be_stops_nobody(desk: Desk) -> None:
    for url, reason in (
        ("http://10.1.2.3/data", "private_address"),
        ("https://10.1.2.3/data", "private_address"),
        ("https://169.254.169.254/latest/meta-data", "private_address"),
        ("https://[::ffff:10.1.2.3]/", "private_address"),
        ("http://127.0.0.1:9/", "refused"),
        ("not an address", "bad_url"),
    ):
        desk.merchant.change(customer_data_url=url, customer_data_failures=0)
        page = await desk.enter()
        assert page.h1 == SURVEY
        row = next(s for s in desk.sessions() if s.id == page.path.split("/")[3])
        assert row.data_call_reason == reason, url


async def test_a_customer_whose_id_is_strange_is_asked_for_like_any_other(desk: Desk) -> None:
    strange = "cus/../\N{GRINNING FACE} & <b>"
    async with endpoint(desk, saying({})) as serving:
        await desk.enter(strange)
    assert asked(serving)[0] == {
        "customerId": strange,
        "signature": hmac_hex(desk.merchant.api_key, strange),
    }


async def test_after_five_failures_in_a_row_it_is_left_alone_for_half_a_minute(desk: Desk) -> None:
    async with endpoint(desk, answering(http_answer(status="500 Oops"))) as serving:
        for _ in range(5):
            await desk.enter()
        assert len(serving.requests) == 5
        for seconds in (0, 29):
            desk.clock.advance(seconds=seconds)
            assert (await desk.enter()).h1 == SURVEY
        assert len(serving.requests) == 5
        assert [s.data_call_reason for s in desk.sessions()].count("skipped_after_failures") == 2
        desk.clock.advance(seconds=1)
        await desk.enter()  # tried once more, and failed once more
        await desk.enter()
        assert len(serving.requests) == 6


async def test_one_good_answer_forgives_the_failures_before_it(desk: Desk) -> None:
    async with endpoint(desk, answering(http_answer(status="500 Oops"))):
        for _ in range(4):
            await desk.enter()
    async with endpoint(desk, saying({})):
        await desk.enter()
    assert (
        desk.all(Environment)[0].customer_data_failures + desk.all(Environment)[1].customer_data_failures == 0
    )


# --- Who opens ------------------------------------------------------------------------------------------------------


async def test_a_session_whose_opener_died_is_opened_by_the_next_without_asking_again(desk: Desk) -> None:
    async with endpoint(desk, saying({"customerAttributes": {"plan": "Pro"}})) as serving:
        session_id = await _begun(desk, holder="a process that died")
        desk.clock.advance(seconds=sessions.OPENING_LEASE.total_seconds() + 1)
        page = await desk.visitor.open(f"/cancel/s/{session_id}", headers=FROM_US)
        assert page.h1 == SURVEY
        assert serving.requests == []
    assert desk.session().data_call_reason == "interrupted"
    assert desk.session().snapshot["is_verified"]


async def test_while_another_process_opens_the_page_waits(desk: Desk) -> None:
    session_id = await _begun(desk, holder="a process that is at it")
    opened = asyncio.create_task(desk.visitor.open(f"/cancel/s/{session_id}", headers=FROM_US))
    await asyncio.sleep(0.15)
    assert not opened.done()
    desk.clock.advance(seconds=sessions.OPENING_LEASE.total_seconds() + 1)
    await opening.open_session(_ports_named(desk, "the next one"), session_id)
    assert (await opened).h1 == SURVEY


async def test_who_took_too_long_does_not_overwrite_what_the_next_one_opened(desk: Desk) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        desk.clock.advance(seconds=11)
        await opening.open_session(_ports_named(desk, "quick"), desk.session().id)
        writer.write(http_answer(b'{"customerId": "cus_ada", "customerAttributes": {"late": 1}}'))

    async with endpoint(desk, slow):
        await opening.enter(_ports_named(desk, "slow"), **await desk.exchanging())
    row = desk.session()
    assert (row.customer_id, row.data_call_reason) == ("cus_ben", "interrupted")
    assert desk.told() == ["session.started"]


async def test_billing_that_hangs_is_given_up_at_the_deadline(desk: Desk) -> None:
    desk.merchant.change(customer_data_timeout_ms=DEADLINE_MS)
    desk.break_billing("read", kind="hang", times=10)
    started = time.monotonic()
    page = await desk.enter()
    assert time.monotonic() - started < DEADLINE_MS / 1000 + SLACK_S
    assert page.h1 == SURVEY
    assert not desk.session().snapshot["is_verified"]


async def _begun(desk: Desk, *, holder: str) -> str:
    """A session that somebody has begun for our visitor's browser, and not opened."""
    begun = await desk.database.write(
        sessions.begin, **await desk.exchanging(), holder=holder, now=desk.clock.now()
    )
    return begun.session_id


def _ports_named(desk: Desk, holder: str):
    return replace(desk.session_ports(), holder=holder)


def _until(is_true, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.005)


def _standing(db: Session, desk: Desk) -> sessions.Standing:
    row = queries.find_session(db, desk.all(CancelSession)[0].id)
    assert row is not None
    return sessions.find_standing(
        db, session_id=row.id, browser_sha256=str(row.browser_sha256), now=desk.clock.now()
    )


def _new_key(db: Session, desk: Desk, minutes: int) -> accounts.NewKey:
    return accounts.create_key(
        db, desk.ports.vault, app_id=desk.merchant.app_id, now=desk.clock.now() + timedelta(minutes=minutes)
    )


def _revoke_key(db: Session, key_id: str, desk: Desk) -> None:
    db.get_one(ApiKey, key_id).revoked_at = desk.clock.now()
