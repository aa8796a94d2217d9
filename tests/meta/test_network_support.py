"""Tests cannot reach beyond this machine, whichever way they try."""

import socket

import pytest

from tests.support.network import NetworkClosed


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1"])
def test_no_connection_leaves_this_machine(address: str) -> None:
    with socket.socket() as outbound, pytest.raises(NetworkClosed):
        outbound.connect((address, 80))


def test_no_name_is_looked_up() -> None:
    with pytest.raises(NetworkClosed):
        socket.getaddrinfo("example.com", 443)


def test_this_machine_can_be_reached() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()[:2]),
    ):
        pass
