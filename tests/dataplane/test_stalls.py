"""Clients that do not move: who is cut off, when, and who is only slow."""

from __future__ import annotations

from meshproxy.core.route import Limits
from tests.fakes import Client, Stage

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
BIG = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"


def sweep(stage: Stage, client: Client, seconds: float) -> None:
    """Let time pass as the process does, looking every quarter of a second."""
    for _ in range(int(seconds * 4)):
        stage.time.pass_by(0.25)
        if not client.transport.aborted:
            client.protocol.sweep(stage.time.now)


def uploading(stage: Stage) -> Client:
    client = stage.client()
    client.says(POST + b"x" * 2000)
    stage.connect()
    return client


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    stage = Stage(limits=Limits(write_timeout=5.0))
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), BIG[:-5])
    client.transport.unsent = 3
    sweep(stage, client, 4.75)
    assert not client.transport.aborted
    sweep(stage, client, 1.0)
    assert client.transport.aborted
    client.leaves()
    assert stage.logged[0].flags == "SI,DC"


def test_a_client_that_takes_a_little_stays() -> None:
    stage = Stage(limits=Limits(write_timeout=5.0))
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), BIG)
    for left in range(9, 1, -1):
        client.transport.unsent = left
        sweep(stage, client, 4.0)
    assert not client.transport.aborted


def test_what_is_left_of_an_earlier_stall_is_no_stall() -> None:
    stage = Stage(limits=Limits(write_timeout=5.0))
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), BIG)
    for _ in range(4):
        client.transport.unsent = 7
        sweep(stage, client, 4.0)
        client.transport.unsent = 0
        sweep(stage, client, 0.25)
    assert not client.transport.aborted


def test_the_last_answer_is_flushed_to_a_slow_reader() -> None:
    stage = Stage(limits=Limits(write_timeout=30.0))
    client = stage.client()
    client.says(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    client.transport.unsent = 5000
    stage.answer(stage.connect(), BIG)
    assert client.transport.closed
    sweep(stage, client, 20.0)
    assert not client.transport.aborted


def test_an_unwanted_body_is_read_for_a_moment_after_the_answer_left() -> None:
    stage = Stage()
    client = uploading(stage)
    client.transport.unsent = 9
    stage.answer(stage.connections[0], BIG.replace(b"200 OK", b"413 No"))
    assert client.transport.eof
    sweep(stage, client, 3.0)
    assert not client.transport.aborted
    client.transport.unsent = 0
    sweep(stage, client, 1.5)
    assert client.transport.aborted


def test_a_body_that_trickles_is_refused() -> None:
    stage = Stage(limits=Limits(body_rate=1024.0))
    client = uploading(stage)
    for _ in range(9):
        client.says(b"x" * 100)
        sweep(stage, client, 1.0)
    assert client.hears() == b""
    sweep(stage, client, 2.0)
    told = client.hears()
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"x-meshproxy-reason: SI\r\n" in told
    assert stage.connections[0].aborted


def test_a_body_at_the_least_rate_is_taken_for_as_long_as_it_lasts() -> None:
    stage = Stage(limits=Limits(body_rate=1024.0))
    client = uploading(stage)
    for _ in range(60):
        client.says(b"x" * 1100)
        sweep(stage, client, 1.0)
    assert client.hears() == b""


def test_a_body_may_trickle_where_the_limit_is_off() -> None:
    stage = Stage(limits=Limits(body_rate=0.0), idle_timeout=1000.0)
    client = uploading(stage)
    sweep(stage, client, 60.0)
    assert client.hears() == b""


def test_a_client_is_not_blamed_for_what_the_upstream_does_not_take() -> None:
    stage = Stage(limits=Limits(body_rate=1024.0))
    client = uploading(stage)
    stage.connections[0].protocol.pause_writing()
    sweep(stage, client, 60.0)
    assert client.hears() == b""
    stage.connections[0].protocol.resume_writing()
    sweep(stage, client, 9.0)
    assert client.hears() == b""
    sweep(stage, client, 2.0)
    assert client.hears().startswith(b"HTTP/1.1 408 ")


def test_a_client_that_waits_for_a_100_is_not_slow() -> None:
    stage = Stage(limits=Limits(body_rate=1024.0))
    client = stage.client()
    client.says(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    stage.connect()
    sweep(stage, client, 60.0)
    assert client.hears() == b""
