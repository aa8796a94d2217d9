"""Which IP addresses and URLs an outbound call may name. Pure: resolves nothing, dials nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import idna

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA special-purpose registries (RFC 6890 and successors). Our own table, because Python's `is_global`
# changed its answers between patch releases.
_CLOSED = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # this network, unspecified
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT, also one cloud's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host channel: a public number that reaches the machine's own cloud
        "169.254.0.0/16",  # link-local, metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "2001::/23",  # protocol assignments: Teredo, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries any IPv4 address
        "3fff::/20",  # documentation
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # outside of it: loopback, ULA, link-local, multicast
_NAT64 = IPv6Network("64:ff9b::/96")

_LONGEST_URL = 2048
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_NUMERIC_LABEL = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)


class BadUrl(ValueError):
    """An outbound call cannot go to such a URL; the message says why, for whoever configured it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart: `host` is ASCII without brackets, `path` starts with a slash and has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


_DEFAULT_PORTS = {"https": 443, "http": 80}


def parse_url(url: str) -> Target:
    """Take an outbound URL apart; raises BadUrl for all that could be read in two ways."""
    if len(url) > _LONGEST_URL:
        raise BadUrl(f"The URL is longer than {_LONGEST_URL} characters.")
    if _UNSAFE.search(url):
        raise BadUrl("The URL contains a space, a backslash or a control character.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl("The URL is not complete, or its port is not a number from 1 to 65535.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise BadUrl("The URL must begin with https://.")
    if "@" in parts.netloc:
        raise BadUrl("The URL must not contain a user name or a password.")
    if port == 0:
        raise BadUrl("Port 0 cannot be called.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise BadUrl("Characters outside ASCII in the path must be percent-encoded.")
    host = _parse_host(parts.hostname or "")
    return Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], target)


def is_allowed(address: Address, *, allowed: Sequence[Network], public: bool) -> bool:
    """Whether one may dial it: it lies in an allowed network, or (if `public`) on the open internet."""
    if any(address in network for network in allowed):
        return True
    return public and is_public(address)


def is_public(address: Address) -> bool:
    """Whether it belongs to the open internet, looking through the forms that wrap an IPv4 address."""
    address = unwrap(address)
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _GLOBAL_UNICAST:
            return False
    return not any(address in network for network in _CLOSED)


def unwrap(address: Address) -> Address:
    """`::ffff:10.0.0.1` dials 10.0.0.1, so it is judged and dialled as that."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


@lru_cache(maxsize=1024)
def _parse_host(host: str) -> str:
    host = host.removesuffix(".")
    if ":" in host:
        return str(_parse_ip(host))
    try:
        name = idna.encode(host, uts46=True).decode().removesuffix(".")
    except UnicodeError:
        name = _parse_ascii_host(host)
    # `2130706433`, `0x7f.1` and `0177.0.0.1` are 127.0.0.1 to a resolver: only plain dotted decimal passes. So
    # are digits of other scripts, hence after IDNA has made plain ones of them.
    if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
        return str(_parse_ip(name))
    return name


def _parse_ascii_host(host: str) -> str:
    """Names that work in DNS though IDNA refuses them: an underscore, as in container names."""
    if re.fullmatch(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", host) and len(host) <= 253:
        return host
    raise BadUrl("The URL has no host name that can be looked up.")


def _parse_ip(host: str) -> Address:
    try:
        address = ip_address(host)
    except ValueError:
        raise BadUrl("The host looks like an IP address, but is none in plain notation.") from None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise BadUrl("The host must not name a network interface.")
    return address
