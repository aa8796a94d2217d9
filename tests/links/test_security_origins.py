"""Where a customer may be sent back to: one reader for all, and nothing that a browser could read otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.addresses import BadUrl
from app.links.origins import is_listed, origin_of

LISTED = ("https://shop.example", "https://xn--bcher-kva.example", "http://[::1]:8000")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://shop.example/account?x=1#y", "https://shop.example"),
        ("HTTPS://Shop.Example:443/", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("https://shop.example:8443/", "https://shop.example:8443"),
        ("http://shop.example:443/", "http://shop.example:443"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("http://[0:0::1]:8000/", "http://[::1]:8000"),
        ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ("https://shop\u3002example/", "https://shop.example"),
    ],
)
def test_an_origin_is_spelt_one_way(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example@evil.example/",
        "https://user:pass@shop.example/",
        "https://:pass@shop.example/",
        "https://@shop.example/",
        "https://shop.example\\@evil.example/",
        "https://shop.example\\.evil.example/",
        "https:\\\\shop.example/",
        "https://shop .example/",
        "https://shop.example\n.evil.example/",
        "https://shop.example\t/",
        " https://shop.example/",
        "https://shop.example%2eevil.example/",
        "https://shop.example\uff0f.evil.example/",
        "https://shop.example\uff20evil.example/",
        "https:shop.example/",
        "https:/shop.example/",
        "https:///shop.example/",
        "https://shop.example:99999/",
        "https://shop.example:x/",
        "https://shop.example:0/",
        "https://[::1/",
        "https://[::1%25eth0]/",
        "javascript:alert(1)",
        "javascript://shop.example/%0aalert(1)",
        "data:text/html,x",
        "ftp://shop.example/",
        "//shop.example/",
        "/account",
        "",
        "🙂",
    ],
)
def test_what_can_be_read_in_two_ways_is_no_address(url: str) -> None:
    with pytest.raises(BadUrl):
        origin_of(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/https://shop.example",
        "https://evil.example?https://shop.example/",
        "https://evil.example#https://shop.example/",
        "https://shop.example.evil.example/",
        "https://evilshop.example/",
        "https://shop.example:444/",
        "http://shop.example/",
        "https://sh\u043ep.example/",  # a Cyrillic o
    ],
)
def test_an_origin_that_only_looks_like_a_listed_one_is_not_listed(url: str) -> None:
    assert not is_listed(url, LISTED)


@pytest.mark.parametrize("host", ["\u00b9", "0x\uff17f.1", "\uff12130706433"])
def test_digits_of_another_script_are_no_host_either(host: str) -> None:
    with pytest.raises(BadUrl, match="plain notation"):
        origin_of(f"https://{host}")


@given(st.text())
def test_no_text_breaks_the_reading_of_an_origin(text: str) -> None:
    for url in (text, f"https://{text}", f"https://shop.example/{text}"):
        try:
            found = origin_of(url)
        except BadUrl:
            continue
        assert origin_of(found) == found
