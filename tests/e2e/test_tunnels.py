"""What a tunnel is, however it came to be: bytes both ways, ends, silence, back-pressure.

Every test that can runs over a WebSocket upgrade (inbound) and over CONNECT (outbound); RFC 9110
sections 7.8 and 9.3.6. None of them sends a real frame: test_websocket.py does.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from .harness import Client, Conversation, Origin, Sidecar, answering, eventually
from .harness import reply as answer
from .harness.origin import Script
from .test_bodies import Sink, blocks, expected, still
from .upgrading import ask, echo, exactly, switching

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  circuit_breaker: off
  idle_timeout: 20s
  connect_timeout: 10s
  routes: [{match: GET /silent, idle_timeout: 300ms}]
outbound:
  listen: <outbound>
  defaults: {connect_timeout: 10s}
  connect: {allow: ["<app>"], networks: [127.0.0.0/8]}
"""
MIB = 1024 * 1024
GROWTH = 8 * MIB

Open = Callable[..., AbstractContextManager[Client]]


@pytest.fixture(params=["upgrade", "connect"])
def tunnel(request: pytest.FixtureRequest, sidecar: Sidecar, origin: Origin) -> Open:
    """`with tunnel(talk) as client`: a tunnel to the origin, which talks as it is told."""

    @contextmanager
    def upgraded(talk: Script, path: str = "/", **options: int) -> Iterator[Client]:
        origin.script = switching(talk)
        with Client(sidecar.inbound, **options) as client:
            client.send(ask(path))
            assert client.response().status == 101
            yield client

    @contextmanager
    def connected(talk: Script, **options: int) -> Iterator[Client]:
        origin.script = talk
        with Client(sidecar.outbound, **options) as client:
            client.send(
                f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode()
            )
            assert client.reader.response("HEAD").status == 200
            yield client

    return upgraded if request.param == "upgrade" else connected


def test_bytes_pass_both_ways_one_by_one(tunnel: Open) -> None:
    every = bytes(range(256))
    with tunnel(lambda peer: peer.send_bytewise(peer.reader.take(1) + every)) as client:
        client.send(b"!")
        assert exactly(client, 257) == b"!" + every
    with tunnel(echo) as client:
        client.send_bytewise(every)
        assert exactly(client, 256) == every


def test_what_looks_like_http_is_left_alone(tunnel: Open, origin: Origin) -> None:
    smuggled = (
        b"GET /admin HTTP/1.1\r\nHost: b\r\nX-Meshproxy-Attempt: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    )
    with tunnel(echo) as client:
        client.send(smuggled)
        assert exactly(client, len(smuggled)) == smuggled


def test_a_client_may_end_its_side_first(tunnel: Open) -> None:
    def talk(peer: Conversation) -> None:
        got = b""
        while piece := peer.reader.take(100):
            got += piece
        peer.send(got + b", and this is the answer")

    with tunnel(talk) as client:
        client.send(b"that was all")
        client.half_close()
        assert exactly(client, 36) == b"that was all, and this is the answer"
        assert client.closed_by_peer()


def test_an_origin_may_end_its_side_first(tunnel: Open) -> None:
    def talk(peer: Conversation) -> None:
        peer.send(b"bye")
        peer.finish()
        heard.append(peer.reader.take(100))

    heard: list[bytes] = []
    with tunnel(talk) as client:
        assert exactly(client, 3) == b"bye"
        assert client.reader.ended()
        client.send(b"thanks")
        eventually(lambda: heard, what="the last word")
    assert heard == [b"thanks"]


def test_a_reset_of_the_client_ends_the_origins_side(tunnel: Open, origin: Origin) -> None:
    with tunnel(Conversation.until_left) as client:
        client.send(b"x")
        client.reset()
    assert origin.met().closed_by_peer.wait(5)


def test_a_reset_of_the_origin_is_no_orderly_end(tunnel: Open) -> None:
    def script(peer: Conversation) -> None:
        # Not before it is a tunnel: one that is reset at once was never connected.
        peer.reader.take(1)
        peer.reset()

    with tunnel(script) as client:
        client.send(b"x")
        with pytest.raises(ConnectionResetError):
            client.reader.take(1)


def test_a_connection_that_was_a_tunnel_is_not_used_again(
    tunnel: Open, origin: Origin, sidecar: Sidecar
) -> None:
    with tunnel(echo) as client:
        client.send(b"x")
        assert exactly(client, 1) == b"x"
    origin.met().closed_by_peer.wait(5)
    origin.script = answering(answer())
    with Client(sidecar.inbound) as client:
        assert client.ask("GET", "/").status == 200
    assert len(origin.conversations) == 2


def test_a_tunnel_is_one_line_of_the_log(sidecar: Sidecar, origin: Origin) -> None:
    before = len(lines(sidecar, "/logged"))
    origin.script = switching(echo)
    with Client(sidecar.inbound) as client:
        client.send(ask("/logged"))
        assert client.response().status == 101
        client.send(b"12345")
        assert exactly(client, 5) == b"12345"
        assert len(lines(sidecar, "/logged")) == before, "it has not ended yet"
    line = eventually(lambda: lines(sidecar, "/logged")[before:], what="the line")[0]
    assert (line["status"], line["bytes_in"], line["bytes_out"]) == (101, 5, 5)
    assert sidecar.total("meshproxy_in_flight_requests") == 0


def lines(sidecar: Sidecar, path: str) -> list[dict[str, Any]]:
    return [line for line in sidecar.log_lines() if line.get("path") == path]


def test_silence_for_too_long_ends_both_sides(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = switching(Conversation.until_left)
    with Client(sidecar.inbound) as client:
        client.send(ask("/silent"))
        assert client.response().status == 101
        assert client.closed_by_peer()
    assert origin.met().closed_by_peer.wait(5)


def test_talk_keeps_a_tunnel_open(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = switching(echo)
    with Client(sidecar.inbound) as client:
        client.send(ask("/silent"))
        assert client.response().status == 101
        for _ in range(10):
            time.sleep(0.1)  # ten times a third of what ends a silent one
            client.send(b"x")
            assert exactly(client, 1) == b"x"


@pytest.fixture
def flat(sidecar: Sidecar) -> Iterator[None]:
    """The proxy's memory does not grow during the test."""
    sidecar.forget_peak()
    before = sidecar.rss()
    yield
    grown = sidecar.peak_rss() - before
    assert grown < GROWTH, f"it grew by {grown / MIB:.1f} MiB"


def test_a_slow_client_holds_back_the_origin(tunnel: Open, origin: Origin, flat: None) -> None:
    size, sink, sent = 128 * MIB, Sink(), [0]

    def pour(peer: Conversation) -> None:
        for block in blocks(size):
            peer.send(block)
            sent[0] += len(block)

    with tunnel(pour, receive_buffer=32 * 1024, timeout=30) as client:
        assert still(lambda: sent[0]) < size / 2, "nothing held the origin back"
        sink.fill(client, size)
    assert sink.digest.hexdigest() == expected(size)


def test_a_slow_origin_holds_back_the_client(tunnel: Open, origin: Origin, flat: None) -> None:
    size, sink, sent, go = 128 * MIB, Sink(), [0], threading.Event()

    def drink(peer: Conversation) -> None:
        assert go.wait(60)
        sink.fill(peer, size)
        peer.send(b"!")

    def pour(client: Client) -> None:
        for block in blocks(size):
            client.send(block)
            sent[0] += len(block)

    with tunnel(drink, timeout=30) as client:
        sender = threading.Thread(target=pour, args=(client,))
        sender.start()
        held = still(lambda: sent[0])
        go.set()
        sender.join()
        assert exactly(client, 1) == b"!"
    assert held < size / 2, "nothing held the client back"
    assert sink.digest.hexdigest() == expected(size)


def test_tunnels_end_with_the_process() -> None:
    with Origin.running(switching(Conversation.until_left)) as origin:
        with Sidecar.running(CONFIG, app=origin.address) as sidecar:
            with Client(sidecar.inbound) as client:
                client.send(ask())
                assert client.response().status == 101
                sidecar.signal(signal.SIGTERM)
                assert client.closed_by_peer()
            assert sidecar.process.wait(10) == 0
        assert origin.met().closed_by_peer.wait(5)
