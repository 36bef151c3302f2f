"""A circuit breaker of several workers: one circuit in many places, and one probe for all.

Each worker keeps its circuits as it would alone, tells the others of every turn, and follows
theirs. Who wants to probe needs the lease, which one worker has at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshproxy.logic import breaker
from meshproxy.logic.breaker import State
from meshproxy.policies.circuit_breaker import CircuitBreaker

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Endpoint
    from meshproxy.core.sharing import Sharing
    from meshproxy.policies.circuits import EndpointCircuit

TURNED, WON, GREETED = 1, 2, 3
"""What is said: it has turned; a probe went well; this is how it stands, to who knows nothing."""

_TURN = struct.Struct("<bddI")  # state, until, open time, doublings
_CLOSED = State.CLOSED


class Link:
    """One circuit's line to the same circuit of the other workers."""

    __slots__ = ("_each", "_held", "_lease", "_listen", "_say", "sharing")

    def __init__(self, each: EndpointCircuit, sharing: Sharing) -> None:
        name = ("circuit", each.upstream, each.endpoint, each.shadow)
        self.sharing = sharing
        self._each = each
        self._held = False
        self._lease = sharing.lease(name)
        self._listen = sharing.listen
        self._say = sharing.talk(name, self.hear)
        sharing.each_turn(self.look)
        sharing.greet(self.greet)

    def turned(self) -> None:
        """It has turned here: all follow."""
        self._tell(TURNED, self._each.since)

    def won(self, now: float) -> None:
        """A probe of this worker went well, and more are needed."""
        self._say(WON, b"", now)

    def greet(self, now: float) -> None:
        if self._each.state is not _CLOSED:
            self._tell(GREETED, now)

    def _tell(self, what: int, now: float) -> None:
        circuit = self._each
        turn = (circuit.state.value, circuit.until, circuit.spell, min(circuit.doublings, 1000))
        self._say(what, _TURN.pack(*turn), now)

    def hear(self, what: int, key: bytes, at: float) -> None:
        circuit = self._each
        if what == WON:
            breaker.won_elsewhere(circuit)
            return
        if what == GREETED and circuit.state is not _CLOSED:
            return
        state, until, spell, doublings = _TURN.unpack(key)
        breaker.follow(circuit, State(state), at, (until, spell, doublings))
        circuit.shifts.count += 1

    def may_probe(self) -> bool:
        """Whether the lease is ours, or is now; who gets none hears why."""
        self._held = self._lease.take()
        if not self._held:
            self._listen()
        return self._held

    def look(self, now: float) -> None:  # noqa: ARG002  # asked each turn
        """Nobody of us probes any more: somebody else may."""
        if self._held and not self._each.claims:
            self._held = False
            self._lease.give_back()


class SharedBreaker(CircuitBreaker):
    """One route's view of circuits that other workers have, too."""

    __slots__ = ()

    def join(self, sharing: Sharing) -> SharedBreaker:
        """From now on with the others."""
        for each in self._circuits.values():
            if each.link is None or each.link.sharing is not sharing:  # of another route, it may be
                each.link = Link(each, sharing)
        return self

    def eligible(self, endpoint: Endpoint, now: float) -> bool:
        return endpoint.circuit.state is _CLOSED or self.lets(endpoint.circuit, endpoint, now)

    def lets(self, circuit: EndpointCircuit, endpoint: Endpoint, now: float) -> bool:
        if circuit.state is _CLOSED:
            return True
        if now < circuit.until and not breaker.vouched(circuit, endpoint.passed_at):
            return super().lets(circuit, endpoint, now)  # in a panic it may be
        return circuit.link is None or circuit.link.may_probe()

    def _won(self, circuit: EndpointCircuit, exchange: Exchange, now: float) -> None:
        before = circuit.wins
        super()._won(circuit, exchange, now)
        if circuit.link is not None and circuit.wins > before:
            circuit.link.won(now)


Make = Callable[..., CircuitBreaker]


def maker(sharing: Sharing | None) -> Make:
    """What makes a breaker where this is one worker of several, or the only one."""
    if sharing is None:
        return CircuitBreaker
    joined = sharing
    return lambda *given: SharedBreaker(*given).join(joined)
