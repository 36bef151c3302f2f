"""Connections to endpoints: idle ones, those who wait for one, and the dials under way.

Prefers the connection that was used last, so that the rest can grow old and close before
their server closes them. Touches no socket: dialling is a callable that it is given.
"""

from __future__ import annotations

from collections.abc import Callable

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import IDLE_UPSTREAM, Endpoint
from meshproxy.core.verdict import Failure
from meshproxy.dataplane import heads
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.upstream import Upstream

MARGIN = 0.5
"""Seconds by which we close an idle connection before its server would."""

SHORTEST_IDLE = 0.2
LONGEST_IDLE = 60.0
RECOVERY = 1.02
"""What a learned idle time may be, and its growth per answer after a server closed early."""


class Pool:
    """One per process; what it keeps per endpoint stands on the endpoint itself."""

    def __init__(self, dial: Callable[[Upstream, float], None], clock: Callable[[], float]) -> None:
        self.conductor: Conductor = None  # type: ignore[assignment]  # set once, by its maker
        self.check = heads.answer_check()
        self._dial = dial
        self._clock = clock
        self._kept: list[Endpoint] = []

    def take(self, exchange: Exchange, endpoint: Endpoint, now: float) -> Upstream | None:
        """An idle connection at once, or None: then `connected` or `failed` follows."""
        if not exchange.fresh:
            while (idle := endpoint.idle) is not None:
                upstream: Upstream = idle
                endpoint.idle, upstream.below = upstream.below, None
                if now - upstream.idle_since < endpoint.idle_for and not upstream.is_closing():
                    return upstream
                upstream.close()
        exchange.waiting = True
        endpoint.line_up(exchange)
        self._start(endpoint, exchange.route.connect_timeout)
        return None

    def forget(self, exchange: Exchange) -> None:
        """This exchange no longer waits; the dial it caused may serve another."""
        exchange.waiting = False

    def give(self, upstream: Upstream, now: float) -> None:
        """A connection is free: to whoever waits longest, else to the idle ones."""
        endpoint = upstream.endpoint
        if endpoint.waiters:
            exchange = self._next_waiter(endpoint, fresh=not upstream.reused)
            if exchange is not None:
                self.conductor.connected(exchange, upstream)
                return
        if endpoint.retired:
            upstream.close()
            return
        if endpoint.idle_for < IDLE_UPSTREAM:
            endpoint.idle_for = min(IDLE_UPSTREAM, endpoint.idle_for * RECOVERY)
        upstream.idle_since = now
        upstream.below, endpoint.idle = endpoint.idle, upstream
        if not endpoint.kept:
            endpoint.kept = True
            self._kept.append(endpoint)

    def lost(self, upstream: Upstream) -> None:
        """An idle connection was closed by its server, or said something unasked."""
        endpoint = upstream.endpoint
        if _unlink(upstream):
            age = self._clock() - upstream.idle_since
            endpoint.idle_for = min(endpoint.idle_for, max(SHORTEST_IDLE, age - MARGIN))

    def learned(self, endpoint: Endpoint, seconds: float) -> None:
        """The server said how long it keeps an idle connection (`Keep-Alive: timeout`)."""
        endpoint.idle_for = min(LONGEST_IDLE, max(SHORTEST_IDLE, seconds - MARGIN))

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long; called a few times each second."""
        for endpoint in self._kept:
            _close_all(_cut(endpoint, now))
            endpoint.kept = endpoint.idle is not None
        self._kept = [endpoint for endpoint in self._kept if endpoint.kept]

    def retire(self, endpoint: Endpoint) -> None:
        """The config names this endpoint no more: busy connections end with their exchange."""
        endpoint.retired = True
        idle, endpoint.idle = endpoint.idle, None
        _close_all(idle)

    def close(self) -> None:
        """Close idle connections; for the end of the process."""
        for endpoint in self._kept:
            self.retire(endpoint)

    # ---- dialling

    def _start(self, endpoint: Endpoint, seconds: float) -> None:
        endpoint.dials += 1
        self._dial(Upstream(endpoint, self, self.conductor, self._clock), seconds)

    def arrived(self, upstream: Upstream) -> None:
        """A dial has brought a connection."""
        upstream.settled = True
        upstream.endpoint.dials -= 1
        self.give(upstream, self._clock())

    def dialled(self, upstream: Upstream, failure: Failure | None) -> None:
        """A dial has ended; the reason matters if it brought no connection."""
        if upstream.settled:
            return
        upstream.settled = True
        upstream.endpoint.dials -= 1
        self._refuse_waiter(upstream.endpoint, failure or Failure.CONNECT)

    def _refuse_waiter(self, endpoint: Endpoint, failure: Failure) -> None:
        """A dial failed: tell the one who waits longest, unless enough dials are left."""
        if len(endpoint.waiters) > endpoint.dials:
            exchange = self._next_waiter(endpoint, fresh=True)
            if exchange is not None:
                why = f"it {endpoint.why_not}" if failure is Failure.FORBIDDEN else ""
                self.conductor.failed(exchange, failure, self._clock(), why)

    def _next_waiter(self, endpoint: Endpoint, *, fresh: bool) -> Exchange | None:
        """The oldest that still waits; one that met a stale connection wants a new one."""
        waiters = endpoint.waiters
        if not waiters:
            return None
        passed: list[Exchange] = []
        found: Exchange | None = None
        while waiters and found is None:
            exchange: Exchange = waiters.popleft()
            if exchange.waiting and exchange.endpoint is endpoint:
                if fresh or not exchange.fresh:
                    found = exchange
                else:
                    passed.append(exchange)
        waiters.extendleft(reversed(passed))
        if not waiters:
            endpoint.waiters = ()
        if found is not None:
            found.waiting = False
        return found


def _cut(endpoint: Endpoint, now: float) -> Upstream | None:
    """Take those away that have been idle for too long; the first of them leads to the rest."""
    last: Upstream | None = None
    idle: Upstream | None = endpoint.idle
    while idle is not None and now - idle.idle_since < endpoint.idle_for:
        last, idle = idle, idle.below
    if last is None:
        endpoint.idle = None
    else:
        last.below = None
    return idle


def _unlink(upstream: Upstream) -> bool:
    """Take it out of the idle ones, if it is one of them."""
    last: Upstream | None = None
    idle: Upstream | None = upstream.endpoint.idle
    while idle is not upstream:
        if idle is None:
            return False
        last, idle = idle, idle.below
    if last is None:
        upstream.endpoint.idle = upstream.below
    else:
        last.below = upstream.below
    upstream.below = None
    return True


def _close_all(idle: Upstream | None) -> None:
    while idle is not None:
        below, idle.below = idle.below, None
        idle.close()
        idle = below
