"""Tunnels: who gets one, what passes through it, and how it ends; without sockets."""

from __future__ import annotations

import pytest

from tests.fakes import FakeTransport, Stage

ASK = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class Joined:
    """A client and an upstream with a tunnel between them."""

    def __init__(self, early: bytes = b"", late: bytes = b"", **route: float) -> None:
        self.stage = Stage(**route)
        self.client = self.stage.client()
        self.client.says(ASK + early)
        self.up: FakeTransport = self.stage.connect()
        self.asked = self.up.take()
        self.stage.answer(self.up, SWITCH + late)
        self.told = self.client.hears()


def test_the_upgrade_that_was_asked_for_goes_up_and_comes_back() -> None:
    joined = Joined()
    assert b"\r\nconnection: upgrade\r\nupgrade: websocket" in joined.asked
    assert joined.told.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n" in joined.told
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in joined.told
    assert joined.told.endswith(b"\r\n\r\n")


def test_bytes_pass_both_ways_unread() -> None:
    joined = Joined()
    joined.client.says(b"GET / HTTP/1.1\r\n\r\n\x00")
    joined.stage.answer(joined.up, b"HTTP/1.1 nonsense\n")
    assert joined.up.take() == b"GET / HTTP/1.1\r\n\r\n\x00"
    assert joined.client.hears() == b"HTTP/1.1 nonsense\n"


def test_what_a_client_says_too_early_waits_for_the_switch() -> None:
    stage = Stage()
    client = stage.client()
    client.says(ASK + b"early")
    up = stage.connect()
    assert not up.take().endswith(b"early")
    client.says(b"-bird")
    stage.answer(up, SWITCH + b"hello")
    assert up.take() == b"early-bird"
    assert client.hears().endswith(b"\r\n\r\nhello")


def test_an_upgrade_that_is_declined_is_an_answer_and_a_close() -> None:
    stage = Stage()
    client = stage.client()
    client.says(ASK + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    up = stage.connect()
    up.take()
    stage.answer(up, b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
    told = client.hears()
    assert told.startswith(b"HTTP/1.1 401 No\r\n")
    assert b"connection: close\r\n" in told
    assert client.transport.closed
    assert up.take() == b""


@pytest.mark.parametrize(
    "lines",
    [
        b"Upgrade: websocket",
        b"Connection: upgrade",
        b"Connection: upgrade\r\nUpgrade: h2c",
        b"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
        b"Connection: upgrade\r\nUpgrade: websocket, h2c",
        b"Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c",
        b"Connection: upgrade\r\nUpgrade: TLS/1.0",
    ],
)
def test_every_other_upgrade_is_stripped(lines: bytes) -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n")
    up = stage.connect()
    asked = up.take().lower()
    assert b"upgrade" not in asked
    assert b"http2-settings" not in asked
    stage.answer(up, SWITCH)
    assert client.hears().startswith(b"HTTP/1.1 502 ")
    assert up.aborted


def test_only_get_of_http_1_1_may_switch() -> None:
    for start in (b"OPTIONS /chat HTTP/1.1", b"GET /chat HTTP/1.0"):
        stage = Stage()
        client = stage.client()
        client.says(ASK.replace(b"GET /chat HTTP/1.1", start))
        assert b"upgrade" not in stage.connect().take().lower()


@pytest.mark.parametrize(
    "head",
    [
        SWITCH.replace(b"Upgrade: websocket\r\n", b""),
        SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        SWITCH.replace(b"Upgrade: websocket", b"Upgrade: websocket\r\nUpgrade: h2c"),
        SWITCH.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"),
        SWITCH.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
def test_a_switch_to_something_else_is_a_bad_answer(head: bytes) -> None:
    stage = Stage()
    client = stage.client()
    client.says(ASK)
    up = stage.connect()
    stage.answer(up, head)
    assert client.hears().startswith(b"HTTP/1.1 502 ")
    assert up.aborted


def test_the_call_timeout_does_not_end_a_tunnel_but_silence_does() -> None:
    joined = Joined(timeout=1.0, idle_timeout=5.0)
    for _ in range(4):
        joined.stage.time.pass_by(3.0)
        joined.stage.answer(joined.up, b"tick")
    assert joined.client.hears() == b"tick" * 4
    joined.stage.time.pass_by(11.0)
    assert joined.up.aborted
    assert joined.stage.logged[0].flags == "SI"


def test_a_tunnel_is_one_exchange_that_ends_once() -> None:
    joined = Joined()
    joined.client.says(b"12345")
    joined.stage.answer(joined.up, b"123")
    assert joined.stage.counts.in_flight == 1
    assert joined.stage.endpoints[0].load == 1
    joined.stage.hang_up(joined.up)
    assert joined.client.transport.closed
    joined.client.leaves()
    (exchange,) = joined.stage.logged
    assert (exchange.status, exchange.flags) == (101, "")
    assert (exchange.bytes_in, exchange.bytes_out) == (5, 3)
    assert joined.stage.counts.in_flight == 0
    assert joined.stage.endpoints[0].load == joined.stage.endpoints[0].connections == 0


def test_half_a_close_passes_and_the_second_half_ends_it() -> None:
    joined = Joined()
    assert joined.client.transport.protocol.eof_received()
    assert joined.up.eof
    joined.stage.answer(joined.up, b"last words")
    assert joined.client.hears() == b"last words"
    assert joined.up.protocol.eof_received()
    assert joined.client.transport.closed
    assert joined.up.closed


def test_a_reset_is_passed_on_as_one() -> None:
    joined = Joined()
    joined.stage.hang_up(joined.up, ConnectionResetError())
    assert joined.client.transport.aborted
    joined.client.leaves()
    assert joined.stage.logged[0].flags == "UC"


def test_a_full_side_holds_the_other() -> None:
    joined = Joined()
    joined.client.transport.protocol.pause_writing()
    assert not joined.up.reading
    joined.client.transport.protocol.resume_writing()
    assert joined.up.reading
    joined.up.protocol.pause_writing()
    assert not joined.client.transport.reading


def test_a_tunnel_is_neither_swept_nor_drained() -> None:
    joined = Joined()
    joined.client.protocol.drain()
    joined.client.protocol.sweep(joined.stage.time.now + 1000.0)
    joined.client.says(b"still here")
    assert joined.up.take() == b"still here"


def test_who_takes_nothing_more_of_a_tunnel_is_cut_off_for_its_silence() -> None:
    joined = Joined(idle_timeout=5.0)
    joined.client.leaves()
    assert joined.up.closed
    assert joined.stage.logged == []
    joined.stage.time.pass_by(6.0)
    assert joined.up.aborted
    joined.stage.hang_up(joined.up)
    assert len(joined.stage.logged) == 1
