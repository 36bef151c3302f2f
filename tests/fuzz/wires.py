"""A connection as uvloop shows it to a protocol, and the peer at its other end.

What comes while reading is paused waits, a full one calls `pause_writing` from within `write`,
and a connection is lost in a later turn than the one that closed it.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from meshproxy.core.exchange import Exchange
from meshproxy.dataplane import flow
from tests.fakes import FakeTransport

ONE_READ = 256 * 1024
"""What uvloop hands over at once to a protocol without a buffer of its own."""

MOST_UNSENT = flow.HIGH_WATER + ONE_READ + flow.READ
"""Bytes that may wait for one peer: what fills it, and what was under way."""


_NO_BUFFER = memoryview(b"")


class Surroundings(Protocol):
    """Where a wire says that something is to happen in a later turn, or has happened."""

    losing: deque[tuple[Wire, Exception | None]]
    ready: deque[Wire]
    latest: dict[Exchange, Wire]


class Wire(FakeTransport):
    """One connection as its protocol sees it; what the peer has sent waits in `inbox`."""

    def __init__(self, world: Surroundings, protocol: Any) -> None:
        super().__init__()
        self.world = world
        self.protocol = self.owner = protocol
        self.inbox: deque[bytes | None] = deque()
        self.said = bytearray()
        self.narrow = self.full = self.lost = self.left = self.ended = self.broken = False
        self.sends: list[tuple[Exchange, int, int]] = []

    def write(self, data: bytes) -> None:
        assert not self.eof, "written after write_eof"
        assert isinstance(data, (bytes, bytearray)), "not bytes"
        super().write(data)
        if self.narrow:
            self.unsent += len(data)
            assert self.unsent <= MOST_UNSENT, "goes on writing to a peer that does not read"
            if not self.full:
                self.full = True
                self.protocol.pause_writing()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if not self.full:
                self.world.losing.append((self, None))

    def abort(self) -> None:
        self.closed = self.aborted = True
        self.world.losing.append((self, None))

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        assert not self.closed, "paused when closing"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "resumed twice"
        assert not self.closed, "resumed when closing"
        self.reading = True
        self.world.ready.append(self)

    def sent(self, exchange: Exchange) -> None:
        """An attempt begins on this wire: remember what was said on either side before it."""
        self.world.latest[exchange] = self
        self.sends.append((exchange, len(self.said), len(self.written)))

    # ---- the peer

    def tell(self, data: bytes | None) -> None:
        """The peer sends bytes, or closes its sending side."""
        if self.left or self.lost:
            return
        if data is None:
            self.left = True
        self.inbox.append(data)
        self.world.ready.append(self)

    def deliver(self) -> bool:
        """Hand one read to the protocol, if it reads."""
        if not self.inbox or self.closed or not self.reading:
            return False
        data = self.inbox.popleft()
        if data is not None:
            self._receive(data)
        else:
            self.ended = True
            if not self.protocol.eof_received():
                self.close()
        return True

    def _receive(self, data: bytes) -> None:
        """One read: as much as there is, or as a buffered protocol has room for."""
        buffered = hasattr(self.protocol, "get_buffer")
        room = self.protocol.get_buffer(-1) if buffered else _NO_BUFFER
        size = len(room) or ONE_READ
        if size < len(data):
            self.inbox.appendleft(data[size:])
            data = data[:size]
        self.said += data
        if buffered:
            room[: len(data)] = data
            self.protocol.buffer_updated(len(data))
        else:
            self.protocol.data_received(data)

    def take_all(self) -> None:
        """The peer has read everything."""
        self.narrow = False
        self.unsent = 0
        if self.full:
            self.full = False
            if self.lost:
                return
            self.protocol.resume_writing()
            if self.closed:
                self.world.losing.append((self, None))

    def lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = self.closed = True
            self.broken = error is not None
            self.protocol.connection_lost(error)
