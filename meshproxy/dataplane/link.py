"""An upstream connection as a transport: held, let go, closed.

The half of `upstream` that knows of no exchange.
"""

from __future__ import annotations

import asyncio

from meshproxy.dataplane import flow


class Link(asyncio.Protocol):
    """What is known of a connection here is whether it is read from."""

    __slots__ = ("_held", "_transport")

    _held: bool
    _transport: asyncio.Transport

    def hold(self) -> None:
        self._held = True
        flow.hold(self._transport)

    def resume(self) -> None:
        self._held = False
        flow.release(self._transport)

    def unsent(self) -> int:
        """Bytes that its server has not taken yet."""
        return self._transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        """Close an idle connection; what its server did not take is of no use any more."""
        if self.unsent():
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.close()
