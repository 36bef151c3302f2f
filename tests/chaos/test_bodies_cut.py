"""Answers that end in the middle, come too early or in single bytes, and clients that leave.

What a relay cuts between a sound upstream and the sidecar (F28, F29), an upload that is refused
early (F30), half-closed and reset clients (F33), segments of one byte both ways (F34).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.harness import (
    Client,
    Conversation,
    Message,
    Origin,
    Sidecar,
    TruncatedError,
    answering,
    fetch,
    reply,
)
from tests.e2e.harness.client import request
from tests.e2e.harness.ports import LOOPBACK

from .relay import Relay, Toxics

CONFIG = """
inbound: {listen: <inbound>, app: "http://<relay>", circuit_breaker: off, retry: off}
"""
PIECE = b"p" * 1000
LENGTH = reply(body=PIECE * 10)
CHUNKED = (
    b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"3e8\r\n" + PIECE + b"\r\n" for _ in range(10))
    + b"0\r\n\r\n"
)
UNTIL_CLOSE = b"HTTP/1.1 200 Fine\r\n\r\n" + PIECE * 10
AT_EDGE = CHUNKED.index(b"3e8\r\n", 3000)
CUTS = {
    "length": (LENGTH, 4321),
    "chunk": (CHUNKED, 4321),
    "chunk-edge": (CHUNKED, AT_EDGE),
    "last-chunk": (CHUNKED, len(CHUNKED) - 5),
    "last-line": (CHUNKED, len(CHUNKED) - 2),
    "last-byte": (LENGTH, len(LENGTH) - 1),
}


@pytest.fixture(scope="module")
def relay(app: Origin) -> Iterator[Relay]:
    with Relay.running(app.address) as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(relay: Relay) -> Iterator[Sidecar]:
    with Sidecar.running(CONFIG, relay=relay.address) as running:
        yield running


@pytest.fixture(autouse=True)
def _clean(relay: Relay, origin: Origin) -> None:
    relay.reset_all()
    relay.mend()


def cut_after(count: int, by: str) -> Toxics:
    return Toxics(limit=count) if by == "fin" else Toxics(reset=count)


def is_whole(sidecar: Sidecar, minor: int = 1) -> bool:
    """Whether the client takes what it gets for a whole answer."""
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/").replace(b"HTTP/1.1", b"HTTP/1.%d" % minor, 1))
        try:
            answer = client.response()
        except (TruncatedError, ConnectionError) as error:
            rest = getattr(error, "partial", b"")
            assert not rest.endswith(b"0\r\n\r\n")
            return False
        assert answer.status in (200, 502, 503), answer
        return answer.status == 200


@pytest.mark.parametrize("by", ["fin", "rst"])
@pytest.mark.parametrize("where", CUTS)
@pytest.mark.parametrize("minor", [1, 0])
def test_f28_a_cut_answer_is_never_shown_as_whole(
    sidecar: Sidecar, relay: Relay, origin: Origin, where: str, by: str, minor: int
) -> None:
    data, count = CUTS[where]
    origin.script = answering(data)
    relay.down = cut_after(count, by)
    assert not is_whole(sidecar, minor)
    relay.mend()
    assert is_whole(sidecar, minor)


def test_f28_an_answer_that_ends_with_its_connection_is_not_whole_after_a_reset(
    sidecar: Sidecar, relay: Relay, origin: Origin
) -> None:
    origin.script = answering(UNTIL_CLOSE)
    relay.down = Toxics(reset=4321)
    assert not is_whole(sidecar)
    relay.down = Toxics(limit=len(UNTIL_CLOSE))
    assert is_whole(sidecar), "it ends with FIN, as it should"


@pytest.mark.parametrize("by", ["fin", "rst"])
@pytest.mark.parametrize("count", [1, 9, len(b"HTTP/1.1 200 Fine\r\nContent-Le")])
def test_f29_a_part_of_a_head_is_no_answer(
    sidecar: Sidecar, relay: Relay, origin: Origin, count: int, by: str
) -> None:
    origin.script = answering(LENGTH)
    relay.down = cut_after(count, by)
    answer = fetch(sidecar.inbound)
    assert answer.status in (502, 503)
    assert answer.get("x-meshproxy-reason") in {"UC", "UPE"}
    assert answer.get("content-type") == "application/problem+json"


def test_f29_a_head_of_200_kb_is_refused(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(reply(headers={"X-Long": "x" * 200_000}))
    answer = fetch(sidecar.inbound)
    assert (answer.status, answer.get("x-meshproxy-reason")) == (502, "UPE")


def test_f30_an_upload_that_is_refused_early_stops(sidecar: Sidecar, origin: Origin) -> None:
    over = threading.Event()

    def script(peer: Conversation) -> None:
        if peer.head() is not None:
            peer.send(reply(413, b"too much"))
            over.wait(10)

    origin.script = script
    total = 64_000_000  # more than all buffers on the way hold together
    with Client(sidecar.inbound) as client:
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n".encode())
        client.send_pieces([b"x" * 64_000] * (total // 64_000))
        answer = client.response()
        assert (answer.status, answer.body) == (413, b"too much")
        assert answer.get("connection") == "close"
        assert client.closed_by_peer()
    over.set()
    assert origin.received < total


def test_f33_a_client_that_half_closes_is_served(sidecar: Sidecar, origin: Origin) -> None:
    answer_now = threading.Event()

    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            answer_now.wait(10)
            peer.send(LENGTH)

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        client.half_close()
        origin.saw(1)
        answer_now.set()
        assert client.response().body == PIECE * 10
        assert client.closed_by_peer()


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 Fine\r\nContent-Length: 10\r\n\r\nhal"])
def test_f33_a_client_that_resets_ends_the_attempt(
    sidecar: Sidecar, relay: Relay, origin: Origin, after: bytes
) -> None:
    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(after)
            peer.until_left()

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        origin.saw(1)
        if after:
            client.reader.response_head()
        client.reset()
        assert origin.conversations[-1].closed_by_peer.wait(5)
    origin.script = answering(LENGTH)
    assert fetch(sidecar.inbound).status == 200


@pytest.mark.slow
def test_f34_bytes_that_travel_alone_make_the_same_bodies(
    sidecar: Sidecar, relay: Relay, origin: Origin
) -> None:
    """On both sides of the sidecar, both ways; bodies with a length and in chunks."""

    def echo(seen: Message) -> bytes:
        digest = hashlib.sha256(seen.body).hexdigest().encode()
        if seen.framing == "chunked":
            chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in seen.body)
            fields = b"Transfer-Encoding: chunked\r\nX-Digest: " + digest
            return b"HTTP/1.1 200 Fine\r\n" + fields + b"\r\n\r\n" + chunks + b"0\r\n\r\n"
        return reply(body=seen.body, headers={"X-Digest": digest.decode()})

    origin.script = answering(echo)
    single = Toxics(slices=1)
    inbound = f"{LOOPBACK}:{sidecar.inbound[1]}"
    with Relay.running(inbound) as front, Client((LOOPBACK, front.port)) as client:
        front.up = front.down = relay.up = relay.down = single
        for number in range(60):
            body = bytes((number * 31 + i * 7) % 256 for i in range(number * 3))
            if number % 2:
                answer = client.ask("POST", f"/{number}", body=body)
            else:
                chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
                answer = client.ask("POST", "/", {"Transfer-Encoding": "chunked"}, chunks)
            assert answer.get("x-digest") == hashlib.sha256(body).hexdigest()
            assert answer.body == body
