"""Back-pressure between two transports, and what else both protocol shells need.

Hold the faster side while the slower one is full; write without copying what is large.
"""

from __future__ import annotations

import asyncio
import socket
import struct

HIGH_WATER = 64 * 1024
"""Bytes a transport may have waiting to be sent before its source is held."""

COPY_LIMIT = 16 * 1024
"""Up to this many bytes are joined into one write; more are handed over as they are."""


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
