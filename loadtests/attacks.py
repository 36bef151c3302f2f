"""Clients that misbehave, many at a time: what each sends, how slowly, and what became of it.

`python -m loadtests.attacks NAME PORT COUNT SECONDS` prints `armed` once every connection is
open and has sent what comes first (where they open one by one, before the first does), and one
line of JSON at the end. It judges nothing.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

HEAD = b"GET %b HTTP/1.1\r\nhost: service.test\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nhost: service.test\r\n%b\r\n\r\n"
COUNTED = UPLOAD % b"content-length: 50000000"
CHUNKED = UPLOAD % b"transfer-encoding: chunked"


@dataclass(frozen=True, slots=True)
class Attack:
    """What one connection does: `first` at once, then `drip` every `every` seconds.

    `reads` is how many bytes it takes each time, None for all there is; `again` makes a new
    connection for each that was closed, after a `pause`; all are opened within `over` seconds.
    """

    first: bytes
    drip: bytes = b""
    every: float = 1.0
    reads: int | None = None
    again: bool = False
    receive_buffer: int = 0
    over: float = 0.0
    pause: float = 0.0


ATTACKS = {
    "slowloris": Attack(
        b"GET / HTTP/1.1\r\nhost: service.test\r\nx-slow: ", b"x", again=True, over=1.0
    ),
    "slow-read": Attack(HEAD % b"/big", every=1.0, reads=1024, receive_buffer=4096, over=1.0),
    "never-read": Attack(HEAD % b"/big", every=1.0, reads=0, receive_buffer=4096),
    "slow-upload": Attack(COUNTED, b"x" * 100, again=True, over=1.0),
    "idle": Attack(HEAD % b"/small"),
    "crowd": Attack(HEAD % b"/small"),
    "pipeline": Attack((HEAD % b"/small") * 10_000, every=0.2),
    "tiny-chunks": Attack(
        CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n", again=True, pause=0.05, every=0.2
    ),
    "extensions": Attack(
        CHUNKED + (b"1;" + b"e" * 200 + b"\r\nx\r\n") * 10_000, again=True, pause=0.05
    ),
    "request-trailers": Attack(
        CHUNKED + b"1\r\nx\r\n0\r\n" + b"x-trailer: yyyyyyyy\r\n" * 100_000 + b"\r\n",
        again=True,
        pause=0.05,
    ),
    "interim": Attack(HEAD % b"/interim", again=True),
    "trailers": Attack(HEAD % b"/trailers", again=True),
    "answer-chunks": Attack(HEAD % b"/chunks", every=0.2),
}


@dataclass(slots=True)
class Outcome:
    """What became of all connections together."""

    opened: int = 0
    refused: int = 0
    open: int = 0
    received: int = 0
    lives: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    silent: int = 0


PHASES = 20
"""Parts of `every` over which the connections take their turns, as strangers would."""


class Peer:
    """One connection of an attack."""

    __slots__ = ("answered", "born", "phase", "rest", "sock")

    def __init__(self, port: int, attack: Attack, phase: int) -> None:
        self.phase = phase
        self.sock = socket.socket()
        if attack.receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, attack.receive_buffer)
        self.sock.settimeout(5.0)
        try:
            self.sock.connect(("127.0.0.1", port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setblocking(False)
        self.born = time.monotonic()
        self.rest = memoryview(attack.first)
        self.answered = False

    def send(self, more: bytes) -> None:
        """As much as the socket takes; what comes first must be out before anything drips."""
        if self.rest:
            self.rest = self.rest[self.sock.send(self.rest) :]
        elif more:
            self.sock.send(more)


class Swarm:
    """All connections of one attack, driven by one loop."""

    def __init__(self, attack: Attack, port: int) -> None:
        self.outcome = Outcome()
        self._attack = attack
        self._port = port
        self._peers: set[Peer] = set()
        self._selector = selectors.DefaultSelector()

    def grow(self, count: int) -> None:
        """Open so many more connections."""
        for _ in range(count):
            time.sleep(self._attack.over / count if count > 1 else 0.0)
            try:
                peer = Peer(self._port, self._attack, self.outcome.opened % PHASES)
            except OSError:
                self.outcome.refused += 1
                continue
            self.outcome.opened += 1
            self._peers.add(peer)
            if self._attack.reads is None:
                self._selector.register(peer.sock, selectors.EVENT_READ, peer)
            self._send(peer, b"")

    def run(self, seconds: float) -> None:
        """Drip and read until the time is over; then leave."""
        ends = time.monotonic() + seconds
        step, turn = self._attack.every / PHASES, 0
        due = time.monotonic() + step
        while (now := time.monotonic()) < ends:
            for key, _ in self._selector.select(max(0.0, min(due, ends) - now)):
                self._receive(key.data, 1 << 18)
            if time.monotonic() >= due:
                due += step
                turn += 1
                self._turn(turn % PHASES)
        self.outcome.open = len(self._peers)
        for peer in self._peers:
            peer.sock.close()

    def _turn(self, phase: int) -> None:
        for peer in [one for one in self._peers if one.phase == phase]:
            if self._send(peer, self._attack.drip) and self._attack.reads:
                self._receive(peer, self._attack.reads)

    def _send(self, peer: Peer, more: bytes) -> bool:
        try:
            peer.send(more)
        except BlockingIOError:
            pass
        except OSError:
            # A reset leaves nothing to read, but a FIN may have an answer before it.
            self._receive(peer, 1 << 18)
            return peer in self._peers
        return True

    def _receive(self, peer: Peer, most: int) -> None:
        if peer not in self._peers:
            return
        try:
            data = peer.sock.recv(most)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.outcome.received += len(data)
        if data and not peer.answered:
            peer.answered = True
            self.outcome.statuses[data[9:12].decode("latin-1")] += 1
        if not data:
            self._gone(peer)

    def _gone(self, peer: Peer) -> None:
        self._peers.discard(peer)
        if self._attack.reads is None:
            self._selector.unregister(peer.sock)
        peer.sock.close()
        self.outcome.lives.append(time.monotonic() - peer.born)
        self.outcome.silent += not peer.answered
        if self._attack.again:
            time.sleep(self._attack.pause)
            self.grow(1)


def main(name: str, port: int, count: int, seconds: float) -> None:
    """Attack, and print what came of it."""
    attack = ATTACKS[name]
    swarm = Swarm(attack, port)
    if attack.over:
        print("armed", flush=True)
    swarm.grow(count)
    if not attack.over:
        print("armed", flush=True)
    swarm.run(seconds)
    one = swarm.outcome
    figures = {
        "opened": one.opened, "refused": one.refused, "open": one.open, "silent": one.silent,
        "received": one.received, "statuses": one.statuses, "lives": sorted(one.lives),
    }  # fmt: skip
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
