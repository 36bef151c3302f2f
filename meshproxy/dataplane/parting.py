"""How a client's connection is told to end: after this answer, when it is idle, or now.

The half of `downstream` that a listener calls when it closes or drains.
"""

from __future__ import annotations

import asyncio

from meshproxy.core.exchange import Exchange


class Parting(asyncio.Protocol):
    """What is known of a connection here is whether something is in flight."""

    __slots__ = ("_closing", "_current", "_transport", "busy_since")

    busy_since: float
    _transport: asyncio.Transport
    _current: Exchange | None
    _closing: bool

    def turn_away(self) -> None:
        """Close after what has been written; nothing that still comes is read."""
        self._closing = True
        self._transport.close()

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
