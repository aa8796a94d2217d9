"""Closes the network to the tests: whatever leaves loopback fails at once and says where it wanted to go."""

import ipaddress
import sys
from typing import Any

LOCAL_NAMES = {"localhost", "", None}

_closed = False


class NetworkClosed(RuntimeError):
    """A test tried to reach something that is not on this machine."""


def close_network() -> None:
    """From now on, in this process: an audit hook sees every socket and cannot be removed."""
    global _closed
    if not _closed:
        sys.addaudithook(_refuse)
        _closed = True


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_local(address[0]):
            raise NetworkClosed(f"{event} to {address[0]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not _is_known(arguments[0]):
        raise NetworkClosed(f"look-up of {arguments[0]}")


def _is_known(host: Any) -> bool:
    """Whether looking it up asks nobody: a local name, or an address already."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_local(host: Any) -> bool:
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return _is_known(host)
