"""A sidecar without sockets, whose time is a number: a minute of traffic takes a second.

The file, its compiler, the listeners, the conductor, the pool and every policy are the real
ones. What is not: transports, and upstreams, which are small models of servers.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from meshproxy.core.exchange import Exchange
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Snapshot
from meshproxy.core.verdict import Failure
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.downstream import Downstream
from meshproxy.dataplane.kinds import Kinds
from meshproxy.dataplane.listener import Listener
from meshproxy.dataplane.pool import Pool
from meshproxy.dataplane.room import Room
from meshproxy.dataplane.upstream import Upstream
from meshproxy.settings.compile import Tools, compile_snapshot
from meshproxy.settings.validate import validate
from meshproxy.telemetry.access_log import AccessLog
from tests.fakes import Client, Counts, FakeTransport
from tests.fuzz.world import LeapingTime

GET = b"GET / HTTP/1.1\r\nHost: service\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: service\r\nContent-Length: 0\r\n\r\n"
_SWEEP_EVERY = 0.25

Served = Callable[["Wire"], None]
"""Called with the connection on which one more whole request has come."""


def answer(status: int = 200, body: bytes = b"fine") -> bytes:
    return b"HTTP/1.1 %d Fine\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


class Line(FakeTransport):
    """A connection that is lost a turn after it was closed, as in a loop."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        self._lost = False

    def close(self) -> None:
        super().close()
        self.site.time.later(0.0, self._lose)

    def abort(self) -> None:
        super().abort()
        self.site.time.later(0.0, self._lose)

    def hangs_up(self) -> None:
        """The other side has closed it."""
        self.closed = True
        self._lose()

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self.protocol.connection_lost(None)


class Caller(Client):
    """A client's side of a connection."""

    def __init__(self, site: Site) -> None:
        self.transport = Line(site)
        self.protocol = Downstream(site.listener)
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]

    def leaves(self) -> None:
        self.transport.hangs_up()


class Wire(Line):
    """The upstream's side of a connection; requests on it have no body."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.request = b""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.written.endswith(b"\r\n\r\n"):
            self.request = self.take()
            self.site.delivered += 1
            self.site.upstream(self)

    def says(self, data: bytes) -> None:
        """The upstream answers, unless nobody is there any more."""
        if not self.closed:
            self.receives(data)

    def breaks_off(self) -> None:
        """The upstream begins to answer, and its connection is gone."""
        self.says(b"HTTP/1.1 200 Fine\r\nContent-Length: 100\r\n\r\nhalf")
        self.hangs_up()


class Site:
    """One sidecar that runs `text`, and the model that all of its endpoints are."""

    def __init__(self, text: str, upstream: Served | None = None, plan: str = "inbound") -> None:
        self.time = LeapingTime()
        self.wall = 1_700_000_000.0
        self.upstream = upstream or self.at_once(answer())
        self.refusing = False
        self.delivered = 0
        self.wires: list[Wire] = []
        self.counts: list[Counts] = []
        self.ended: list[tuple[Exchange, float]] = []
        self.lines: list[Mapping[str, Any]] = []
        self.told: list[tuple[float, str, dict[str, Any]]] = []
        self.text = text
        self._plan = plan
        self._ledger = Ledger()
        self._random = random.Random(1)
        self.pool = Pool(self._dial, self.time)
        self.conductor = Conductor(self.time, self.time.later, self.pool)
        self.pool.conductor = self.conductor
        self.snapshot = self._compiled(text)
        self.listener = Listener(
            cast(Any, None), self.snapshot.plans[plan], self.conductor, self.time,
            Room(1 << 30), self._tell,
        )  # fmt: skip
        self.time.later(_SWEEP_EVERY, self._sweep)

    def reload(self, text: str) -> None:
        """Another file, over the same memory of traffic."""
        self.snapshot = self._compiled(text)
        self.listener.plan = self.snapshot.plans[self._plan]

    def client(self) -> Caller:
        return Caller(self)

    def ask(self, data: bytes = GET) -> Caller:
        """A request on a connection of its own."""
        client = self.client()
        client.says(data)
        return client

    def at_once(self, data: bytes) -> Served:
        """The model of a server that takes no time."""
        return lambda wire: cast(None, self.time.later(0.0, wire.says, data))

    def turns(self, event: str) -> list[tuple[float, str, str]]:
        """When, from and to, of each such line of the log."""
        return [
            (at, fields["from"], fields["to"]) for at, name, fields in self.told if name == event
        ]

    def _compiled(self, text: str) -> Snapshot:
        settings = validate(f"version: 1\n{text}".encode(), "f.yaml", {})
        access = AccessLog(self.lines.append, self._random.random, lambda: self.wall)
        access.configure(settings.file.logs)

        def record(exchange: Exchange, now: float) -> None:
            self.ended.append((exchange, now))
            access.record(exchange, now)

        self.conductor.record_by(record)
        tools = Tools(
            series=lambda *labels: self._counts(),
            cluster_series=lambda upstream: self._counts(),
            kinds=Kinds,
            random=self._random,
            tell=self._tell,
        )
        draft = self._ledger.open()
        compiled = compile_snapshot(settings, draft, tools, self.time(), 1)
        compiled.adopt()
        self._ledger.keep(draft)
        return compiled.snapshot

    def _counts(self) -> Any:
        made = Counts()
        self.counts.append(made)
        return made

    def cells(self) -> list[Any]:
        """What the policies remember."""
        return [cell for _, cell in self._ledger.cells()]

    def _tell(self, event: str, **fields: object) -> None:
        self.told.append((self.time.now, event, dict(fields)))

    def _dial(self, upstream: Upstream, seconds: float) -> None:
        self.time.later(0.0, self._connect, upstream)

    def _connect(self, upstream: Upstream) -> None:
        if self.refusing:
            self.pool.dialled(upstream, Failure.CONNECT)
            return
        wire = Wire(self)
        self.wires.append(wire)
        wire.protocol = upstream
        upstream.connection_made(wire)  # type: ignore[arg-type]
        self.pool.dialled(upstream, None)

    def _sweep(self) -> None:
        self.pool.sweep(self.time.now)
        self.listener.sweep(self.time.now, 1)
        self.time.later(_SWEEP_EVERY, self._sweep)


class Server:
    """A model with a capacity: `places` at once, `takes` seconds each, the rest in line.

    It does not notice that a client has left, and does the work for nobody.
    """

    def __init__(self, site: Site, places: int, takes: float) -> None:
        self._site = site
        self._places = places
        self._takes = takes
        self._busy = 0
        self._waiting: deque[Wire] = deque()

    def __call__(self, wire: Wire) -> None:
        if self._busy >= self._places:
            self._waiting.append(wire)
            return
        self._busy += 1
        self._site.time.later(self._takes, self._done, wire)

    def _done(self, wire: Wire) -> None:
        self._busy -= 1
        wire.says(answer())
        if self._waiting:
            self(self._waiting.popleft())


def heard(client: Client) -> list[int]:
    """The statuses of the answers that a client got since it was last asked."""
    return [int(part[:3]) for part in client.hears().split(b"HTTP/1.1 ")[1:]]
