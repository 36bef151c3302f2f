"""A listening socket and the clients that came through it.

Adopts the socket it is given and never closes it by itself; makes a Downstream for every
connection, as long as there are fewer than the plan allows.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from meshproxy.core.exchange import Peer
from meshproxy.core.route import Plan
from meshproxy.dataplane import heads
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.downstream import Downstream

BACKLOG = 4096

_FULL_BODY = (
    b'{"title":"Service Unavailable","status":503,"reason":"UO","rule":"limits.connections",'
    b'"detail":"as many clients are connected as limits.connections allows","retry_after":1}'
)
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"
    b"x-meshproxy-reason: UO\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_FULL_BODY), _FULL_BODY)
)
"""To a client for whom there is no room; nothing of its request is read."""


class Listener:
    """One address of the config: `plan` is replaced on reload, connections stay."""

    def __init__(
        self, sock: socket.socket, plan: Plan, conductor: Conductor, clock: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.conductor = conductor
        self.clock = clock
        self.check = heads.request_check()
        self.draining = False
        self.refused = 0
        self.clients: set[Downstream] = set()
        self._sock = sock
        self._server: asyncio.Server | None = None

    async def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to accept."""
        self._server = await loop.create_server(
            lambda: Downstream(self), sock=self._sock, backlog=BACKLOG
        )

    @property
    def is_open(self) -> bool:
        return self._server is not None and self._server.is_serving()

    def welcome(self, client: Downstream, address: str) -> Peer:
        """Count a new client in, and say who it is."""
        self.clients.add(client)
        if len(self.clients) > self.plan.limits.connections:
            self.refused += 1
            client.reply(FULL)
            client.turn_away()
        trusted = self.plan.trusts(address)
        return Peer(address, trusted, own_block(address))

    def farewell(self, client: Downstream) -> None:
        self.clients.discard(client)

    def sweep(self, now: float) -> None:
        """Let every client look at its own clock."""
        for client in tuple(self.clients):
            client.sweep(now)

    def drain(self) -> None:
        """Answer what is in flight with `connection: close`, and close what is idle."""
        self.draining = True
        for client in tuple(self.clients):
            client.drain()

    def close(self) -> None:
        """Stop accepting."""
        if self._server is not None:
            self._server.close()


def own_block(address: str) -> bytes:
    """The x-forwarded fields of a client that speaks for itself; the host follows."""
    lines = (f"x-forwarded-for: {address}", "x-forwarded-proto: http", "x-forwarded-host: ")
    return "\r\n".join(lines).encode()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, ready to be adopted. Raises OSError as the system words it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
