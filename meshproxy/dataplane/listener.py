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
from meshproxy.dataplane.room import Room

BACKLOG = 4096

CROWD = 16
"""Clients for which one more connection is taken at a time."""
AT_ONCE = 128
"""Most connections that are taken at a time beyond the first; 4 ms of work."""

Bind = Callable[[str, int], socket.socket]
"""Makes a socket that listens on an address; raises OSError."""


def _full(rule: str, detail: str) -> bytes:
    """To a client for whom there is no room; nothing of its request is read."""
    body = (
        '{"title":"Service Unavailable","status":503,"reason":"UO",'
        f'"rule":"{rule}","detail":"{detail}","retry_after":1}}'
    )
    return (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"
        "x-meshproxy-reason: UO\r\nretry-after: 1\r\nconnection: close\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()


FULL = _full("limits.connections", "as many clients are connected as there is room for")
TOO_MANY = _full(
    "limits.connections_per_client", "this client has as many connections as one may have"
)
SHUT = _full("overload.memory", "this proxy is short of memory")


class Listener:
    """One address of the config: `plan` is replaced on reload, connections stay."""

    def __init__(
        self,
        sock: socket.socket,
        plan: Plan,
        conductor: Conductor,
        clock: Callable[[], float],
        room: Room,
        tell: Callable[..., None],
    ) -> None:
        self.plan = plan
        self._room = room
        self._tell = tell
        self.conductor = conductor
        self.clock = clock
        self.check = heads.request_check()
        self.draining = False
        self.refused = 0
        self.clients: set[Downstream] = set()
        self._unswept: list[Downstream] = []
        self._share = 1
        self._sock = sock
        self._server: asyncio.Server | None = None
        self._arriving: set[asyncio.Task[object]] = set()

    async def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to accept."""
        self._sock.setblocking(False)  # whoever made it: `_take_along` must never wait
        self._server = await loop.create_server(self._arrived, sock=self._sock, backlog=BACKLOG)

    def _arrived(self) -> Downstream:
        """One has been taken; in a crowd, those who wait behind it are taken along.

        libuv takes one connection per turn of the loop, and a turn that thousands of busy clients
        fill lasts 50 ms and more: newcomers would wait for minutes while the others are served.
        The more clients there are, the longer a turn is and the more are taken. Where there are
        few, nobody waits and nothing more is asked for; and of several workers none takes a burst
        that another one could have shared.
        """
        for _ in range(min(len(self.clients) // CROWD, AT_ONCE)):
            if not self._take_along():
                break
        return Downstream(self)

    def _take_along(self) -> bool:
        """Accept one more; False where nobody waits, or a descriptor is missing for now."""
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return False
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        task: asyncio.Task[object] = loop.create_task(
            loop.connect_accepted_socket(lambda: Downstream(self), sock)
        )
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)
        return True

    @property
    def is_open(self) -> bool:
        return self._server is not None and self._server.is_serving()

    def welcome(self, client: Downstream, address: str) -> Peer:
        """Count a new client in, and say who it is."""
        self.clients.add(client)
        limits, room = self.plan.limits, self._room
        its_own = room.enter(address)
        if room.clients > min(limits.connections, room.most):
            self._turn_away(client, FULL, "limits.connections")
        elif room.shut:
            self._turn_away(client, SHUT, "overload.memory")
        elif 0 < limits.connections_per_client < its_own:
            self._turn_away(client, TOO_MANY, "limits.connections_per_client")
        trusted = self.plan.trusts(address)
        return Peer(address, trusted, own_block(address))

    def farewell(self, client: Downstream, address: str) -> None:
        self.clients.discard(client)
        self._room.leave(address)

    def _turn_away(self, client: Downstream, answer: bytes, limit: str) -> None:
        self.refused += 1
        client.reply(answer)
        client.turn_away()
        self._tell(
            "connections_full",
            level="warning",
            once_per=1.0,
            listener=self.plan.key,
            limit=limit,
        )

    def sweep(self, now: float, turns: int) -> None:
        """Let the next of the clients look at their own clocks."""
        if not self._unswept:
            self._unswept = list(self.clients)
            self._share = -(-len(self._unswept) // turns)
        for client in self._unswept[-self._share :]:
            if client in self.clients:
                client.sweep(now)
        del self._unswept[-self._share :]

    def drain(self) -> None:
        """Answer with `connection: close` from now on, and go on accepting."""
        self.draining = True
        for client in tuple(self.clients):
            client.drain()

    def dismiss(self) -> None:
        """Stop accepting, and close what is idle."""
        self.close()
        for client in tuple(self.clients):
            client.dismiss()

    def cut_off(self) -> None:
        """Close whatever is left."""
        self.close()
        for client in tuple(self.clients):
            client.cut_off()

    @property
    def busy(self) -> int:
        """Clients that wait for something."""
        return sum(client.busy for client in self.clients)

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
