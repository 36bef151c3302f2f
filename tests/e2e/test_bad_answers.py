"""The corpus of bad answers on real sockets, where FIN and RST are what the kernel makes of them.

Each is said in one write on a fresh connection, and byte by byte on one that has served before.
The client sees a right answer or an honest failure; the next ones see their own answers.
RFC 9112 sections 6.3, 8 and 9.2.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.conformance.answers import BAD, ODD, Case, End, Fate
from tests.conformance.answers_case import LOST
from tests.conformance.answers_seen import Seen, check, look

from .harness import Client, Conversation, Message, Origin, Sidecar, answering, fetch, reply
from .harness.client import request
from .test_bad_origins import CONFIG as CONFIG

AT_ONCE = [case for case in BAD if not case.waits]
BODIES = [case for case in AT_ONCE if Fate.CUT in case.fates]
EACH = {"ids": lambda case: case.name}


def echo(seen: Message) -> bytes:
    return reply(body=seen.target.encode())


class Misdeed:
    """A script: the first connection serves well at first, if asked to, and then does its worst."""

    def __init__(self, case: Case, *, reused: bool = False) -> None:
        self.case = case
        self.speak = threading.Event()
        self._reused = reused

    def __call__(self, peer: Conversation) -> None:
        if peer.number > 0:
            answering(echo)(peer)
            return
        for served in range(1 + self._reused):
            seen = peer.request()
            if seen is None:
                return
            if served < self._reused:
                peer.send(echo(seen))
        try:
            self._misbehave(peer)
        except OSError:
            peer.closed_by_peer.set()

    def _misbehave(self, peer: Conversation) -> None:
        bytewise = self._reused and self.case.is_small
        (peer.send_bytewise if bytewise else peer.send)(self.case.data)
        if self.case.end is End.RST:
            peer.reset()
            return
        if self.case.end is End.FIN:
            peer.finish()
        if self.case.late:
            assert self.speak.wait(10)
            peer.send(self.case.late)
        peer.until_left()


def as_sockets_do(case: Case) -> Case:
    """A reset may overtake what was sent before it; then nothing had come."""
    if case.end is not End.RST:
        return case
    return replace(case, fates=case.fates | {Fate.REFUSED}, told=case.told | LOST)


def play(case: Case, sidecar: Sidecar, origin: Origin, *, reused: bool, minor: int = 1) -> Seen:
    """One misdeed, what its client saw, and the proof that nobody after it is hurt."""
    origin.script = misdeed = Misdeed(case, reused=reused)
    if reused:
        assert fetch(sidecar.inbound, "/before").body == b"/before"
    with Client(sidecar.inbound) as client:
        data = request(case.method, "/faulty")
        client.send(data if minor else data.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        seen = look(client.reader, case.method)
        misdeed.speak.set()
        left = origin.conversations[0].closed_by_peer
        assert case.end is End.RST or left.wait(10), "the connection was kept"
        assert fetch(sidecar.inbound, "/next").body == b"/next"
        if minor and seen.fate is not Fate.CUT:
            assert client.ask("GET", "/again").body == b"/again"
        else:
            assert client.closed_by_peer() or seen.fate is Fate.CUT
    on_it = [message.target for message in origin.requests if message.connection == 0]
    assert on_it == ["/before", "/faulty"][1 - reused :]
    return seen


@pytest.mark.parametrize("case", AT_ONCE, **EACH)
def test_a_bad_answer_on_a_fresh_connection(case: Case, sidecar: Sidecar, origin: Origin) -> None:
    check(as_sockets_do(case), play(case, sidecar, origin, reused=False))


@pytest.mark.parametrize("case", AT_ONCE, **EACH)
def test_a_bad_answer_byte_by_byte_on_a_reused_connection(
    case: Case, sidecar: Sidecar, origin: Origin
) -> None:
    seen = play(case, sidecar, origin, reused=True)
    if case.is_silent:
        assert (seen.fate, seen.body) == (Fate.WHOLE, b"/faulty"), "a GET goes out again"
    else:
        check(as_sockets_do(case), seen)


@pytest.mark.parametrize("case", BODIES, **EACH)
def test_an_old_client_sees_that_a_body_is_cut(
    case: Case, sidecar: Sidecar, origin: Origin
) -> None:
    """It knows no chunks, and may take the end of its connection for the end of its body."""
    check(as_sockets_do(case), play(case, sidecar, origin, reused=False, minor=0))


@pytest.mark.parametrize("case", ODD, **EACH)
def test_an_odd_answer_arrives(case: Case, sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(case.data)
    with Client(sidecar.inbound) as client:
        for _ in range(3):
            client.send(request(case.method, "/"))
            check(case, look(client.reader, case.method))
    assert len(origin.conversations) == 1


# One byte per segment, both ways


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def pieces_of(body: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(body), size):
        piece = body[at : at + size]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def slicing(peer: Conversation) -> None:
    """Answer each request with the digest of its body, and the body; every byte on its own."""
    while (seen := peer.request()) is not None:
        if seen.framing == "chunked":
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Digest: %b\r\n\r\n"
            peer.send_bytewise(head % digest(seen.body) + b"".join(pieces_of(seen.body, 7)))
        else:
            peer.send_bytewise(
                reply(body=seen.body, headers={"X-Digest": digest(seen.body).decode()})
            )


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies_are_the_same_when_each_byte_travels_alone(
    sidecar: Sidecar, origin: Origin, framing: str
) -> None:
    origin.script = slicing
    with Client(sidecar.inbound) as client:
        for number in range(500):
            body = bytes((number * 31 + i * 7) % 256 for i in range(number % 100))
            if framing == "length":
                data = request("POST", f"/{number}", {"Content-Length": str(len(body))}, body)
            else:
                headers = {"Transfer-Encoding": "chunked"}
                data = request("POST", f"/{number}", headers, b"".join(pieces_of(body, 5)))
            client.send_bytewise(data)
            answer = client.response()
            assert answer.get("x-digest") == digest(body).decode()
            assert digest(answer.body) == digest(body)
    assert len(origin.conversations) == 1
