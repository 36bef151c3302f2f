"""One sidecar without sockets: a compiled file with every policy on, and wires to pull.

A wire does what uvloop's transports do as seen from a protocol: what comes while reading is
paused waits, a full one calls `pause_writing` from within `write`, and a connection is lost in
a later turn than the one that closed it.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from functools import cache
from typing import Any

from meshproxy.core.exchange import Exchange
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Endpoint, Snapshot
from meshproxy.core.verdict import Failure
from meshproxy.dataplane import flow
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.downstream import Downstream
from meshproxy.dataplane.kinds import Kinds
from meshproxy.dataplane.listener import Listener
from meshproxy.dataplane.pool import Pool
from meshproxy.dataplane.room import Room
from meshproxy.dataplane.upstream import Upstream
from meshproxy.settings.compile import Tools, compile_snapshot
from meshproxy.settings.validate import Settings, validate
from meshproxy.telemetry.access_log import AccessLog
from meshproxy.telemetry.metrics import Telemetry
from tests.fakes import FakeTime, FakeTransport

FILE = b"""
service: {name: fuzz}
inbound:
  listen: 127.0.0.1:15006
  app: 10.0.0.1:80
  timeout: 5s
  idle_timeout: 4s
  concurrency: {max: 1, queue: 2, queue_timeout: 500ms}
  rate_limits:
    - {limit: 50/s, burst: 20}
    - name: each
      limit: 60/m
      burst: 6
      per: [header:x-key, ip]
      keys: 16
      tiers: {header: x-tier, gold: {limit: 100/s, burst: 20}}
  routes:
    - {match: GET /stream/*, timeout: off, idle_timeout: 3s, concurrency: off}
    - {match: PUT /x, timeout: off, idle_timeout: 13s}
    - match: POST /orders
      rate_limits: [{name: few, limit: 100/m, algorithm: sliding_window}]
outbound:
  listen: 127.0.0.1:15001
  unknown_hosts: {allow: ["*.example"]}
  connect: {allow: ["a:80", "*.example:443"]}
  defaults:
    timeout: 6s
    idle_timeout: 5s
    connect_timeout: 1s
    retry:
      attempts: 2
      when: [connect-failure, reset, 502, 503, 504]
      per_try_timeout: 800ms
      backoff: {base: 10ms, max: 50ms}
      budget: {ratio: 100%, min_per_second: 100}
    circuit_breaker: {consecutive_failures: 6, open_for: 1s, max_open_for: 2s}
  services:
    a:
      hosts: [a, a.example]
      endpoints: [10.0.1.1:80, 10.0.1.2:80]
    b:
      hosts: [b, c]
      prefix: /b
      endpoints: [10.0.2.1:80, {address: 10.0.2.2:80, weight: 2}]
      load_balancer: round_robin
      routes: [{match: GET /slow/*, timeout: off, retry: off}]
    d:
      endpoints: [10.0.3.1:80, 10.0.3.2:80]
      load_balancer: random
      retry: {attempts: 1, backoff: {base: 50ms, max: 1s, jitter: none}}
tracing: {propagate: [tracecontext, b3, b3multi], sample: 50%}
limits:
  {header_bytes: 4KiB, headers: 40, uri_bytes: 1KiB, head_timeout: 3s, keep_alive: 6s,
   write_timeout: 4s, connections_per_client: 3}
trust: {forwarded_from: [127.0.0.0/8], hops: 1}
logs: {access: {sample: 100%}}
"""

PLANS = ("inbound", "outbound")
MOST_TURNS = 1000

ONE_READ = 256 * 1024
"""What uvloop hands over at once to a protocol without a buffer of its own."""

MOST_UNSENT = flow.HIGH_WATER + ONE_READ + flow.READ
"""Bytes that may wait for one peer: what fills it, and what was under way."""


_NO_BUFFER = memoryview(b"")


class HungError(AssertionError):
    """The proxy goes on and on without being told anything."""


class LeapingTime(FakeTime):
    """Time that jumps: all that was due fires late, as after a stall of the loop."""

    def leap(self, seconds: float) -> None:
        self.now += seconds
        ready = []
        while self._due and self._due[0][0] <= self.now:
            ready.append(heapq.heappop(self._due))
        for _, _, timer, callback, args in ready:
            if not timer.cancelled:
                callback(*args)


class Wire(FakeTransport):
    """One connection as its protocol sees it; what the peer has sent waits in `inbox`."""

    def __init__(self, world: World, protocol: Any) -> None:
        super().__init__()
        self.world = world
        self.protocol = self.owner = protocol
        self.inbox: deque[bytes | None] = deque()
        self.said = bytearray()
        self.narrow = self.full = self.lost = self.left = self.ended = self.broken = False
        self.sends: list[tuple[Exchange, int, int]] = []

    def write(self, data: bytes) -> None:
        assert not self.eof, "written after write_eof"
        assert isinstance(data, (bytes, bytearray)), "not bytes"
        super().write(data)
        if self.narrow:
            self.unsent += len(data)
            assert self.unsent <= MOST_UNSENT, "goes on writing to a peer that does not read"
            if not self.full:
                self.full = True
                self.protocol.pause_writing()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if not self.full:
                self.world.losing.append((self, None))

    def abort(self) -> None:
        self.closed = self.aborted = True
        self.world.losing.append((self, None))

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        assert not self.closed, "paused when closing"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "resumed twice"
        assert not self.closed, "resumed when closing"
        self.reading = True
        self.world.ready.append(self)

    def sent(self, exchange: Exchange) -> None:
        """An attempt begins on this wire: remember what was said on either side before it."""
        self.world.latest[exchange] = self
        self.sends.append((exchange, len(self.said), len(self.written)))

    # ---- the peer

    def tell(self, data: bytes | None) -> None:
        """The peer sends bytes, or closes its sending side."""
        if self.left or self.lost:
            return
        if data is None:
            self.left = True
        self.inbox.append(data)
        self.world.ready.append(self)

    def deliver(self) -> bool:
        """Hand one read to the protocol, if it reads."""
        if not self.inbox or self.closed or not self.reading:
            return False
        data = self.inbox.popleft()
        if data is not None:
            self._receive(data)
        else:
            self.ended = True
            if not self.protocol.eof_received():
                self.close()
        return True

    def _receive(self, data: bytes) -> None:
        """One read: as much as there is, or as a buffered protocol has room for."""
        buffered = hasattr(self.protocol, "get_buffer")
        room = self.protocol.get_buffer(-1) if buffered else _NO_BUFFER
        size = len(room) or ONE_READ
        if size < len(data):
            self.inbox.appendleft(data[size:])
            data = data[:size]
        self.said += data
        if buffered:
            room[: len(data)] = data
            self.protocol.buffer_updated(len(data))
        else:
            self.protocol.data_received(data)

    def take_all(self) -> None:
        """The peer has read everything."""
        self.narrow = False
        self.unsent = 0
        if self.full:
            self.full = False
            if self.lost:
                return
            self.protocol.resume_writing()
            if self.closed:
                self.world.losing.append((self, None))

    def lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = self.closed = True
            self.broken = error is not None
            self.protocol.connection_lost(error)


class Watched(Conductor):
    """Remembers which exchanges began."""

    __slots__ = ("begun",)

    def begin(self, exchange: Exchange, now: float) -> None:
        self.begun.append(exchange)
        super().begin(exchange, now)


class Sender(Upstream):
    """Tells its wire of each attempt."""

    __slots__ = ()

    def send(self, exchange: Exchange) -> None:
        self._transport.sent(exchange)  # type: ignore[attr-defined]
        super().send(exchange)

    def connect(self, exchange: Exchange) -> None:
        self._transport.sent(exchange)  # type: ignore[attr-defined]
        super().connect(exchange)


class World:
    """Listeners, pool and conductor of one file; serves any number of scripts in turn."""

    def __init__(self, seed: int = 0) -> None:
        self.time = LeapingTime()
        self.log: list[dict[str, Any]] = []
        self.ended: list[Exchange] = []
        self.blamed: list[Exchange] = []
        self.telemetry = Telemetry()
        self._seed = seed
        self._ledger = Ledger()
        self.snapshot = self._loaded(1)
        self._next: Snapshot | None = None
        pool = Pool(self._dial, self.time)
        pool.conductor = Watched(self.time, self.time.later, pool)
        self.pool = pool
        self.conductor = pool.conductor
        self.conductor.begun = self.begun = []  # type: ignore[attr-defined]
        room = Room(1000)
        self.listeners = [
            Listener(None, self.snapshot.plans[name], pool.conductor, self.time, room, _tell)  # type: ignore[arg-type]
            for name in PLANS
        ]
        self.losing: deque[tuple[Wire, Exception | None]] = deque()
        self.ready: deque[Wire] = deque()
        self.dials: list[Upstream] = []
        self.clients: list[Wire] = []
        self.wires: list[Wire] = []
        self.latest: dict[Exchange, Wire] = {}

    def _loaded(self, generation: int) -> Snapshot:
        """Compile the file and adopt it, as a start or a reload does."""
        rng = random.Random(self._seed + generation)
        access = AccessLog(self.log.append, rng.random, lambda: 0.0)
        settings = _settings()
        access.configure(settings.file.logs)

        def record(exchange: Exchange, now: float) -> None:
            self.ended.append(exchange)
            wire = exchange.client._transport
            if exchange.failure is Failure.CLIENT_STALLED and not wire.reading:
                self.blamed.append(exchange)
            access.record(exchange, now)

        tools = Tools(
            series=self.telemetry.series,
            cluster_series=self.telemetry.cluster_series,
            kinds=Kinds,
            record=record,
            random=rng,
            tell=_tell,
        )
        draft = self._ledger.open()
        compiled = compile_snapshot(settings, draft, tools, self.time(), generation)
        compiled.adopt()
        self._ledger.keep(draft)
        return compiled.snapshot

    def reload(self) -> None:
        """The same file again: other plans and routes, the same memory of traffic."""
        following = self._next or self._loaded(2)
        self.snapshot, self._next = following, self.snapshot
        for name, listener in zip(PLANS, self.listeners, strict=True):
            listener.plan = self.snapshot.plans[name]

    @property
    def endpoints(self) -> list[Endpoint]:
        return [one for cluster in self.snapshot.clusters for one in cluster.endpoints]

    # ---- connections

    def join(self, plan: int) -> Wire:
        """A client connects to one of the listeners."""
        client = Downstream(self.listeners[plan])
        wire = Wire(self, client)
        client.connection_made(wire)  # type: ignore[arg-type]
        self.clients.append(wire)
        return wire

    def _dial(self, upstream: Upstream, seconds: float) -> None:
        upstream.__class__ = Sender
        self.dials.append(upstream)
        if seconds:
            self.time.later(seconds, self._give_up, upstream)

    def _give_up(self, upstream: Upstream) -> None:
        if upstream in self.dials:
            self.dials.remove(upstream)
            self.pool.dialled(upstream, Failure.CONNECT_TIMEOUT)

    def connect(self) -> Wire:
        """The oldest dial succeeds."""
        upstream = self.dials.pop(0)
        wire = Wire(self, upstream)
        upstream.connection_made(wire)  # type: ignore[arg-type]
        self.wires.append(wire)
        self.pool.dialled(upstream, None)
        return wire

    def refuse(self) -> None:
        """The oldest dial fails, or leads where a client of its own choice must not go."""
        upstream = self.dials.pop(0)
        failure = Failure.CONNECT
        if upstream.endpoint.guard is not None:
            failure, upstream.endpoint.why_not = Failure.FORBIDDEN, "a closed address"
        self.pool.dialled(upstream, failure)

    # ---- turns of the loop

    @property
    def at_rest(self) -> bool:
        """Whether no connection is left."""
        return all(wire.lost for wire in self.clients) and all(wire.lost for wire in self.wires)

    def turn(self) -> None:
        """Let everything happen that needs no further word from outside."""
        for _ in range(MOST_TURNS):
            if self.losing:
                wire, error = self.losing.popleft()
                wire.lose(error)
            elif self.ready:
                wire = self.ready.popleft()
                if wire.deliver():
                    self.ready.append(wire)
            else:
                return
        raise HungError("no end of turns")

    def wait(self, seconds: float) -> None:
        """Time passes, and the sweep comes by."""
        self.time.leap(seconds)
        self.turn()
        self.pool.sweep(self.time.now)
        for listener in self.listeners:
            listener.sweep(self.time.now)
        self.turn()

    def forget(self) -> None:
        """Make room for the next script."""
        for listener in self.listeners:
            listener.draining = False
        self.ready.clear()
        self.clients.clear()
        self.wires.clear()
        self.latest.clear()
        self.begun.clear()
        self.ended.clear()
        self.blamed.clear()
        self.log.clear()


@cache
def _settings() -> Settings:
    """Reading the file takes longer than a hundred conversations."""
    return validate(FILE, "fuzz.yaml", {})


def _tell(event: str, **fields: object) -> None:
    """The log of events, which nobody reads here."""
