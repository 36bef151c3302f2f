"""A clock, a timer and transports without a loop or a socket, and the stage they stand on.

`Stage` puts a real Downstream, Conductor, Pool and Upstream together; a test plays bytes in
on either side and reads the bytes that come out.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.route import Allowed, Cluster, Endpoint, Limits, Phases, Plan, Route
from meshproxy.core.verdict import Failure
from meshproxy.dataplane import heads
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.downstream import Downstream
from meshproxy.dataplane.kinds import Kinds
from meshproxy.dataplane.listener import own_block
from meshproxy.dataplane.pool import Pool
from meshproxy.dataplane.upstream import Upstream
from meshproxy.policies.contract import fields_read, gather


class FakeTimer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeTime:
    """A clock that moves when told, and fires what is due."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._due: list[tuple[float, int, FakeTimer, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float, callback: Callable[..., None], *args: Any) -> FakeTimer:
        timer = FakeTimer()
        heapq.heappush(self._due, (self.now + seconds, next(self._order), timer, callback, args))
        return timer

    def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            due, _, timer, callback, args = heapq.heappop(self._due)
            self.now = max(self.now, due)
            if not timer.cancelled:
                callback(*args)
        self.now = end

    @property
    def pending(self) -> int:
        return sum(1 for entry in self._due if not entry[2].cancelled)


class FakeTransport:
    """What a protocol asks of an asyncio.Transport, with the bytes kept."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.writes = 0
        self.closed = False
        self.aborted = False
        self.eof = False
        self.reading = True
        self.protocol: Any = None
        self.unsent = 0

    def write(self, data: bytes) -> None:
        assert not self.closed, "written after close"
        self.written += data
        self.writes += 1

    def writelines(self, pieces: Sequence[bytes]) -> None:
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        self.eof = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def receives(self, data: bytes) -> None:
        """The peer sends this: in one read, or in as many as the protocol's buffer needs."""
        if not hasattr(self.protocol, "get_buffer"):
            self.protocol.data_received(data)
            return
        while data and not self.closed:
            room = self.protocol.get_buffer(65536)
            count = min(len(room), len(data))
            room[:count] = data[:count]
            data = data[count:]
            self.protocol.buffer_updated(count)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int) -> None:
        assert high >= 0

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 4321) if name == "peername" else None

    def take(self) -> bytes:
        data = bytes(self.written)
        self.written.clear()
        return data


class Counts:
    """Series that only remember; of one row."""

    place = 0

    def __init__(self) -> None:
        self.under_way = [0]
        self.successes = 0
        self.results: list[str] = []
        self.done: list[Exchange] = []
        self.traced: list[Exchange] = []

    @property
    def series(self) -> Counts:
        return self

    @property
    def in_flight(self) -> int:
        return self.under_way[0]

    def ended(self, row: int, exchange: Exchange, now: float) -> None:
        self.done.append(exchange)

    def sampled(self, row: int, exchange: Exchange, now: float) -> None:
        self.traced.append(exchange)

    def attempted(self, result: str) -> None:
        self.results.append(result)


class ServerErrors:
    """A classifier: any failure, or a 5xx."""

    def failed(self, exchange: Exchange) -> bool:
        return exchange.failure is not None or exchange.status >= 500


class FirstAllowed:
    """A balancer without a mind of its own: the first endpoint that is allowed, untried first."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = endpoints

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        able = [endpoint for endpoint in self.endpoints if allowed(endpoint, now)]
        return next((e for e in able if e not in exchange.tried), able[0] if able else None)


class OneRoute:
    def __init__(self, route: Route) -> None:
        self.route = route

    def match(self, exchange: Exchange) -> Route:
        return self.route


class FakeListener:
    """Where a Downstream finds its plan."""

    def __init__(self, plan: Plan, conductor: Conductor, clock: FakeTime) -> None:
        self.plan = plan
        self.conductor = conductor
        self.clock = clock
        self.check = heads.request_check()
        self.draining = False
        self.peer = Peer("127.0.0.1", True, own_block("127.0.0.1"))

    def welcome(self, client: Downstream, address: str) -> Peer:
        return self.peer

    def farewell(self, client: Downstream, address: str) -> None:
        pass


class Stage:
    """One listener, one route, some endpoints; real protocols on fake transports."""

    def __init__(
        self,
        policies: Sequence[object] = (),
        endpoints: int = 1,
        limits: Limits | None = None,
        **route: Any,
    ) -> None:
        self.time = FakeTime()
        self.counts = Counts()
        self.endpoints = [
            Endpoint(f"10.0.0.{n}:80", f"10.0.0.{n}", 80) for n in range(1, endpoints + 1)
        ]
        self.logged: list[Exchange] = []
        self.dials: list[Upstream] = []
        self.connections: list[FakeTransport] = []
        pool = Pool(lambda upstream, seconds: self.dials.append(upstream), self.time)
        self.pool = pool
        self.conductor = Conductor(self.time, self.time.later, pool)
        self.conductor.record_by(lambda exchange, now: self.logged.append(exchange))
        pool.conductor = self.conductor
        cluster = Cluster("app", tuple(self.endpoints), self.counts)
        self.route = Route(
            name="default", direction="inbound", cluster=cluster, phases=gather(policies),
            pick=FirstAllowed(self.endpoints).pick, classifier=ServerErrors(), series=self.counts,
            **route,
        )  # fmt: skip
        unmatched = Route(
            name="__unmatched__", direction="inbound", cluster=None, phases=Phases(),
            pick=FirstAllowed(()).pick, classifier=ServerErrors(), series=self.counts,
        )  # fmt: skip
        self.plan = Plan(
            "inbound", "inbound", "127.0.0.1", 1, OneRoute(self.route), unmatched,
            Kinds(*fields_read(policies)), limits or Limits(), lambda address: True,
        )  # fmt: skip
        self.listener = FakeListener(self.plan, self.conductor, self.time)

    def client(self) -> Client:
        return Client(self)

    def connect(self) -> FakeTransport:
        """The oldest dial succeeds; returns the upstream's side."""
        upstream = self.dials.pop(0)
        transport = FakeTransport()
        transport.protocol = upstream
        upstream.connection_made(transport)  # type: ignore[arg-type]
        self.connections.append(transport)
        self.pool.dialled(upstream, None)
        return transport

    def refuse(self, failure: Failure = Failure.CONNECT) -> None:
        """The oldest dial fails."""
        self.pool.dialled(self.dials.pop(0), failure)

    def answer(self, transport: FakeTransport, data: bytes) -> None:
        """The upstream says something."""
        transport.receives(data)

    def hang_up(self, transport: FakeTransport, error: Exception | None = None) -> None:
        """The connection ends: in good order, or with an error."""
        transport.closed = True
        transport.protocol.connection_lost(error)


class Client:
    """A client's side of a connection."""

    def __init__(self, stage: Stage) -> None:
        self.transport = FakeTransport()
        self.protocol = Downstream(stage.listener)  # type: ignore[arg-type]
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]

    def says(self, data: bytes) -> None:
        self.transport.receives(data)

    def hears(self) -> bytes:
        return self.transport.take()

    def leaves(self) -> None:
        self.transport.closed = True
        self.transport.protocol.connection_lost(None)
