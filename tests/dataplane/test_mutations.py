"""Broken bytes from either side: never an exception, never an exchange that is lost."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import Client, FakeTransport, Stage

REQUESTS = [
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x\r\nX: 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    (
        b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;e\r\nhello\r\n0\r\nT: 1\r\n\r\n"
    ),
    b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET http://b/ HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
]
BITS = [
    b"",
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b":",
    b" ",
    b"0",
    b"chunked",
    b"\xff",
    b"Content-Length: 1",
]

cuts = st.lists(st.integers(0, 400), max_size=6)
edits = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 6), st.sampled_from(BITS)), max_size=3
)


def mutated(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, bit in changes:
        at %= len(data) + 1
        data = data[:at] + bit + data[at + length :]
    return data


def pieces(data: bytes, where: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in where)})
    return [data[a:b] for a, b in pairwise(edges)]


def say(client: Client, data: bytes) -> None:
    if not client.transport.closed:
        client.says(data)


def answer(stage: Stage, up: FakeTransport, data: bytes) -> None:
    if not up.closed:
        stage.answer(up, data)


@given(
    first=st.sampled_from(REQUESTS),
    second=st.sampled_from(REQUESTS),
    asked=edits,
    replied=edits,
    reply=st.sampled_from(ANSWERS),
    down_cuts=cuts,
    up_cuts=cuts,
)
def test_whatever_either_side_sends_every_exchange_ends_once(
    first: bytes,
    second: bytes,
    asked: list[tuple[int, int, bytes]],
    replied: list[tuple[int, int, bytes]],
    reply: bytes,
    down_cuts: list[int],
    up_cuts: list[int],
) -> None:
    stage = Stage(timeout=5.0, idle_timeout=5.0)
    client = stage.client()
    for piece in pieces(mutated(first + second, asked), down_cuts):
        say(client, piece)
    for _ in range(3):
        if stage.dials:
            stage.connect()
        for up in list(stage.connections):
            for piece in pieces(mutated(reply, replied), up_cuts):
                answer(stage, up, piece)
    for up in stage.connections:
        if not up.closed:
            stage.hang_up(up)
    stage.time.pass_by(30.0)
    client.protocol.sweep(stage.time.now)
    if not client.transport.closed:
        client.leaves()
    assert stage.counts.in_flight == 0
    assert all(endpoint.load == 0 for endpoint in stage.endpoints)
    assert len(stage.counts.done) == len({id(one) for one in stage.counts.done})
    assert len(stage.logged) == len(stage.counts.done)
