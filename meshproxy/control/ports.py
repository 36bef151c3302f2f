"""The two HTTP ports of the control side: opened at start, moved when the file moves them.

Binds before anything changes, so that a taken port refuses a reload as a whole. aiohttp is
imported when the first port opens and not before.
"""

from __future__ import annotations

import asyncio
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

    __slots__ = ("_bind", "_closing", "_open", "_places", "_view", "_wanted")

    def __init__(self, view: View, bind: Bind) -> None:
        self._view = view
        self._bind = bind
        self._open: dict[str, Port] = {}
        self._places: dict[str, Place] = {}
        self._wanted: Mapping[str, Place] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def prepare(self, wanted: Mapping[str, Place]) -> dict[str, socket.socket]:
        """Bind what is new. Raises OSError that names the port, and leaves nothing open."""
        made: dict[str, socket.socket] = {}
        self._wanted = wanted
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
        """Serve on what the latest `prepare` bound, and close what it replaces."""
        for name, sock in made.items():
            port = self._make(name)
            await port.open(sock)
            old = self._open.get(name)
            # As the file has it: `localhost` and port 0 are something else to the socket.
            self._open[name], self._places[name] = port, self._wanted[name]
            if old is not None:
                # Not waited for: the question that led here may be one of those it answers.
                self._closing.add(task := asyncio.create_task(old.close()))
                task.add_done_callback(self._closing.discard)

    def deafen(self) -> None:
        """Accept no more; who is here is answered."""
        for port in self._open.values():
            port.deafen()

    async def close(self) -> None:
        """Stop answering; after at most a second each."""
        while self._open:
            _, port = self._open.popitem()
            await port.close()
        await asyncio.gather(*self._closing)

    def _make(self, name: str) -> Port:
        from meshproxy.control.serving import Port  # 100 ms, and only here

        if name == "metrics":
            from meshproxy.control.probes import metrics_application

            return Port(metrics_application(self._view), self._view.bugs.caught)
        from meshproxy.control.admin import admin_application

        return Port(admin_application(self._view), self._view.bugs.caught)
