"""Messages through a socket: whole, in order, with their files, and never waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from meshproxy.fleet.channel import Channel, ClosedError

Ends = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


def test_messages_come_whole_and_in_order(ends: Ends) -> None:
    one, other = ends
    for number in range(100):
        one.send({"number": number, "text": "x" * number * 100})
    while one.unsent:
        list(other.receive())
        one.flush()
    one.send({"last": True})
    assert [message for message, _ in other.receive()][-1] == {"last": True}


def test_what_does_not_fit_goes_with_the_next_flush(ends: Ends) -> None:
    one, other = ends
    text = "y" * 3_000_000
    one.send({"text": text})
    assert one.unsent
    got = []
    for _ in range(1000):
        got += [message for message, _ in other.receive()]
        if got:
            break
        one.flush()
    assert got == [{"text": text}]


def test_a_listening_socket_is_the_same_on_the_other_side(ends: Ends) -> None:
    one, other = ends
    with socket.create_server(("127.0.0.1", 0)) as server:
        one.send({"place": 1}, [server.fileno()])
        one.send({"place": 2})
        (first, files), (second, none) = other.receive()
        assert (first, second, none) == ({"place": 1}, {"place": 2}, [])
        with socket.socket(fileno=files[0]) as copy:
            assert copy.getsockname() == server.getsockname()


def test_the_end_of_the_other_side_is_told(ends: Ends) -> None:
    one, other = ends
    one.send({"last": 1})
    one.close()
    received = other.receive()
    assert next(received) == ({"last": 1}, [])
    with pytest.raises(ClosedError):
        next(received)
    with pytest.raises(ClosedError):
        other.send({})


def test_files_that_nobody_took_are_closed(ends: Ends) -> None:
    one, other = ends
    read, write = os.pipe()
    one.send({"a": 1}, [write])
    os.close(write)
    other._read()
    other.close()
    assert os.read(read, 1) == b"", "nobody holds the other end"
    os.close(read)
