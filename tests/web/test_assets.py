"""Files of pages: kept for good under an address that changes with them, and nothing but them."""

import gzip
import re
from pathlib import Path

import pytest

from app.main import ROOT
from app.web.assets import Assets, minify_css
from tests.web.conftest import Probe


def test_an_address_changes_with_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    before = Assets(tmp_path).url("a.js")
    assert Assets(tmp_path).url("a.js") == before
    (tmp_path / "a.js").write_text("2")
    assert Assets(tmp_path).url("a.js") != before


def test_a_file_that_is_not_there_stops_the_template_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Assets(tmp_path).url("gone.js")


async def test_a_file_is_kept_for_good_under_its_digest_only(probe: Probe) -> None:
    client = probe.visitor.client
    url = Assets(ROOT / "static").url("vendor/htmx.min.js")
    answer = await client.get(url)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == (ROOT / "static/vendor/htmx.min.js").read_bytes()
    old = await client.get(re.sub("/static/[0-9a-f]+/", "/static/000000000000/", url))
    assert old.headers["cache-control"] == "no-cache"
    assert (await client.get(url, headers={"Accept-Encoding": "identity"})).headers.get(
        "content-encoding"
    ) is None
    assert (await client.head(url)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/x/gone.js",
        "/static/x/../../pyproject.toml",
        "/static/x/%2e%2e/%2e%2e/pyproject.toml",
        "/static/x",
    ],
)
async def test_nothing_else_is_served(probe: Probe, path: str) -> None:
    assert (await probe.visitor.client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("source", "small"),
    [
        ("a  {\n  color: red;\n}\n", "a{color:red}"),
        ("/* why */ a { } /* b */", "a{}"),
        ("a /* x */ b { margin: 0 auto; }", "a b{margin:0 auto}"),
        ("a, b > c { --x: 1px; }", "a,b > c{--x:1px}"),
        ('a::after { content: "a  /* b */ ; c: d"; }', 'a::after{content:"a  /* b */ ; c: d"}'),
        ("a :hover { x: calc(1px + 2px) }", "a :hover{x:calc(1px + 2px)}"),
        ("@media (min-width: 30rem) and (x) { a { b: c } }", "@media (min-width:30rem) and (x){a{b:c}}"),
        ("a { b: url('data:image/svg+xml, <svg a: b>'); }", "a{b:url('data:image/svg+xml, <svg a: b>')}"),
    ],
)
def test_css_loses_only_what_means_nothing(source: str, small: str) -> None:
    assert minify_css(source) == small


def test_the_hosted_style_sheet_is_small_enough_for_the_first_screen() -> None:
    css = Assets(ROOT / "static").css("css/hosted.css")
    assert "</style" not in css
    assert len(gzip.compress(css.encode())) < 5000
