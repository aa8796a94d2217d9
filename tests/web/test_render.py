"""How a page leaves: whole or as htmx's fragment, compressed or not, always under its own nonce."""

import gzip
import re

import pytest
from jinja2 import DictLoader

from app.main import ROOT
from app.web.assets import Assets
from app.web.render import Renderer
from tests.web.conftest import Probe


async def test_each_page_has_a_nonce_of_its_own(probe: Probe) -> None:
    policies = {
        (await probe.visitor.open("/probe/page/word")).response.headers["content-security-policy"]
        for _ in range(3)
    }
    assert len(policies) == 3


async def test_a_page_is_not_kept_not_framed_not_indexed_and_tells_nobody_where_one_was(probe: Probe) -> None:
    headers = (await probe.visitor.open("/probe/page/word")).response.headers
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-robots-tag"] == "noindex"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"


async def test_htmx_gets_the_very_fragment_that_the_page_includes(probe: Probe) -> None:
    whole = await probe.visitor.open("/probe/page/word")
    part = await probe.visitor.open("/probe/page/word", partial=True)
    assert part.response.text in whole.response.text
    assert not part.root.all("html")


@pytest.mark.parametrize(
    "headers",
    [
        {"HX-Request": "true"},
        {"HX-Request": "true", "HX-Request-Type": "full"},
        {"HX-Request-Type": "full", "HX-History-Restore-Request": "true"},
        {"HX-Boosted": "true"},
    ],
)
async def test_anything_but_a_partial_request_gets_the_whole_page(
    probe: Probe, headers: dict[str, str]
) -> None:
    assert (await probe.visitor.open("/probe/page/word", headers=headers)).root.all("html")


async def test_a_cache_is_told_what_the_answer_depends_on(probe: Probe) -> None:
    vary = (await probe.visitor.open("/probe/page/word")).response.headers["vary"].lower()
    assert {"accept-encoding", "accept-language", "hx-request-type"} <= set(re.split(r",\s*", vary))


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip, deflate, br", True),
        ("br, GZIP;q=0.5", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("", False),
    ],
)
async def test_a_page_is_compressed_where_the_browser_takes_it(
    probe: Probe, accepted: str, is_packed: bool
) -> None:
    async with probe.visitor.client.stream(
        "GET", "/probe/page/word", headers={"Accept-Encoding": accepted}
    ) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert (answer.headers.get("content-encoding") == "gzip") is is_packed
    assert b"again and again" in (gzip.decompress(raw) if is_packed else raw)
    assert answer.headers["content-length"] == str(len(raw))


async def test_what_a_handler_puts_in_is_escaped(probe: Probe) -> None:
    page = await probe.visitor.open("/probe/page/%3Cimg%20src=x%3E")
    assert page.h1 == "<img src=x>"
    assert not page.root.all("img")


async def test_head_tells_the_same_without_the_body(probe: Probe) -> None:
    client = probe.visitor.client
    whole, head = await client.get("/probe/page/word"), await client.head("/probe/page/word")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers.keys() == whole.headers.keys()
    assert int(head.headers["content-length"]) > 0


async def test_a_british_browser_is_told_that_the_page_is_british(probe: Probe) -> None:
    page = await probe.visitor.open("/probe/page/word", headers={"Accept-Language": "en-GB,en;q=0.9"})
    assert page.root.all("html")[0]["lang"] == "en-GB"
    assert page.response.headers["content-language"] == "en-GB"


@pytest.mark.parametrize(("name", "shown"), [("say.html", "R&amp;D &lt;b&gt;"), ("say.txt", "R&D <b>")])
def test_what_is_put_into_markup_is_escaped_and_into_plain_text_is_not(name: str, shown: str) -> None:
    renderer = Renderer(DictLoader({name: "{{ word }}"}), Assets(ROOT / "static"))
    assert renderer.template(name).render(word="R&D <b>") == shown
