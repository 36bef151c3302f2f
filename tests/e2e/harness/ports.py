"""Loopback ports: ones to listen on, ones that refuse, ones that swallow.

Ports are drawn below the kernel's ephemeral range, so that no outgoing connection of another
process can sit on one between the draw and its use. Of several processes that run tests side by
side each draws from ports of its own, for the same reason.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

Address = tuple[str, int]

LOOPBACK = "127.0.0.1"
FIRST, LAST = 12000, 30000
_PLACE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_OURS = range(FIRST + _PLACE, LAST, _PROCESSES)
_draw = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nothing listens on and that was not given out before."""
    for _ in range(200):
        port = _draw.choice(_OURS)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise RuntimeError("no free port was found in 200 draws")


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def closed_port() -> str:
    """An address that refuses every connection."""
    return f"{LOOPBACK}:{free_port()}"


class BlackHole:
    """A listening socket whose queue is full: a connection to it is neither made nor refused."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind((LOOPBACK, free_port()))
        self._listener.listen(0)
        self._fillers = [self._filler() for _ in range(4)]

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[BlackHole]:
        hole = cls()
        try:
            yield hole
        finally:
            hole.close()

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        for each in (*self._fillers, self._listener):
            each.close()

    def _filler(self) -> socket.socket:
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(self._listener.getsockname())
        return filler
