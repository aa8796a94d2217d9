"""What a stranger can put into a request's head: nothing in it may hold up everybody else, or end up in the log."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from litestar import Litestar, Request
from litestar.testing import RequestFactory

from app.adapters.signing import Signer
from app.web.edge import LARGEST_HEAD, redact
from app.web.security import browser_cookie, find_browser, new_browser
from tests.support.apps import SECRET
from tests.web.conftest import Probe
from tests.web.test_hostile import ask

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SIGNER = Signer((SECRET,))
PATIENCE_S = 1.0  # quadratic, these take several seconds; as they should be, milliseconds
ALMOST_ALL = LARGEST_HEAD - 1_000


def visit(cookies: str) -> Request[Any, Any, Any]:
    return RequestFactory(Litestar([], logging_config=None)).get("/", headers={"cookie": cookies})


async def test_a_quoted_cookie_full_of_backslashes_is_read_in_no_time(probe: Probe) -> None:
    cookie = b'lw_browser="' + rb"\"" * (ALMOST_ALL // 2) + b'"'
    started = time.perf_counter()
    status, _ = await ask(probe, path="/cancel/cl_AAAA.BBBB", headers=[(b"host", b"x"), (b"cookie", cookie)])
    assert time.perf_counter() - started < PATIENCE_S
    assert status == 410


@pytest.mark.parametrize(("path", "refused"), [("/probe/form", 200), ("/v1/probe/orders", 415)])
async def test_a_media_type_full_of_semicolons_is_read_in_no_time(
    probe: Probe, path: str, refused: int
) -> None:
    kind = b'application/json; charset="' + b";" * ALMOST_ALL
    headers = [(b"host", b"x"), (b"content-type", kind)]
    started = time.perf_counter()
    status, _ = await ask(probe, method="POST", path=path, headers=headers)
    assert time.perf_counter() - started < PATIENCE_S
    assert status == refused  # an empty form is a form; an order of no known kind is none


@pytest.mark.parametrize("path", ["/", "/cancel/cl_AAAA.BBBB", "/v1/cancel-sessions", "/nowhere"])
async def test_a_head_without_end_is_refused_before_anybody_reads_it(probe: Probe, path: str) -> None:
    many = [(b"host", b"x"), *((b"x-%d" % number, b"y" * 1_000) for number in range(70))]
    for changes in ({"headers": many}, {"query_string": b"q" * LARGEST_HEAD}):
        status, body = await ask(probe, path=path, **changes)
        assert status == 431
        assert b"headers_too_large" in body


def test_a_cookie_planted_by_another_host_of_the_domain_does_not_hide_ours() -> None:
    browser = new_browser(NOW)
    ours = browser_cookie(browser, SIGNER, NOW, secure=True).value
    for planted in ("", "junk", "a.1.b", '"quoted"', "x" * 5_000, "=", "%00"):
        for cookies in (
            f"lw_browser={planted}; lw_browser={ours}",
            f"lw_browser={ours};lw_browser={planted}",
        ):
            assert find_browser(visit(cookies), SIGNER, NOW) == browser


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/cancel/ cl_AAAA.BBBB", "/cancel/ cl_***"),
        ("/cancel/<cl_AAAA.BBBB>", "/cancel/<cl_***"),
        ("/cancel/https:cl_AAAA.BBBB/x", "/cancel/https:cl_***/x"),
        ("/v1/cancel-sessions/live_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/v1/cancel-sessions/live_***"),
        ("/test_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/revoke", "/test_***/revoke"),
        ("/cancel/app_test_0123456789abcdef01234567", "/cancel/app_test_0123456789abcdef01234567"),
        (
            "/v1/cancel-sessions/lnk_0123456789abcdef01234567",
            "/v1/cancel-sessions/lnk_0123456789abcdef01234567",
        ),
    ],
)
def test_a_token_or_key_is_masked_wherever_in_the_path_it_begins(path: str, kept: str) -> None:
    assert redact(path) == kept
