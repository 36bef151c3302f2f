"""The two HTTP ports of the control side: opened at start, moved when the file moves them.

Binds before anything changes, so that a taken port refuses a reload as a whole. aiohttp is
imported when the first port opens and not before.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshproxy.control.serving import Port
    from meshproxy.control.view import View

Place = tuple[str, int]
Bind = Callable[[str, int], socket.socket]


class Ports:
    """The metrics port and the admin port, by name."""

    __slots__ = ("_bind", "_open", "_places", "_view")

    def __init__(self, view: View, bind: Bind) -> None:
        self._view = view
        self._bind = bind
        self._open: dict[str, Port] = {}
        self._places: dict[str, Place] = {}

    def prepare(self, wanted: Mapping[str, Place]) -> dict[str, socket.socket]:
        """Bind what is new. Raises OSError that names the port, and leaves nothing open."""
        made: dict[str, socket.socket] = {}
        for name, place in wanted.items():
            if self._places.get(name) == place:
                continue
            try:
                made[name] = self._bind(*place)
            except OSError as error:
                for sock in made.values():
                    sock.close()
                detail = f"{name}.listen: cannot listen on {place[0]}:{place[1]}: {error.strerror}"
                raise OSError(detail) from error
        return made

    async def swap(self, made: Mapping[str, socket.socket]) -> None:
        """Serve on what was bound, then close what it replaces."""
        for name, sock in made.items():
            port = self._make(name)
            place: Place = sock.getsockname()[:2]
            await port.open(sock)
            old = self._open.get(name)
            self._open[name], self._places[name] = port, place
            if old is not None:
                await old.close()

    async def close(self) -> None:
        """Stop answering; after at most a second each."""
        while self._open:
            _, port = self._open.popitem()
            await port.close()

    def _make(self, name: str) -> Port:
        from meshproxy.control.serving import Port  # 100 ms, and only here

        if name == "metrics":
            from meshproxy.control.probes import metrics_application

            return Port(metrics_application(self._view))
        from meshproxy.control.admin import admin_application

        return Port(admin_application(self._view))
