"""Clients that do not move: ones that take nothing of what is written, ones that send too little.

Looked at by the sweep a few times each second, and never on the path of a request.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios

from meshproxy.core.exchange import Exchange

BODY_WINDOW = 10.0
"""Seconds over which the rate of a request body is taken."""


class Stalls:
    """What the sweep remembers of one client."""

    __slots__ = ("_pace", "_unsent")

    def __init__(self) -> None:
        self._pace: Pace | None = None
        self._unsent: Unsent | None = None

    def begin_body(self, exchange: Exchange, now: float) -> None:
        """From now on a body is on its way."""
        self._pace = Pace(exchange, now)

    def nothing_unsent(self) -> None:
        """All that was written has left."""
        self._unsent = None

    def takes_nothing(self, transport: asyncio.Transport, now: float, seconds: float) -> bool:
        """Whether nothing of what was written has left for so long; never, for 0.0."""
        if self._unsent is None:
            self._unsent = Unsent(now)
        return seconds > 0.0 and self._unsent.stuck(transport, now, seconds)

    def sends_too_slowly(self, exchange: Exchange, now: float, rate: float, *, held: bool) -> bool:
        """Whether its body comes below `rate`, unless it is we who do not read it (`held`)."""
        if self._pace is None or not rate:
            return False
        if held:
            self._pace.rest(exchange, now)
            return False
        return self._pace.too_slow(exchange, now, rate)


class Unsent:
    """Since when nothing has left of what a client was written."""

    __slots__ = ("_left", "_since")

    def __init__(self, now: float) -> None:
        self._left = -1
        self._since = now

    def stuck(self, transport: asyncio.Transport, now: float, seconds: float) -> bool:
        """Whether it has been that long."""
        left = transport.get_write_buffer_size() + _in_kernel(transport)
        if left != self._left:
            self._left, self._since = left, now
        return now - self._since >= seconds


class Pace:
    """How fast a request body comes, over windows in which nobody kept the client waiting."""

    __slots__ = ("_bytes", "_since")

    def __init__(self, exchange: Exchange, now: float) -> None:
        self.rest(exchange, now)

    def rest(self, exchange: Exchange, now: float) -> None:
        """Begin a new window here."""
        self._since, self._bytes = now, exchange.bytes_in

    def too_slow(self, exchange: Exchange, now: float, rate: float) -> bool:
        """Whether a whole window has passed with less than `rate` bytes per second."""
        took = now - self._since
        if took < BODY_WINDOW:
            return False
        came = exchange.bytes_in - self._bytes
        slow = came < rate * took and not (exchange.bytes_in == 0 and _waits(exchange))
        self.rest(exchange, now)
        return slow


def _waits(exchange: Exchange) -> bool:
    """Whether the client may be waiting for a 100 (RFC 9110 section 10.1.1)."""
    return any(line[:7].lower() == b"expect:" for line in exchange.lines)


def _in_kernel(transport: asyncio.Transport) -> int:
    """Bytes that the kernel has taken and the peer has not; 0 where nobody can tell."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is None or raw.fileno() < 0:
        return 0
    answer = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])
