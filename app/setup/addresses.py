"""Checks the addresses that an operator sets: whom we may call, where customers may be sent. Dials nothing."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from app.adapters.addresses import Address, BadUrl, Target, is_allowed, parse_url
from app.core.email_address import is_address
from app.core.errors import FieldError
from app.links.origins import origin_of
from app.settings import Network

MAX_ORIGINS = 50
_LOOPBACK: Final = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


def outbound_problem(url: str, allowed: Sequence[Network]) -> str | None:
    """Why we cannot call that URL; None if we can, as far as its text tells. It is checked again at each call."""
    try:
        target = parse_url(url)
    except BadUrl as error:
        return str(error)
    if _is_this_machine(target) and not any(is_allowed(a, allowed=allowed, public=False) for a in _LOOPBACK):
        return f"{target.host} is this machine; to allow it, list 127.0.0.0/8 in LEAVEWELL_ALLOWED_NETWORKS."
    address = _literal(target)
    if address is not None and not is_allowed(address, allowed=allowed, public=target.scheme == "https"):
        return f"{address} is a private address; to allow it, list its network in LEAVEWELL_ALLOWED_NETWORKS."
    if target.scheme == "http" and address is None and not allowed:
        return "Must begin with https://. Plain http is for networks listed in LEAVEWELL_ALLOWED_NETWORKS."
    return None


def browser_problem(url: str, allowed: Sequence[Network]) -> str | None:
    """Why customers cannot be sent to that URL: plain http is for this machine and for the allowed networks."""
    try:
        target = parse_url(url)
    except BadUrl as error:
        return str(error)
    address = _literal(target)
    is_near = address is not None and (address.is_loopback or any(address in network for network in allowed))
    if target.scheme == "http" and not _is_this_machine(target) and not is_near:
        return "Must begin with https://; plain http is for this machine alone."
    return None


def email_problem(address: str) -> str | None:
    return None if is_address(address) else "Must be an email address, such as help@example.com."


def normal_origins(
    given: Iterable[str], allowed: Sequence[Network]
) -> tuple[tuple[str, ...], tuple[FieldError, ...]]:
    """The origins, each once and spelt as a browser would, and what is wrong with those that are none."""
    origins: list[str] = []
    problems: list[FieldError] = []
    for number, text in enumerate(given):
        problem = browser_problem(text, allowed)
        if problem is None and parse_url(text).path != "/":
            problem = "Must be only a scheme and a host, and perhaps a port: https://app.example.com."
        if problem is not None:
            problems.append(FieldError(f"origins[{number}]", problem))
        elif (origin := origin_of(text)) not in origins:
            origins.append(origin)
    if len(origins) > MAX_ORIGINS:
        problems.append(FieldError("origins", f"Must be at most {MAX_ORIGINS}."))
    return tuple(origins), tuple(problems)


def _is_this_machine(target: Target) -> bool:
    """By name: no resolver may answer anything else (RFC 6761 §6.3)."""
    return target.host == "localhost" or target.host.endswith(".localhost")


def _literal(target: Target) -> Address | None:
    try:
        return ip_address(target.host)
    except ValueError:
        return None
