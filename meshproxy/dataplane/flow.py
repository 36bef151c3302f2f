"""Back-pressure between two transports, and what else both protocol shells need.

Hold the faster side while the slower one is full; write without copying what is large.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator

HIGH_WATER = 16 * 1024
"""Bytes a transport may have waiting to be sent before its source is held.

Whatever is below it leaves at the end of the loop's turn, which is cheaper than at once.
"""

UNSENT = 256 * 1024
"""Bytes that the kernel takes before it has sent what it took; it would take 3 MB for each reader,
however slow. What is under way to the peer, and so the throughput, is not bounded by it.
"""

READ = 112 * 1024
"""Bytes of a long body that are read at once: what a slow reader can make us hold.

The loop by itself reads up to 256 KiB: 257 KiB of memory per slow reader, now 120 at most. A 1 MiB
download costs 0.82 of Envoy's CPU, as before; by reads of 64 KiB, the size of a segment of the
loopback, it would be 1.3.
"""

SCANT = 4 * 1024
"""Bytes of a long body that are read at once where memory is used up."""

_buffer = memoryview(bytearray(READ))
_read_into = _buffer

COPY_LIMIT = 16 * 1024
"""Up to this many bytes are joined into one write; more are handed over as they are."""


def prepare(transport: asyncio.Transport) -> None:
    """Bound what a new connection may have waiting to be sent, here and in the kernel."""
    transport.set_write_buffer_limits(high=HIGH_WATER)
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # the peer may have left already
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def narrow(transport: asyncio.Transport) -> None:
    """Hold the source as soon as anything waits: what waits keeps the whole read it came in."""
    transport.set_write_buffer_limits(high=0)


def left_over(transport: asyncio.Transport) -> Iterator[bytes]:
    """What stands unread in the kernel when a connection is lost; 256 KiB of it at most."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    for _ in range(4):
        try:
            data = os.read(raw.fileno(), READ) if raw is not None else b""
        except OSError:
            return
        if not data:
            return
        yield data


def read_at_most(size: int) -> None:
    """From now on long bodies are read in pieces of so many bytes, SCANT at least, READ at most."""
    global _read_into  # one buffer for all, and so one size
    _read_into = _buffer[: min(READ, max(SCANT, size))]


class Bounded(asyncio.BufferedProtocol):
    """Reads for another protocol, READ bytes at a time at most, by way of one buffer for all."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._take = protocol.data_received
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]  # passed on
        self.connection_lost = protocol.connection_lost  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # the same for all
        return _read_into

    def buffer_updated(self, nbytes: int) -> None:
        self._take(bytes(_read_into[:nbytes]))


def bound(transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
    """From now on read for `protocol` in pieces of at most READ bytes.

    A change of protocol takes effect when reading starts anew.
    """
    reading = transport.is_reading() and not transport.is_closing()
    if reading:
        transport.pause_reading()
    transport.set_protocol(Bounded(protocol))
    if reading:
        transport.resume_reading()


def hold(transport: asyncio.Transport) -> None:
    """Stop reading, if it has not stopped and is not closing."""
    if not transport.is_closing() and transport.is_reading():
        transport.pause_reading()


def release(transport: asyncio.Transport) -> None:
    """Read again, if it had stopped and is not closing."""
    if not transport.is_closing() and not transport.is_reading():
        transport.resume_reading()


def write(transport: asyncio.Transport, pieces: list[bytes], size: int) -> None:
    """One write for small pieces, a gathered one for large: nothing large is copied."""
    if len(pieces) == 1:
        transport.write(pieces[0])
    elif size <= COPY_LIMIT:
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)


def reset(transport: asyncio.Transport) -> None:
    """Close so that the peer sees a reset: the only way to tell it that bytes are missing."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None and not transport.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
