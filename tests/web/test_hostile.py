"""Requests that no browser sends. None of them may end in a 500, or take long."""

from typing import Any

import pytest

from tests.web.conftest import Probe


async def ask(probe: Probe, *, method: str = "GET", path: str = "/", **changes: Any) -> tuple[int, bytes]:
    """Speak ASGI directly: what a client library would never let through. Returns the status and the body."""
    messages: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"leavewell.test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        **changes,
    }
    body = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return body.pop() if body else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await probe.app(scope, receive, send)
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages[1:])


@pytest.mark.parametrize(
    "path",
    [
        "/\x00",
        "/probe/page/\x00\x1b[31m",
        "/probe/page/\ufffd",  # what a server makes of bytes that are no UTF-8
        "//",
        "/../../etc/passwd",
        "/static/../../pyproject.toml",
        "/static/abc/../../pyproject.toml",
        "/static/abc//etc/passwd",
        "/" + "a" * 100_000,
        "/" + "a/" * 10_000,
        "/cancel/cl_\u202e",
        "/v1/\x00",
        "/healthz/",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "PROPFIND", "💥"])
async def test_no_path_and_no_method_breaks_it(probe: Probe, method: str, path: str) -> None:
    status, _ = await ask(probe, method=method, path=path)
    assert status < 500


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"accept-language", b"\xff\xfe, en;q=" + b"9" * 10_000),
        (b"accept-encoding", b"gzip;q=\xff," * 1000),
        (b"cookie", b"lw_browser=\xff; =; ;;; a=b=c; lw_browser=" + b"x" * 8000),
        (b"cookie", b"\x00"),
        (b"content-type", b"\xff" * 500),
        (b"content-length", b"-5"),
        (b"content-length", b"nonsense"),
        (b"x-forwarded-for", b"\xff, 1.2.3.4, " * 1000),
        (b"x-forwarded-proto", b"https, https"),
        (b"hx-request-type", b"\x00"),
        (b"host", b""),
        (b"host", b"evil.example\r\nx: y"),
        (b"host", b"a" * 10_000),
        (b"sec-fetch-site", b"\xff"),
        (b"x-" + b"a" * 10_000, b"b" * 60_000),
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/nowhere", "/probe/page/word"])
async def test_no_header_breaks_it(probe: Probe, path: str, name: bytes, value: bytes) -> None:
    headers = [header for header in ((b"host", b"leavewell.test"),) if header[0] != name]
    status, _ = await ask(probe, path=path, headers=[*headers, (name, value)])
    assert status < 500


async def test_a_query_that_is_no_utf_8_breaks_nothing(probe: Probe) -> None:
    for query in (b"\xff=\xfe", b"%ff=%fe", b"count=%ff", b"&" * 5000, b"count=" + b"9" * 5000):
        assert (await ask(probe, path="/v1/probe/number", query_string=query))[0] < 500
        assert (await ask(probe, path="/", query_string=query))[0] < 500


async def test_a_client_without_an_address_is_served(probe: Probe) -> None:
    assert (await ask(probe, client=None))[0] == 200


async def test_a_client_that_hangs_up_is_no_error_of_ours(
    probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/probe/form",
        "query_string": b"",
        "headers": [(b"host", b"leavewell.test"), (b"content-length", b"10")],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await probe.app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert "request failed" not in capsys.readouterr().err
