from ipaddress import ip_address, ip_network

import pytest

from app.adapters.addresses import BadUrl, is_allowed, is_public, parse_url


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104  (an example)
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_an_address_that_is_not_on_the_open_internet_is_closed(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "2606:4700::1111",
        "64:ff9b::1.1.1.1",
        "::ffff:1.1.1.1",
    ],
)
def test_an_address_on_the_open_internet_is_open(address: str) -> None:
    assert is_public(ip_address(address))


def test_an_allowed_network_opens_private_addresses_and_no_others() -> None:
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert is_allowed(ip_address("10.1.2.3"), allowed=allowed, public=False)
    assert is_allowed(ip_address("fd00::1"), allowed=allowed, public=False)
    assert not is_allowed(ip_address("10.2.0.1"), allowed=allowed, public=True)
    assert not is_allowed(ip_address("1.1.1.1"), allowed=allowed, public=False)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://2130706433/", "plain notation"),
        ("https://0x7f000001/", "plain notation"),
        ("https://0x7f.0.0.1/", "plain notation"),
        ("https://0177.0.0.1/", "plain notation"),
        ("https://127.1/", "plain notation"),
        ("https://1.2.3.4.5/", "plain notation"),
        ("https://[fe80::1%25eth0]/", "network interface"),
        ("https://user@example.com/", "user name"),
        ("https://user:secret@example.com/", "user name"),
        ("https://@example.com/", "user name"),
        ("https://example.com\\@127.0.0.1/", "backslash"),
        ("https://example.com/a b", "space"),
        ("https://example.com/\r\nx: y", "control character"),
        ("https://example.com:0/", "Port 0"),
        ("https://example.com:99999/", "port"),
        ("https://example.com:x/", "port"),
        ("https://[::1/", "complete"),
        ("https:///path", "host name"),
        ("https://", "host name"),
        ("", "https://"),
        ("example.com", "https://"),
        ("//example.com/", "https://"),
        ("ftp://example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https://exa mple.com/", "space"),
        ("https://a..b/", "host name"),
        ("https://" + "a" * 64 + ".com/", "host name"),
        ("https://example.com/ü", "percent-encoded"),
        ("https://example.com/" + "a" * 2048, "longer"),
    ],
)
def test_a_url_that_can_be_read_in_two_ways_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(BadUrl, match=said):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://Example.com", "example.com", "/"),
        ("https://example.com./hook?a=1#part", "example.com", "/hook?a=1"),
        ("https://example.com:8443/hook", "example.com:8443", "/hook"),
        ("https://bücher.example/", "xn--bcher-kva.example", "/"),
        ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443", "/"),
        ("http://billing_service:80/", "billing_service", "/"),
    ],
)
def test_a_good_url_is_taken_apart(url: str, authority: str, path: str) -> None:
    target = parse_url(url)
    assert (target.authority, target.path) == (authority, path)
