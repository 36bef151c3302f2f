"""Answers that are slow on purpose: whole, in order, and no faster than was asked."""

from __future__ import annotations

from meshproxy.core.exchange import Exchange
from tests.fakes import Stage

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Slow:
    def admit(self, exchange: Exchange, now: float) -> None:
        exchange.more().throttle = 1000.0


def test_an_answer_trickles_and_is_whole() -> None:
    stage = Stage([Slow()])
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    stage.time.pass_by(1.0)
    first = len(client.hears())
    assert 900 <= first <= 1100
    stage.time.pass_by(5.0)
    assert client.transport.written.count(b"x") + first > 5000


def test_the_next_request_waits_for_the_end() -> None:
    stage = Stage([Slow()])
    client = stage.client()
    client.says(GET + GET)
    up = stage.connect()
    up.take()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 500)
    assert up.take() == b""
    stage.time.pass_by(2.0)
    assert up.take().startswith(b"GET")


def test_the_upstream_is_held_meanwhile() -> None:
    stage = Stage([Slow()], timeout=0.0)
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 60000)
    assert not up.reading
    stage.time.pass_by(100.0)
    assert up.reading


def test_a_client_that_leaves_ends_it() -> None:
    stage = Stage([Slow()])
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 500)
    client.leaves()
    stage.time.pass_by(5.0)
    assert stage.counts.in_flight == 0
