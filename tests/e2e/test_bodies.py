"""Bodies stream: a gigabyte passes unchanged each way, and a slow reader holds back the writer.

Memory is the peak that the kernel saw, not a sample. A body is a block that repeats with a
counter, so that a piece that is lost, doubled or moved changes the digest.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from .harness import Client, Conversation, Origin, Sidecar, eventually, reply
from .harness.origin import Script

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  timeout: 120s
"""
MIB = 1024 * 1024
GIB = 1024 * MIB
GROWTH = 40 * MIB
_BLOCK = bytes(i * 7 % 251 for i in range(256 * 1024 - 8))


def blocks(size: int) -> Iterator[bytes]:
    """`size` bytes (a multiple of 256 KiB) in pieces that all differ."""
    for number in range(size // (256 * 1024)):
        yield number.to_bytes(8, "big") + _BLOCK


class Sink:
    """Reads so many bytes as they come; a digest and a count."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.count = 0

    def fill(self, peer: Client | Conversation, size: int) -> None:
        while self.count < size:
            piece = peer.reader.take(size - self.count)
            if not piece:
                return
            self.digest.update(piece)
            self.count += len(piece)


def expected(size: int) -> str:
    digest = hashlib.sha256()
    for block in blocks(size):
        digest.update(block)
    return digest.hexdigest()


def head(size: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()


def upload_head(size: int) -> bytes:
    return f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()


@pytest.fixture
def flat(sidecar: Sidecar) -> Iterator[None]:
    """The proxy's memory does not grow during the test."""
    sidecar.forget_peak()
    before = sidecar.rss()
    yield
    grown = sidecar.peak_rss() - before
    assert grown < GROWTH, f"it grew by {grown / MIB:.1f} MiB"


@pytest.mark.slow
def test_a_gibibyte_down_is_identical(sidecar: Sidecar, origin: Origin, flat: None) -> None:
    origin.script = sending(GIB)
    sink = Sink()
    with Client(sidecar.inbound, timeout=30) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.reader.response_head()
        sink.fill(client, GIB)
    assert sink.count == GIB
    assert sink.digest.hexdigest() == expected(GIB)


@pytest.mark.slow
def test_a_gibibyte_up_is_identical(sidecar: Sidecar, origin: Origin, flat: None) -> None:
    sink = Sink()

    def script(peer: Conversation) -> None:
        if peer.head() is not None:
            sink.fill(peer, GIB)
            peer.send(reply())

    origin.script = script
    with Client(sidecar.inbound, timeout=30) as client:
        client.send(upload_head(GIB))
        client.send_pieces(blocks(GIB))
        assert client.response().status == 200
    assert sink.count == GIB
    assert sink.digest.hexdigest() == expected(GIB)


def test_chunks_pass_unchanged_both_ways(sidecar: Sidecar, origin: Origin) -> None:
    size = 32 * MIB

    def script(peer: Conversation) -> None:
        if (seen := peer.request()) is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            peer.send(chunked(seen.body))

    origin.script = script
    body = b"".join(blocks(size))
    with Client(sidecar.inbound, timeout=30) as client:
        sender = threading.Thread(
            target=client.send,
            args=(
                b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body),
            ),
        )
        sender.start()
        answer = client.response()
        sender.join()
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
    assert origin.last.body == body


def chunked(body: bytes) -> bytes:
    """The body in chunks of growing, odd sizes."""
    parts, at, size = [], 0, 1
    while at < len(body):
        piece = body[at : at + size]
        parts.append(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        at, size = at + size, min(size * 3 + 1, 300_000)
    return b"".join(parts) + b"0\r\n\r\n"


def still(count: Callable[[], int]) -> int:
    """Wait until the writer has made no headway for half a second; what it had written."""
    seen, since = -1, time.monotonic()
    ends = since + 30
    while time.monotonic() < min(since + 0.5, ends):
        if count() != seen:
            seen, since = count(), time.monotonic()
        time.sleep(0.02)
    return seen


def sent_by(origin: Origin) -> int:
    return sum(each.sent for each in origin.conversations)


def sending(size: int) -> Script:
    """Answer every request with so many bytes."""

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            peer.send(head(size))
            for block in blocks(size):
                peer.send(block)

    return script


def test_a_slow_client_holds_back_the_origin(sidecar: Sidecar, origin: Origin, flat: None) -> None:
    size = 256 * MIB
    origin.script = sending(size)
    sink = Sink()
    with Client(sidecar.inbound, timeout=30, receive_buffer=32 * 1024) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.reader.response_head()
        assert still(lambda: sent_by(origin)) < size / 2, "nothing held the origin back"
        sink.fill(client, size)
    assert sink.digest.hexdigest() == expected(size)


def test_a_slow_origin_holds_back_the_client(sidecar: Sidecar, origin: Origin, flat: None) -> None:
    size, sent, go = 256 * MIB, [0], threading.Event()
    sink = Sink()

    def script(peer: Conversation) -> None:
        if peer.head() is not None:
            assert go.wait(30)
            sink.fill(peer, size)
            peer.send(reply())

    def upload(client: Client) -> None:
        for block in blocks(size):
            client.send(block)
            sent[0] += len(block)

    origin.script = script
    with Client(sidecar.inbound, timeout=30) as client:
        client.send(upload_head(size))
        sender = threading.Thread(target=upload, args=(client,))
        sender.start()
        held = still(lambda: sent[0])
        go.set()
        sender.join()
        assert client.response().status == 200
    assert held < size / 2, "nothing held the client back"
    assert sink.digest.hexdigest() == expected(size)


def test_many_slow_clients_cost_little(sidecar: Sidecar, origin: Origin) -> None:
    count = 50
    origin.script = sending(8 * MIB)
    sidecar.forget_peak()
    before = sidecar.rss()
    clients = [Client(sidecar.inbound, timeout=30, receive_buffer=8 * 1024) for _ in range(count)]
    try:
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(lambda: len(origin.requests) == count, what="every request")
        still(lambda: sent_by(origin))
        grown = sidecar.peak_rss() - before
        assert grown / count < 512 * 1024, f"{grown / count / 1024:.0f} KiB per slow client"
    finally:
        for client in clients:
            client.reset()
