"""Sockets that one process leaves to the next."""

from __future__ import annotations

import os
import socket

import pytest

from meshproxy.control.sockets import READY, SOCKETS, Sockets


def made(host: str, port: int) -> socket.socket:
    sock = socket.socket()
    sock.bind((host, port))
    sock.listen()
    return sock


def test_what_is_inherited_is_adopted_once_and_the_rest_is_let_go() -> None:
    old, other = made("127.0.0.1", 0), made("127.0.0.1", 0)
    port = old.getsockname()[1]
    numbers = old.detach(), other.detach()
    environment = {SOCKETS: f"{numbers[0]}=127.0.0.1:{port},{numbers[1]}=::1:7", "KEPT": "1"}
    sockets = Sockets(made, environment)
    assert environment == {"KEPT": "1"}
    with sockets.bind("127.0.0.1", port) as adopted, sockets.bind("127.0.0.1", 0) as fresh:
        assert adopted.fileno() == numbers[0]
        assert not os.get_inheritable(adopted.fileno())
        assert [sock for _, sock in sockets.open()] == [adopted, fresh]
        sockets.let_go()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(numbers[1])
    assert sockets.open() == []


def test_whoever_started_us_hears_once_that_we_are_ready() -> None:
    read, write = os.pipe()
    sockets = Sockets(made, {READY: str(write)})
    sockets.ready()
    sockets.ready()
    assert os.read(read, 10) == b"1"
    assert os.read(read, 10) == b""
    os.close(read)
