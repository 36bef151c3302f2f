"""How a client's connection is told to end: after this answer, when it is idle, or now.

The half of `downstream` that a listener calls when it closes or drains, or has to free memory.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshproxy.core.exchange import Exchange
from meshproxy.core.verdict import Refusal

if TYPE_CHECKING:
    from meshproxy.dataplane.listener import Listener


class Parting(asyncio.Protocol):
    """What is known of a connection here is whether something is in flight."""

    __slots__ = ("_backlog", "_closing", "_current", "_listener", "_transport", "busy_since")

    busy_since: float
    _backlog: bytes
    _listener: Listener
    _transport: asyncio.Transport
    _current: Exchange | None
    _closing: bool

    def turn_away(self) -> None:
        """Close after what has been written; nothing that still comes is read."""
        self._closing = True
        self._transport.close()

    @property
    def current(self) -> Exchange | None:
        """The exchange in flight."""
        return self._current

    @property
    def busy(self) -> bool:
        """Whether it waits for something of ours, or of an answer some is still to be sent."""
        return (
            self._current is not None
            or self.busy_since > 0.0
            or self._transport.get_write_buffer_size() > 0
        )

    def drain(self) -> None:
        """The answer in flight is the last; one that is idle may still ask once."""
        if self._current is not None:
            self._current.keep_alive = False

    def dismiss(self) -> None:
        """Close now if nothing is in flight; what is, has been told to be the last."""
        if self._current is None and not self.busy_since and not self._closing:
            self._transport.close()

    def cut_off(self) -> None:
        """The time is over, whatever is in flight; a tunnel's other end goes with it."""
        if self._current is not None:
            self._current.flag("DR")
        self._transport.abort()

    def holds(self) -> int:
        """Bytes that are kept for this client, in either direction."""
        size = len(self._backlog) + self._transport.get_write_buffer_size()
        current = self._current
        if current is not None:
            size += sum(map(len, current.body))
            if current.upstream is not None:
                size += current.upstream.unsent()
        return size

    def give_up(self, refusal: Refusal, now: float) -> None:
        """End it for what it holds: with an answer, where none has begun."""
        current = self._current
        if current is None or self._transport.get_write_buffer_size():
            if current is not None:
                current.flag(refusal.reason)
            self._transport.abort()
            return
        self.deafen()
        self._listener.conductor.unreadable(current, refusal, now)

    def deafen(self) -> None:
        """Read nothing more of this connection."""
        raise NotImplementedError
