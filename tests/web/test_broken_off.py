"""An answer that is under way and cannot be brought to its end: the client can tell, and the log says why in a line."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from litestar import get
from litestar.response import Stream

from app.db.database import Database, TookTooLong
from app.main import create_app
from app.settings import WorkerPlace
from tests.support import server
from tests.support.apps import make_settings
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio


@get("/long", media_type="text/plain")
async def long() -> Stream:
    async def pieces() -> AsyncIterator[str]:
        yield "first\n"
        raise TookTooLong

    return Stream(pieces)


async def test_a_client_sees_that_an_answer_is_not_whole(
    database: Database, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(make_settings(), worker=WorkerPlace.NONE)
    app = create_app(settings, database=database, clock=clock, extra_handlers=[long])
    with server.served(app) as url:
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(f"{url}/long")
    logged = capsys.readouterr().err
    assert "took_too_long" in logged
    assert "Traceback" not in logged
