"""One sidecar without sockets: a compiled file with every policy on, time, and turns.

Everything between the bytes is real: listeners, conductor, pool, policies, series, access log.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from meshproxy.core.exchange import Exchange
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Endpoint, Snapshot
from meshproxy.core.verdict import Failure
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
from tests.fakes import FakeTime
from tests.fuzz.wires import Wire

FILE = Path(__file__).with_name("sidecar.yaml")

PLANS = ("inbound", "outbound")
MOST_TURNS = 1000


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


class Watched(Conductor):
    """Remembers which exchanges began."""

    __slots__ = ("begun",)

    begun: list[Exchange]

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
        self.log: list[Mapping[str, Any]] = []
        self.ended: list[Exchange] = []
        self.blamed: list[Exchange] = []
        self.telemetry = Telemetry()
        self._seed = seed
        self._ledger = Ledger()
        self.snapshot = self._loaded(1)
        self._next: Snapshot | None = None
        pool = Pool(self._dial, self.time)
        self.begun: list[Exchange] = []
        conductor = Watched(self.time, self.time.later, pool)
        conductor.begun = self.begun
        conductor.record_by(self._record)
        pool.conductor = conductor
        self.pool = pool
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
        self._access = AccessLog(self.log.append, rng.random, lambda: 0.0)
        settings = _settings()
        self._access.configure(settings.file.logs)

        tools = Tools(
            series=self.telemetry.series,
            cluster_series=self.telemetry.cluster_series,
            kinds=Kinds,
            random=rng,
            tell=_tell,
        )
        draft = self._ledger.open()
        compiled = compile_snapshot(settings, draft, tools, self.time(), generation)
        compiled.adopt()
        self._ledger.keep(draft)
        return compiled.snapshot

    def _record(self, exchange: Exchange, now: float) -> None:
        self.ended.append(exchange)
        wire = exchange.client._transport
        if exchange.failure is Failure.CLIENT_STALLED and not wire.reading:
            self.blamed.append(exchange)
        self._access.record(exchange, now)

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
            listener.sweep(self.time.now, 1)
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
    return validate(FILE.read_bytes(), FILE.name, {})


def _tell(event: str, **fields: object) -> None:
    """The log of events, which nobody reads here."""
