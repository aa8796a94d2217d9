"""One link, many browsers at the same instant: one session, whatever the database and the number of processes."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import httpx
from sqlmodel import select

from app.db.database import Database, Session
from app.db.tables.events import EventRow
from app.db.tables.links import CancelLink
from app.db.tables.sessions import CancelSession
from tests.support import server
from tests.support.clock import FakeClock
from tests.support.merchant import Merchant, open_merchant
from tests.support.pages import FROM_A_PAGE

BROWSERS = 100
SECRETS = ("hT3vQ0m8Zb5Yk2RwXc7LJpN4uS9dFgAe6iVoKxB1",)  # a real server refuses a weak one
T = TypeVar("T")


async def test_of_a_hundred_browsers_at_once_one_gets_the_session(database: Database, tmp_path: Path) -> None:
    """SQLite means one server process; PostgreSQL is shared by two."""
    clock = FakeClock(datetime.now(UTC))
    merchant = open_merchant(database, clock, secrets=SECRETS)  # nobody answers at its billing's address
    path = merchant.mint("cus_ben")
    with serving(merchant, tmp_path, count=1 if database.is_sqlite else 2) as urls:
        answers = await rush(urls, path)
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(303), statuses.count(410)) == (1, BROWSERS - 1)
    (session,) = database.read_sync(rows, CancelSession)
    (link,) = database.read_sync(rows, CancelLink)
    assert (link.exchange_count, session.link_id) == (1, link.id)
    (winner,) = [a for a in answers if a.status_code == 303]
    assert winner.headers["location"].startswith(f"/cancel/s/{session.id}")
    told = [e.type for e in database.read_sync(rows, EventRow)]
    assert sorted(told) == ["cancel_link.consumed", "cancel_link.exchanged", "session.started"]


async def test_a_browser_that_asks_many_times_at_once_gets_one_session(
    database: Database, tmp_path: Path
) -> None:
    merchant = open_merchant(database, FakeClock(datetime.now(UTC)), secrets=SECRETS)
    single, reusable = merchant.mint("cus_ben"), merchant.mint("cus_ada", single_use=False)
    with serving(merchant, tmp_path, count=1 if database.is_sqlite else 2) as urls:
        for path in (single, reusable):
            async with httpx.AsyncClient() as client:
                neutral = await client.get(urls[0] + path)
            cookies = dict(neutral.cookies)
            answers = await rush(urls, path, count=20, cookies=cookies)
            assert {a.status_code for a in answers} == {303}
            assert len({a.headers["location"].split("/")[3] for a in answers}) == 1
    assert len(database.read_sync(rows, CancelSession)) == 2


async def rush(
    urls: Sequence[str], path: str, *, count: int = BROWSERS, cookies: dict[str, str] | None = None
) -> list[httpx.Response]:
    """So many visitors, each with a connection of its own, spread over the servers."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        header = {"Cookie": "; ".join(f"{k}={v}" for k, v in (cookies or {}).items())} if cookies else {}
        requests = [
            client.build_request("GET", urls[i % len(urls)] + path, headers={**FROM_A_PAGE, **header})
            for i in range(count)
        ]
        return list(await asyncio.gather(*(_send(client, request) for request in requests)))


async def _send(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    return await client.send(request, follow_redirects=False)


@contextmanager
def serving(merchant: Merchant, folder: Path, *, count: int) -> Iterator[list[str]]:
    """So many real server processes over the merchant's database."""
    env = {
        "LEAVEWELL_SECRET": merchant.settings.secrets[0],
        "LEAVEWELL_BASE_URL": "http://127.0.0.1",
        "DATABASE_URL": merchant.database.url.render_as_string(hide_password=False),
        "LEAVEWELL_ALLOWED_NETWORKS": "127.0.0.0/8",
        "LEAVEWELL_WORKER": "none",
        "LEAVEWELL_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "tests.support.process", "serve"]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(server.started(command, env=env, log=folder / f"server{i}.log"))
            for i in range(count)
        ]
        yield [each.url for each in servers]
        for each in servers:
            assert "Traceback" not in each.printed()


def rows(db: Session, table: type[T]) -> list[T]:
    return list(db.exec(select(table)).all())
