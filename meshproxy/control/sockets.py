"""The listening sockets of this process: bound, or inherited from the one that it follows.

What an upgrade in place needs from the start; the rest of it is `successor`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping
from contextlib import suppress

SOCKETS, READY = "MESHPROXY_SOCKETS", "MESHPROXY_READY"
"""Variables by which a new process is told what it inherits: sockets as fd=host:port, and the
end of a pipe that wants to hear that it is ready."""

Place = tuple[str, int]
Bind = Callable[[str, int], socket.socket]


class Sockets:
    """Every listening socket of this process: inherited, or bound by `bind`."""

    def __init__(self, bind: Bind, environment: MutableMapping[str, str]) -> None:
        self._bind = bind
        self._inherited: dict[Place, socket.socket] = {}
        self._made: list[tuple[Place, socket.socket]] = []
        for one in filter(None, environment.pop(SOCKETS, "").split(",")):
            number, _, address = one.partition("=")
            host, _, port = address.rpartition(":")
            os.set_inheritable(int(number), False)
            self._inherited[host, int(port)] = socket.socket(fileno=int(number))
        self._ready = int(environment.pop(READY, "-1"))
        if self._ready >= 0:
            os.set_inheritable(self._ready, False)

    def bind(self, host: str, port: int) -> socket.socket:
        """A socket that listens there. Raises OSError."""
        sock = self._inherited.pop((host, port), None) or self._bind(host, port)
        self._made = [one for one in self._made if one[1].fileno() >= 0]
        self._made.append(((host, port), sock))
        return sock

    def let_go(self) -> None:
        """The config is in force: close what it names no more."""
        while self._inherited:
            self._inherited.popitem()[1].close()

    def ready(self) -> None:
        """Tell whoever has started us, once."""
        number, self._ready = self._ready, -1
        if number >= 0:
            with suppress(OSError):  # it has given us up
                os.write(number, b"1")
            os.close(number)

    def open(self) -> list[tuple[Place, socket.socket]]:
        """Those that are not closed."""
        return [one for one in self._made if one[1].fileno() >= 0]
