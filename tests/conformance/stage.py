"""A sidecar without sockets: a compiled file between a raw client and an origin that answers.

`converse` plays one client's bytes, in the pieces given, and says what came of them on both
sides. What it reads of requests is read by the tests' own reader, not by the proxy's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from meshproxy.core.exchange import Peer
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Plan
from meshproxy.dataplane.kinds import Kinds
from meshproxy.dataplane.listener import own_block
from meshproxy.settings.compile import Tools, compile_snapshot
from meshproxy.settings.validate import validate
from tests.e2e.harness.message import Message, Reader, TruncatedError
from tests.fakes import Client, Counts, FakeTransport, Stage

PLAIN = """
inbound: {app: http://127.0.0.1:8080, timeout: 5s}
trust: {forwarded_from: [192.0.2.0/24]}
"""
STRANGER, FRIEND = "203.0.113.9", "192.0.2.1"
"""Two peers: one that speaks for itself alone, one that the file trusts."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

# What is drawn anew for every request.
_DRAWN = re.compile(rb"(?<=\r\ntraceparent: )[^\r]+|(?<=\r\nx-request-id: )[0-9a-f-]{32,36}(?=\r)")


class Sidecar(Stage):
    """A stage whose routes, limits and policies are those of a file."""

    def __init__(self, file: str = PLAIN, peer: str = STRANGER) -> None:
        super().__init__()
        self.plan = compiled(file, self.counts, self.time.now)
        self.listener.plan = self.plan
        self.listener.peer = Peer(peer, self.plan.trusts(peer), own_block(peer))

    def converse(self, pieces: Iterable[bytes], *, at_once: bool = True) -> Talk:
        """One connection's bytes in these pieces; dials succeed `at_once` or after all of them."""
        client, origin = self.client(), Origin(self)
        for piece in pieces:
            if at_once or not client.transport.reading:
                origin.serve()
            if client.transport.closed or not client.transport.reading:
                break  # what it does not read by now, it will never read
            client.says(piece)
        origin.serve()
        talk = origin.seen(client)
        if not client.transport.closed:
            client.leaves()
        origin.leave()
        return talk


@dataclass(frozen=True)
class Talk:
    """What came of one client's bytes."""

    answers: tuple[Message, ...]
    closed: bool
    requests: tuple[Message, ...]
    cut: bytes
    dialled: int

    @property
    def verdict(self) -> tuple[Any, ...]:
        """What the client is told, and whether its connection goes on."""
        told = [(answer.status, answer.get("x-meshproxy-reason")) for answer in self.answers]
        return *told, self.closed

    @property
    def forwarded(self) -> tuple[tuple[bytes, bytes], ...]:
        """Heads and bodies as the origin got them, without what is drawn anew."""
        return tuple((_DRAWN.sub(b"-", one.head), one.body) for one in self.requests)


class Origin:
    """Accepts what is dialled, and answers every whole request."""

    def __init__(self, stage: Sidecar) -> None:
        self._stage = stage
        self._dialled = 0
        self._lines: list[_Line] = []

    def serve(self) -> None:
        """Accept and answer, until nothing more comes."""
        moved = True
        while moved:
            moved = bool(self._stage.dials)
            while self._stage.dials:
                self._dialled += 1
                self._lines.append(_Line(self._stage.connect()))
            for line in self._lines:
                moved |= line.serve(self._stage)

    def seen(self, client: Client) -> Talk:
        requests = tuple(one for line in self._lines for one in line.requests)
        return Talk(
            answers=tuple(_answers(client.hears(), [one.method for one in requests])),
            closed=client.transport.closed or client.transport.eof,
            requests=requests,
            cut=b"".join(line.rest for line in self._lines),
            dialled=self._dialled,
        )

    def leave(self) -> None:
        """End every connection, so that the next conversation dials its own."""
        for line in self._lines:
            if not line.transport.closed:
                self._stage.hang_up(line.transport)


class _Line:
    """One connection to the origin."""

    def __init__(self, transport: FakeTransport) -> None:
        self.transport = transport
        self.requests: list[Message] = []
        self.rest = b""

    def serve(self, stage: Sidecar) -> bool:
        """Read what is new; answer one request if it is whole. True if it was."""
        new = self.transport.take()
        if not new:
            return False
        self.rest += new
        if self._goes_on():
            return False
        reader = _reader(self.rest)
        try:
            request = reader.request()
        except TruncatedError:
            return False
        assert request is not None
        self.rest = reader.unread
        self.requests.append(request)
        if not self.transport.closed:
            stage.answer(self.transport, OK if request.method == "HEAD" else OK + b"ok")
        return True

    def _goes_on(self) -> bool:
        """Chunks without the last one: not read again and again for as long as they come."""
        coded = b"\r\ntransfer-encoding: chunked\r\n" in self.rest[:1000].lower()
        return coded and b"0\r\n\r\n" not in self.rest


def compiled(file: str, counts: Counts, now: float) -> Plan:
    """The inbound plan of a file."""
    tools = Tools(
        series=lambda *labels: counts,
        cluster_series=lambda upstream: counts,
        kinds=Kinds,
        random=random.Random(1),
        tell=lambda event, **fields: None,
    )
    settings = validate(file.encode(), "mesh.yaml", {})
    made = compile_snapshot(settings, Ledger().open(), tools, now, 1)
    made.adopt()
    return made.snapshot.plans["inbound"]


def bytewise(data: bytes) -> list[bytes]:
    """One byte per read."""
    return [data[i : i + 1] for i in range(len(data))]


def splits(data: bytes) -> Iterable[list[bytes]]:
    """Every way to cut the bytes into two reads."""
    return ([data[:at], data[at:]] for at in range(1, len(data)))


def _answers(data: bytes, methods: Sequence[str]) -> Iterable[Message]:
    """The answers to requests of these methods, then to those that went no further."""
    reader = _reader(data)
    asked = iter(methods)
    while not reader.ended():
        yield reader.response(next(asked, "GET"))


def _reader(*pieces: bytes) -> Reader:
    left: Sequence[bytes] = [piece for piece in pieces if piece]
    source = iter(left)
    return Reader(lambda: next(source, b""))
