"""Bytes as they come over a socket, through the real server: what no client library would send."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from litestar import Litestar

from tests.support.server import served

HOST = b"Host: leavewell.test\r\n"
CLOSE = HOST + b"Connection: close\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module")
def address(probe_app: Litestar) -> Iterator[tuple[str, int]]:
    with served(probe_app) as url:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        yield parts.hostname, parts.port


def exchange(address: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /probe/page/%ff%fe HTTP/1.1", 200),
        (b"GET /probe/page/%zz HTTP/1.1", 200),
        (b"GET /probe/page/%00 HTTP/1.1", 200),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", 404),
        (b"GET /static/x/..%2f..%2fpyproject.toml HTTP/1.1", 404),
        (b"GET /?%ff=%fe&\xff=\xfe HTTP/1.1", 200),
        (b"GET /v1/probe/number?count=%ff HTTP/1.1", 400),
        (b"GET http://other.example/ HTTP/1.1", 200),
        (b"BREW /healthz HTTP/1.1", 400),
        (b"HEAD /healthz HTTP/1.1", 200),
    ],
)
def test_no_request_line_breaks_it(address: tuple[str, int], request_line: bytes, status: int) -> None:
    answer = exchange(address, request_line + b"\r\n" + CLOSE + b"\r\n")
    assert status_of(answer) in (status, 400)
    assert b"Traceback" not in answer


def test_headers_without_end_are_refused_and_the_next_client_is_served(address: tuple[str, int]) -> None:
    flood = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(200))
    answer = exchange(address, b"GET / HTTP/1.1\r\n" + CLOSE + flood + b"\r\n")
    assert status_of(answer) < 500
    assert status_of(exchange(address, b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"\r\n")) == 200


def test_a_chunked_form_is_read_like_any_other(address: tuple[str, int]) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (b"a=", b"1&b", b"=2")) + b"0\r\n\r\n"
    head = b"POST /probe/form HTTP/1.1\r\n" + CLOSE + FORM + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = exchange(address, head + chunks)
    assert status_of(answer) == 200
    assert b'{"a":["1"],"b":["2"]}' in answer


def test_a_chunked_body_over_the_bound_is_a_413(address: tuple[str, int]) -> None:
    chunks = b"3e8\r\n" + b"x" * 1000 + b"\r\n" + b"1\r\nx\r\n" + b"0\r\n\r\n"
    head = b"POST /probe/small HTTP/1.1\r\n" + CLOSE + FORM + b"Transfer-Encoding: chunked\r\n\r\n"
    assert status_of(exchange(address, head + chunks)) == 413


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (b"/probe/slow", b"That took too long to arrive"),
        (b"/v1/probe/slow", b'"code": "request_timeout"'),
    ],
)
def test_a_body_that_never_ends_is_a_408_and_loses_its_connection(
    address: tuple[str, int], path: bytes, said: bytes
) -> None:
    answer = exchange(
        address, b"POST " + path + b" HTTP/1.1\r\n" + HOST + FORM + b"Content-Length: 9\r\n\r\na=1"
    )
    assert status_of(answer) == 408
    assert b"connection: close" in answer.lower()
    assert said in answer


@pytest.mark.parametrize("body", [b"zz\r\n", b"-1\r\nx\r\n", b"fffffffffffffffff\r\nx\r\n"])
def test_broken_chunks_are_refused(address: tuple[str, int], body: bytes) -> None:
    head = b"POST /probe/form HTTP/1.1\r\n" + CLOSE + FORM + b"Transfer-Encoding: chunked\r\n\r\n"
    assert status_of(exchange(address, head + body)) == 400


def test_head_over_the_wire_has_a_length_and_no_body(address: tuple[str, int]) -> None:
    answer = exchange(address, b"HEAD /probe/page/word HTTP/1.1\r\n" + CLOSE + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: " in head.lower()
    assert body == b""
