"""Counts failed authentications by the address they came from, in this process's memory. Looks nobody up."""

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from app.adapters.addresses import unwrap
from app.web.ratelimit import TokenBucket

MOST_KNOWN: Final = 10_000


class Strangers:
    """Who was right lately, and how often others at an address were wrong.

    Credentials that were right in this process are not held up by what else comes from their address; ones that this
    process has not seen yet wait there with the strangers. It is no authentication: that is done all the same.
    """

    def __init__(self, per_minute: int, most_known: int = MOST_KNOWN) -> None:
        self._failures = TokenBucket(per_minute=per_minute)
        self._known: OrderedDict[Hashable, None] = OrderedDict()
        self._most_known = most_known

    def is_known(self, credentials: Hashable) -> bool:
        """Whether they were right the last time."""
        return credentials in self._known

    def check(self, address: str, now: datetime) -> None:
        """Raises TooManyRequests where too many were wrong lately."""
        self._failures.check(neighbourhood(address), now)

    def welcome(self, credentials: Hashable) -> None:
        """They were right."""
        self._known[credentials] = None
        self._known.move_to_end(credentials)
        if len(self._known) > self._most_known:
            self._known.popitem(last=False)

    def note(self, address: str, credentials: Hashable, now: datetime) -> None:
        """They were wrong."""
        self._known.pop(credentials, None)
        self._failures.spend(neighbourhood(address), now)


def neighbourhood(address: str) -> str:
    """What is counted as one: an IPv4 address, in either spelling; of IPv6 the /64 that one subscriber has."""
    try:
        parsed = unwrap(ip_address(address))
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed.packed, 64), strict=False))
    return str(parsed)
