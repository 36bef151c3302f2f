"""Two transports joined: what one side says goes to the other, byte for byte, until both end.

After a 101 to a WebSocket upgrade or a 200 to CONNECT nothing is parsed any more. Back-pressure,
half-closed connections and resets pass through; the exchange lives as long as the tunnel, and
only silence for longer than the idle timeout ends it from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from meshproxy.core.exchange import Exchange
from meshproxy.dataplane import flow

if TYPE_CHECKING:
    from meshproxy.dataplane.conductor import Conductor


class Tunnel:
    """Plays the upstream's part of its exchange once both sides have agreed on it."""

    __slots__ = ("_clock", "_conductor", "_ends", "_exchange")

    def __init__(
        self, exchange: Exchange, conductor: Conductor, clock: Callable[[], float]
    ) -> None:
        self._exchange = exchange
        self._conductor = conductor
        self._clock = clock
        self._ends: list[End] = []

    def end(self, transport: asyncio.Transport, left: Callable[[], None]) -> End:
        """One end, made of a transport; `left` is called when its connection is gone."""
        end = End(self, transport, left)
        self._ends.append(end)
        return end

    def join(self, upwards: bytes, downwards: bytes) -> None:
        """Both ends are here: pass on what each side had said early, and let them talk."""
        down, up = self._ends
        down.other, up.other = up.transport, down.transport
        self._exchange.upstream = self
        for end, early in ((down, upwards), (up, downwards)):
            flow.narrow(end.transport)
            flow.bound(end.transport, end)
            if early:
                end.data_received(early)
            flow.release(end.transport)

    def unsent(self) -> int:
        """Bytes that are held for either side."""
        return sum(end.transport.get_write_buffer_size() for end in self._ends)

    def count(self, end: End, size: int) -> None:
        """So much came out of this end; for the log, and as a sign of life."""
        if end is self._ends[0]:
            self._exchange.bytes_in += size
        else:
            self._exchange.bytes_out += size

    def finished(self) -> None:
        """One side has said its last; when both have, there is nothing left to carry."""
        if all(end.eof for end in self._ends):
            for end in self._ends:
                end.transport.close()

    def lost(self, end: End, exc: Exception | None) -> None:
        """A connection is gone: the other goes the same way, after what is still to be sent.

        Until it has gone too the exchange is watched: who takes nothing more is silent.
        """
        exchange = self._exchange
        end.gone = True
        if exc is not None and not exchange.concluded:
            exchange.flag("DC" if end is self._ends[0] else "UC")
        for other in self._ends:
            if not (other.gone or other.transport.is_closing()):
                if exc is None:
                    other.transport.close()
                else:
                    flow.reset(other.transport)
        if all(each.gone for each in self._ends):
            self._conductor.conclude(exchange, self._clock())

    # ---- what a conductor asks of an upstream

    def drop(self) -> None:
        """Silence for too long, or the end of the process."""
        for end in self._ends:
            end.transport.abort()

    def is_stream(self) -> bool:
        return True


class End(asyncio.Protocol):
    """One side of a tunnel."""

    __slots__ = ("_left", "_tunnel", "eof", "gone", "other", "transport")

    def __init__(
        self, tunnel: Tunnel, transport: asyncio.Transport, left: Callable[[], None]
    ) -> None:
        self.transport = transport
        self.other: asyncio.Transport = None  # type: ignore[assignment]  # until joined
        self.eof = False
        self.gone = False
        self._tunnel = tunnel
        self._left = left

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._tunnel.count(self, len(data))
        if not self.other.is_closing():
            self.other.write(data)

    def eof_received(self) -> bool:
        """Half-closed: the other side may still have something to say."""
        self.eof = True
        if not self.other.is_closing() and self.other.can_write_eof():
            self.other.write_eof()
        self._tunnel.finished()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._left()
        self._tunnel.lost(self, exc)

    def pause_writing(self) -> None:
        flow.hold(self.other)

    def resume_writing(self) -> None:
        flow.release(self.other)
