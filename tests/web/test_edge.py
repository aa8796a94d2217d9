"""What is written down about a request, and above all what is not."""

import pytest

from app.web.edge import redact
from tests.web.conftest import Probe


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/cancel/cl_AAAA.BBBB", "/cancel/cl_***"),
        ("/cancel/cl_AAAA/extra", "/cancel/cl_***/extra"),
        ("/cancel/s/cs_1/survey", "/cancel/s/cs_1/survey"),
        ("/x/ck_secret", "/x/ck_***"),
        ("/x/unch_live_secret", "/x/unch_***"),
        ("/cancel/receipts/rcp_3f0c.SIGNED/receipt.json", "/cancel/receipts/rcp_***/receipt.json"),
        ("/a\nb\x1b[31m\u202e", "/a?b?[31m?"),
        ("/" + "a" * 1000, "/" + "a" * 199),
        ("//cl_AAAA", "//cl_***"),
        ("cl_AAAA", "cl_***"),
        ("/cancel/CL_AAAA", "/cancel/CL_***"),
    ],
)
def test_a_path_is_kept_without_its_secrets(path: str, kept: str) -> None:
    assert redact(path) == kept


async def test_a_request_is_one_line_without_token_query_or_address(
    probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    await probe.visitor.client.get(
        "/cancel/cl_TOKEN?t=QUERY", headers={"User-Agent": "AGENT", "Cookie": "a=COOKIE"}
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if "/cancel/" in line]
    assert len(lines) == 1
    assert "cl_***" in lines[0]
    assert "410" in lines[0]
    assert not [secret for secret in ("TOKEN", "QUERY", "AGENT", "COOKIE", "127.0.0.1") if secret in lines[0]]


async def test_every_answer_has_an_id_and_is_taken_at_its_word(probe: Probe) -> None:
    client = probe.visitor.client
    first, second = await client.get("/robots.txt"), await client.get("/v1/nowhere")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    for answer in (first, second):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
