"""A stream of events is read as it comes, and its end is told in words."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from meshproxy.commands.events import events

from .streams import HEAD, event, telling, told


def heard(address: str, count: int, patience: float = 5.0) -> list[dict[str, Any]]:
    host, _, port = address.rpartition(":")
    stream = events((host, int(port)), "/live?every=1s", patience)
    found = [next(stream) for _ in range(count)]
    stream.close()
    return found


def why(address: str, patience: float = 5.0) -> str:
    host, _, port = address.rpartition(":")
    with pytest.raises(OSError, match=r".") as refused:
        list(events((host, int(port)), "/live?every=1s", patience))
    return str(refused.value)


def test_events_come_one_by_one() -> None:
    with telling(told(event(), event(generation=8)), stays=True) as (address, asked):
        assert [each["generation"] for each in heard(address, 2)] == [7, 8]
    assert asked == [b"GET /live?every=1s HTTP/1.0\r\nHost: localhost\r\n\r\n"]


def test_it_does_not_matter_how_the_bytes_are_cut() -> None:
    whole = told(event(), event(generation=8))
    pieces = [whole[place : place + 7] for place in range(0, len(whole), 7)]
    with telling(*pieces, stays=True) as (address, _):
        assert heard(address, 2) == [event(), event(generation=8)]


def test_a_sidecar_that_ends_is_told() -> None:
    with telling(told(event())) as (address, _):
        assert why(address) == f"the sidecar at {address} has ended"
    with telling(told(event())[:-10]) as (address, _):
        assert "has ended" in why(address)


def test_a_refusal_is_told_in_its_own_words() -> None:
    answer = b'HTTP/1.0 503 No\r\n\r\n{"error": "8 readers listen already"}'
    with telling(answer) as (address, _):
        assert why(address) == "8 readers listen already"
    with telling(b"HTTP/1.0 404 No\r\n\r\nnothing") as (address, _):
        assert why(address) == f"{address} answered 404"
    with telling(b"SSH-2.0-x\r\n\r\n") as (address, _):
        assert "does not speak HTTP" in why(address)


def test_silence_is_not_waited_for_for_ever() -> None:
    with telling(HEAD, stays=True) as (address, _):
        assert why(address, 0.05) == f"no word from the sidecar at {address} for 0.05 s"


def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    assert "nobody listens there" in why(address)
