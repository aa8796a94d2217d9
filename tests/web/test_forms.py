"""What a form may hold, whatever is sent: kept if a person could have typed it, refused clearly if not."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from app.web.forms import MAX_BYTES, MAX_FIELDS
from tests.web.conftest import Probe

FORM = "application/x-www-form-urlencoded"


async def send(
    probe: Probe, body: bytes | AsyncIterator[bytes], kind: str | None = FORM, path: str = "/probe/form"
) -> httpx.Response:
    headers = {"Content-Type": kind} if kind else {}
    return await probe.visitor.client.post(path, content=body, headers=headers)


async def values(probe: Probe, body: bytes) -> Any:
    answer = await send(probe, body)
    assert answer.status_code == 200, answer.text
    return answer.json()["values"]


async def test_what_was_typed_arrives_as_it_was_typed(probe: Probe) -> None:
    typed = "  Zu teuer & <b>laut</b> 🎉 + 100 %\n\nمرحبا  "
    assert await values(probe, urlencode({"feedback": typed}).encode()) == {"feedback": [typed]}


async def test_newlines_are_of_one_kind(probe: Probe) -> None:
    assert await values(probe, b"a=1%0D%0A2%0D3%0A4") == {"a": ["1\n2\n3\n4"]}


async def test_a_name_sent_twice_keeps_both_values_in_order(probe: Probe) -> None:
    assert await values(probe, b"a=1&b=&a=2") == {"a": ["1", "2"], "b": [""]}


async def test_control_characters_are_taken_out_and_the_field_is_named(probe: Probe) -> None:
    answer = (await send(probe, b"note=a%00b%1B%5B31mc&fine=ok%09tab")).json()
    assert answer["values"] == {"note": ["ab[31mc"], "fine": ["ok\ttab"]}
    assert answer["errors"] == [["note", "Remove the characters that cannot be shown"]]


async def test_a_stray_percent_sign_is_taken_literally_as_browsers_do(probe: Probe) -> None:
    assert await values(probe, b"a=100%&b=%zz") == {"a": ["100%"], "b": ["%zz"]}


async def test_a_post_without_a_body_is_an_empty_form(probe: Probe) -> None:
    assert (await send(probe, b"", kind=None)).json()["values"] == {}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a=%ff", FORM, 400),
        (b"a=\xff", FORM, 400),
        (b"%ff=a", FORM, 400),
        (b"%00=a", FORM, 400),
        (b"=a", FORM, 400),
        (b"n" * 101 + b"=a", FORM, 400),
        (b"&".join(b"a=1" for _ in range(MAX_FIELDS + 1)), FORM, 400),
        (b"a=" + b"x" * MAX_BYTES, FORM, 413),
        (b"--x--", "multipart/form-data; boundary=x", 415),
        (b"{}", "application/json", 415),
        (b"a=1", "text/plain", 415),
        (b"a=1", "", 415),
        (b"a=1", FORM + "; charset=utf-16", 415),
        (b"a=1", "\x00" + "/" * 300, 415),
    ],
)
async def test_what_is_no_form_is_refused_with_a_page(
    probe: Probe, body: bytes, kind: str, status: int
) -> None:
    answer = await send(probe, body, kind)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_full_survey_of_emoji_fits(probe: Probe) -> None:
    fields = {f"follow_up--{number}": "🎉" * 2000 for number in range(20)}
    assert len((await values(probe, urlencode(fields).encode()))["follow_up--19"][0]) == 2000


async def test_a_body_of_unannounced_length_is_cut_off_at_the_same_bound(probe: Probe) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 100

    answer = await send(probe, endless(), path="/probe/small")
    assert answer.status_code == 413


@pytest.mark.parametrize("announced", ["1001", "9" * 400, "18446744073709551617"])
async def test_a_body_announced_too_large_is_not_read(probe: Probe, announced: str) -> None:
    client = probe.visitor.client
    answer = await client.post("/probe/small", headers={"Content-Length": announced, "Content-Type": FORM})
    assert answer.status_code == 413


@pytest.mark.parametrize("announced", ["-1", "abc", "١٢", "1e3", " "])
async def test_a_nonsensical_length_is_nobodys_error_of_ours(probe: Probe, announced: str) -> None:
    headers = [(b"content-length", announced.encode()), (b"content-type", FORM.encode())]
    answer = await probe.visitor.client.post("/probe/small", headers=headers)
    assert answer.status_code == 200
