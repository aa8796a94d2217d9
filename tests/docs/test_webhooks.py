"""The documentation's receiver believes what Leavewell sends, once each, and nobody else."""

import sys
from pathlib import Path

import httpx
import pytest

from app.adapters import standard_webhooks
from app.adapters.clock import SystemClock
from tests.docs import pages
from tests.support import server
from tests.webhooks.conftest import Post, post

__all__ = ["post"]  # the fixture

WEBHOOKS = pages.ROOT / "docs" / "webhooks.md"
pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_receiver_takes_an_event_once_and_refuses_forgeries(post: Post, tmp_path: Path) -> None:
    port = server.free_port()
    secret = post.add(f"http://127.0.0.1:{port}/").shown
    file = tmp_path / "receive.py"
    file.write_text(pages.program(WEBHOOKS, "receive.py"), "utf-8")
    env = {"WEBHOOK_SECRET": secret, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, file]
    with server.started(command, env=env, log=tmp_path / "log", port=port, ready="/") as receiver:
        post.clock.set(SystemClock().now())
        post.emit()
        await post.deliver()
        assert post.delivery().status == "delivered"
        body = b'{"id": "evt_1", "type": "session.completed", "data": {}}'
        ours = standard_webhooks.headers(secret, "evt_1", SystemClock().now(), body)
        foreign = standard_webhooks.headers(
            standard_webhooks.new_secret(), "evt_1", SystemClock().now(), body
        )
        async with httpx.AsyncClient() as client:
            statuses = [
                (await client.post(receiver.url, content=body, headers=headers)).status_code
                for headers in (ours, ours, foreign)
            ]
        assert statuses == [204, 204, 400]
    assert receiver.printed().count("session.completed") == 1
    assert receiver.printed().count("cancel_link.created") == 1
