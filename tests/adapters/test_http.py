import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.adapters.http import OutboundError, OutboundHttp, Reason, Reply
from tests.adapters.loopback import Loopback, answering, conversing, http_answer

LOOPBACK = ip_network("127.0.0.0/8")
pytestmark = pytest.mark.anyio


@pytest.fixture
async def http() -> AsyncIterator[OutboundHttp]:
    """The door with this machine allowed."""
    door = OutboundHttp([LOOPBACK])
    yield door
    await door.aclose()


async def refusal(http: OutboundHttp, url: str, *, deadline_s: float = 5.0, max_bytes: int = 1000) -> Reason:
    with pytest.raises(OutboundError) as caught:
        await http.post_json(url, {"a": 1}, deadline_s=deadline_s, max_bytes=max_bytes)
    assert caught.value.sentence
    return caught.value.reason


# --- An answer ---


async def test_an_answer_comes_whole_with_status_and_headers(http: OutboundHttp) -> None:
    raw = http_answer(b'{"ok": true}', status="503 Busy", headers="Retry-After: 7\r\n")
    async with conversing(answering(raw)) as server:
        reply = await http.post_json(
            server.url + "hook?x=1", {"name": "Zoë"}, {"X-Ours": "yes"}, deadline_s=5
        )
    assert (reply.status, reply.is_success, reply.json(), reply.retry_after) == (
        503,
        False,
        {"ok": True},
        7.0,
    )
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?x=1 HTTP/1.1\r\n")
    assert b"accept-encoding: identity" in head
    assert b"x-ours: yes" in head
    assert body == '{"name":"Zoë"}'.encode()


async def test_connections_are_reused_but_cookies_are_not_kept(http: OutboundHttp) -> None:
    raw = http_answer(headers="Set-Cookie: id=1; Path=/\r\n")
    async with conversing(answering(raw)) as server:
        for _ in range(3):
            await http.get(server.url, deadline_s=5)
    assert server.connections == 1
    assert not any(b"cookie" in request.lower() for request in server.requests)


async def test_a_proxy_from_the_environment_is_not_used(
    http: OutboundHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with conversing(answering(http_answer())) as server:
        assert (await http.get(server.url, deadline_s=5)).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": "x\\u0000y"}',
        b'{"\\u0000": 1}',
        b"[" * 60_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_not_json_that_can_be_kept_is_named_as_such(body: bytes) -> None:
    with pytest.raises(OutboundError) as caught:
        Reply(200, {}, body).json()
    assert caught.value.reason is Reason.NOT_JSON


def test_a_text_that_only_looks_like_an_escape_is_kept() -> None:
    assert Reply(200, {}, rb'{"a": "\\u0000 \u00e9"}').json() == {"a": "\\u0000 é"}


@pytest.mark.parametrize("value", ["soon", "-1", "1e9", "٣", "", "99999999"])
def test_a_retry_after_that_is_no_number_of_seconds_is_ignored(value: str) -> None:
    assert Reply(503, {"retry-after": value}, b"").retry_after is None


# --- No answer ---


async def test_a_server_that_hangs_costs_no_more_than_the_deadline(http: OutboundHttp) -> None:
    async with conversing(answering(b"")) as server:
        start = asyncio.get_running_loop().time()
        assert await refusal(http, server.url, deadline_s=0.2) is Reason.TIMEOUT
        assert asyncio.get_running_loop().time() - start < 0.5


async def test_a_body_that_drips_is_cut_off_at_the_deadline(http: OutboundHttp) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
        for _ in range(900):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with conversing(drip) as server:
        assert await refusal(http, server.url, deadline_s=0.2) is Reason.TIMEOUT


async def test_a_name_server_that_hangs_costs_no_more_than_the_deadline() -> None:
    async def hang(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    http = OutboundHttp([LOOPBACK], resolver=hang)
    assert await refusal(http, "http://merchant.test/", deadline_s=0.1) is Reason.TIMEOUT
    await http.aclose()


@pytest.mark.parametrize("declared", [True, False])
async def test_an_answer_beyond_the_cap_is_not_read_on(http: OutboundHttp, declared: bool) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        length = b"content-length: 100000000\r\n" if declared else b"connection: close\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        for _ in range(1600):
            writer.write(b"x" * 62_500)
            await writer.drain()
            sent += 62_500

    async with conversing(flood) as server:
        assert await refusal(http, server.url) is Reason.TOO_LARGE
    assert sent < 50_000_000


async def test_an_answer_of_just_the_cap_is_read(http: OutboundHttp) -> None:
    async with conversing(answering(http_answer(b"1" * 1000))) as server:
        reply = await http.get(server.url, deadline_s=5, max_bytes=1000)
    assert len(reply.body) == 1000


BOMB = gzip.compress(b"0" * 10_000_000)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (http_answer(status="302 Found", headers="location: http://127.0.0.1/\r\n"), Reason.REDIRECT),
        (http_answer(status="308 Permanent Redirect", headers="location: /\r\n"), Reason.REDIRECT),
        (http_answer(status="304 Not Modified"), Reason.REDIRECT),
        (http_answer(BOMB[:900], headers="content-encoding: gzip\r\n"), Reason.COMPRESSED),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Reason.NOT_HTTP),
        (b"\x00\x01\x02\x03\r\n\r\n", Reason.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", Reason.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf", Reason.CONNECTION),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal", Reason.CONNECTION),
        (b"HTTP/1.1 200 OK\r\ncontent-le", Reason.CONNECTION),
        (b"", Reason.CONNECTION),
    ],
)
async def test_an_answer_that_is_none_is_named(http: OutboundHttp, raw: bytes, reason: Reason) -> None:
    async with conversing(answering(raw, close=True)) as server:
        assert await refusal(http, server.url) is reason


async def test_a_closed_port_is_named(http: OutboundHttp) -> None:
    async with conversing(answering(b"")) as server:
        pass
    assert await refusal(http, server.url) is Reason.REFUSED


async def test_after_a_failure_the_next_call_works(http: OutboundHttp) -> None:
    answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf", http_answer()]

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    async with conversing(converse) as server:
        await refusal(http, server.url)
        assert (await http.get(server.url, deadline_s=5)).status == 200


async def test_a_crowd_of_calls_that_time_out_leaves_room_for_the_next() -> None:
    http = OutboundHttp([LOOPBACK], most_calls=4)
    async with conversing(answering(b"")) as hanging, conversing(answering(http_answer())) as server:
        for _ in range(4):
            reasons = await asyncio.gather(*[refusal(http, hanging.url, deadline_s=0.1) for _ in range(10)])
            assert set(reasons) == {Reason.TIMEOUT}
        assert (await http.get(server.url, deadline_s=5)).status == 200
    await http.aclose()


async def test_headers_that_cannot_be_sent_are_refused_before_sending(http: OutboundHttp) -> None:
    async with conversing(answering(http_answer())) as server:
        with pytest.raises(OutboundError):
            await http.get(server.url, {"x": "a\r\nevil: 1"}, deadline_s=5)
    assert not any(b"evil" in request for request in server.requests)


# --- Where it may go ---


class Names:
    """A resolver that answers as a test says, each time anew."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "https://[::1]:{port}/",
        "https://169.254.169.254/latest/meta-data/",
    ],
)
async def test_without_permission_nothing_private_is_dialled(url: str) -> None:
    http = OutboundHttp()
    async with conversing(answering(http_answer())) as server:
        assert await refusal(http, url.format(port=server.port)) is Reason.PRIVATE_ADDRESS
    assert server.connections == 0
    await http.aclose()


async def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    http = OutboundHttp(resolver=Names(["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]))
    async with conversing(answering(http_answer())) as server:
        url = f"https://merchant.test:{server.port}/"
        assert await refusal(http, url) is Reason.PRIVATE_ADDRESS
    assert server.connections == 0
    await http.aclose()


async def test_plain_http_goes_to_allowed_networks_only() -> None:
    http = OutboundHttp([LOOPBACK], resolver=Names(["93.184.216.34"]))
    assert await refusal(http, "http://merchant.test/") is Reason.PRIVATE_ADDRESS
    await http.aclose()


async def test_a_name_is_looked_up_once_for_a_connection_and_judged_again_for_the_next() -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    http = OutboundHttp([LOOPBACK], resolver=names)
    async with conversing(answering(http_answer(), close=True)) as server:
        url = f"http://merchant.test:{server.port}/"
        assert (await http.get(url, deadline_s=5)).status == 200
        assert names.asked == 1
        assert await refusal(http, url) is Reason.PRIVATE_ADDRESS
    assert server.connections == 1
    await http.aclose()


async def test_of_several_addresses_only_admissible_ones_are_dialled() -> None:
    http = OutboundHttp([ip_network("127.0.0.1/32")], resolver=Names(["10.0.0.1", "127.0.0.2", "127.0.0.1"]))
    async with conversing(answering(http_answer())) as server:
        assert (await http.get(f"http://merchant.test:{server.port}/", deadline_s=5)).status == 200
    await http.aclose()


async def test_a_dead_address_gives_way_to_the_next() -> None:
    http = OutboundHttp([LOOPBACK], resolver=Names(["127.0.0.9", "127.0.0.1"]))
    async with conversing(answering(http_answer())) as server:
        assert (await http.get(f"http://merchant.test:{server.port}/", deadline_s=5)).status == 200
    await http.aclose()


async def test_a_name_without_addresses_is_unresolved() -> None:
    http = OutboundHttp(resolver=Names([]))
    assert await refusal(http, "https://merchant.test/") is Reason.UNRESOLVED
    await http.aclose()


async def test_a_bad_url_is_refused_with_its_own_sentence(http: OutboundHttp) -> None:
    with pytest.raises(OutboundError, match="user name") as caught:
        await http.get("https://a:b@example.com/", deadline_s=5)
    assert caught.value.reason is Reason.BAD_URL


# --- TLS ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for merchant.test, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "merchant.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("merchant.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "merchant.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(
        key.private_bytes(encoding, form, serialization.NoEncryption()) + made.public_bytes(encoding)
    )
    return path


@pytest.fixture
async def secure_server(certificate: Path) -> AsyncIterator[Loopback]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with conversing(answering(http_answer()), tls=tls) as server:
        yield server


async def test_the_certificate_is_checked_against_the_name_although_an_address_is_dialled(
    secure_server: Loopback, certificate: Path
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    http = OutboundHttp([LOOPBACK], resolver=Names(["127.0.0.1"]), tls=trusting)
    assert (await http.get(f"https://merchant.test:{secure_server.port}/", deadline_s=5)).status == 200
    assert await refusal(http, f"https://other.test:{secure_server.port}/") is Reason.TLS
    await http.aclose()


async def test_an_unknown_certificate_is_refused(secure_server: Loopback) -> None:
    http = OutboundHttp([LOOPBACK], resolver=Names(["127.0.0.1"]))
    assert await refusal(http, f"https://merchant.test:{secure_server.port}/") is Reason.TLS
    assert not secure_server.requests
    await http.aclose()


async def test_https_to_a_plain_server_is_refused(http: OutboundHttp) -> None:
    async with conversing(answering(http_answer())) as server:
        reason = await refusal(http, f"https://127.0.0.1:{server.port}/", deadline_s=1.0)
    assert reason in (Reason.TLS, Reason.CONNECTION, Reason.TIMEOUT, Reason.REFUSED)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    assert reason.sentence.endswith(".")
