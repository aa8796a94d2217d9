"""The browser's cookie, form tokens, addresses behind proxies: nothing that a visitor can write is believed."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from litestar import Litestar, Request
from litestar.testing import RequestFactory

from app.adapters.signing import Signer
from app.web.security import (
    BROWSER_COOKIE,
    Browser,
    FormNotFromHere,
    browser_cookie,
    check_csrf,
    client_ip,
    csrf_token,
    find_browser,
    is_secure,
    new_browser,
)
from tests.support.apps import OLD_SECRET, SECRET

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
REQUESTS = RequestFactory(Litestar([], logging_config=None))
SIGNER = Signer((SECRET,))
PROXIES = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def make_request(
    *, cookie: str | None = None, peer: str = "127.0.0.1", **headers: str
) -> Request[Any, Any, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if cookie is not None:
        named["cookie"] = f"{BROWSER_COOKIE}={cookie}"
    request = REQUESTS.get("/", headers=named)
    request.scope["client"] = (peer, 1) if peer else None
    return request


def cookie_of(browser: Browser, signer: Signer = SIGNER, *, secure: bool = True) -> str:
    value = browser_cookie(browser, signer, NOW, secure=secure).value
    assert value is not None
    return value


def test_a_browser_is_known_again_for_a_day() -> None:
    browser = new_browser(NOW)
    request = make_request(cookie=cookie_of(browser))
    assert find_browser(request, SIGNER, NOW) == browser
    assert find_browser(request, SIGNER, NOW + timedelta(hours=23, minutes=59)) == browser
    assert find_browser(request, SIGNER, NOW + timedelta(hours=24)) is None


def test_an_older_secret_still_reads_its_cookies() -> None:
    browser = new_browser(NOW)
    request = make_request(cookie=cookie_of(browser, Signer((OLD_SECRET,))))
    assert find_browser(request, Signer((SECRET, OLD_SECRET)), NOW) == browser
    assert find_browser(request, Signer((SECRET,)), NOW) is None


@pytest.mark.parametrize("forged", ["", "x", "a.b", ".", "a.1.AAAA", "é", "a" * 5000])
def test_a_forged_cookie_is_no_cookie(forged: str) -> None:
    assert find_browser(make_request(cookie=forged), SIGNER, NOW) is None


def test_no_character_of_the_cookie_can_be_changed() -> None:
    value = cookie_of(new_browser(NOW))
    for position, character in enumerate(value):
        changed = value[:position] + ("A" if character != "A" else "B") + value[position + 1 :]
        assert find_browser(make_request(cookie=changed), SIGNER, NOW) is None


def test_a_form_token_is_no_cookie_and_the_other_way_round() -> None:
    browser = new_browser(NOW)
    assert find_browser(make_request(cookie=csrf_token(SIGNER, browser, "x")), SIGNER, NOW) is None
    with pytest.raises(FormNotFromHere):
        check_csrf(make_request(), cookie_of(browser), SIGNER, browser, "x")


def test_the_cookie_stays_on_our_pages_and_out_of_scripts() -> None:
    header = browser_cookie(new_browser(NOW), SIGNER, NOW, secure=True).to_header(header="")
    assert {"HttpOnly", "Path=/cancel", "SameSite=lax", "Secure", "Max-Age=86400"} <= set(header.split("; "))
    assert "Secure" not in browser_cookie(new_browser(NOW), SIGNER, NOW, secure=False).to_header(header="")


def test_the_database_learns_only_a_fingerprint() -> None:
    browser = new_browser(NOW)
    assert browser.id not in browser.fingerprint
    assert browser.fingerprint == Browser(browser.id, NOW + timedelta(hours=1)).fingerprint


def test_a_form_of_this_browser_for_this_purpose_passes() -> None:
    browser = new_browser(NOW)
    token = csrf_token(SIGNER, browser, "cs_1")
    check_csrf(make_request(), token, SIGNER, browser, "cs_1")
    check_csrf(make_request(sec_fetch_site="same-origin", origin="null"), token, SIGNER, browser, "cs_1")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "nonsense"])
def test_a_form_posted_from_another_site_is_refused_even_with_the_token(site: str) -> None:
    browser = new_browser(NOW)
    with pytest.raises(FormNotFromHere):
        check_csrf(
            make_request(sec_fetch_site=site), csrf_token(SIGNER, browser, "cs_1"), SIGNER, browser, "cs_1"
        )


def test_a_token_of_another_browser_or_session_is_refused() -> None:
    mine, theirs = new_browser(NOW), new_browser(NOW)
    for token in (csrf_token(SIGNER, theirs, "cs_1"), csrf_token(SIGNER, mine, "cs_2"), "", "x.y.z", "💥"):
        with pytest.raises(FormNotFromHere):
            check_csrf(make_request(), token, SIGNER, mine, "cs_1")
    with pytest.raises(FormNotFromHere):
        check_csrf(make_request(), csrf_token(SIGNER, mine, "cs_1"), SIGNER, None, "cs_1")


def test_no_two_pages_carry_the_same_token() -> None:
    browser = new_browser(NOW)
    tokens = [csrf_token(SIGNER, browser, "cs_1") for _ in range(50)]
    assert len(set(tokens)) == 50
    assert not any(browser.id in token for token in tokens)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("127.0.0.1", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("fd00::1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("", "198.51.100.1", ""),
        ("127.0.0.1", "6.6.6.6," * 5000 + "198.51.100.1", "198.51.100.1"),
    ],
)
def test_the_address_is_the_last_one_no_proxy_of_ours_has(
    peer: str, forwarded: str | None, address: str
) -> None:
    headers = {} if forwarded is None else {"x_forwarded_for": forwarded}
    assert client_ip(make_request(peer=peer, **headers), PROXIES) == address


def test_https_is_what_was_set_up_or_what_a_proxy_of_ours_says() -> None:
    assert is_secure(make_request(), "https://cancel.example", ())
    assert is_secure(make_request(x_forwarded_proto="https"), "http://cancel.example", PROXIES)
    assert not is_secure(make_request(x_forwarded_proto="https"), "http://cancel.example", ())
    assert not is_secure(
        make_request(x_forwarded_proto="https", peer="203.0.113.9"), "http://cancel.example", PROXIES
    )
    assert not is_secure(make_request(x_forwarded_proto="http"), "http://cancel.example", PROXIES)
