"""A circuit breaker in shadow: what the rules of a file would do, before they are in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshproxy.core.explanation import Regard
from meshproxy.policies.circuit_breaker import CircuitBreaker
from meshproxy.policies.circuits import circuits_of
from meshproxy.policies.contract import Scope
from meshproxy.policies.shadow import shadows

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Endpoint


class ShadowBreaker:
    """A breaker on circuits of its own: it stops nothing, and counts what would be stopped.

    What a breaker in force would not have let through teaches its circuit nothing, so that
    both see the same.
    """

    __slots__ = ("_circuits", "_counts", "_direction", "_stray", "_tried", "_upstream")

    def __init__(self, tried: CircuitBreaker, scope: Scope) -> None:
        self._tried = tried
        self._circuits = circuits_of(scope, shadow=True)
        self._counts = shadows(scope)
        self._direction = scope.direction
        self._upstream = scope.cluster.name
        self._stray: set[Exchange] = set()

    def depart(self, exchange: Exchange, now: float) -> None:
        endpoint: Endpoint = exchange.endpoint  # type: ignore[assignment]  # picked by now
        circuit = self._circuits[endpoint]
        if self._tried.lets(circuit, endpoint, now):
            self._stray.discard(exchange)
            self._tried.claim(circuit, exchange, now)
            return
        circuit.ignored += 1
        if exchange.attempts == 1 and self._tried.all_open(now):
            route = exchange.route.name
            self._counts.count("circuit_breaker", self._direction, route, self._upstream)
        self._stray.add(exchange)
        exchange.defer(lambda _: self._stray.discard(exchange))

    def regard(self, endpoint: Endpoint, now: float) -> Regard:
        tried = self._tried.judge(self._circuits[endpoint], endpoint, now)
        says = f"in shadow: {tried.says}" if tried.may else f"in shadow: left out, {tried.says}"
        return Regard(True, says, {"shadow_circuit": tried.data["circuit"]})

    def settle(self, exchange: Exchange, now: float) -> None:
        if exchange not in self._stray:
            circuit = self._circuits[exchange.endpoint]  # type: ignore[index]  # picked by now
            self._tried.learn(circuit, exchange, now)

    def broke(self, exchange: Exchange, now: float) -> None:
        if exchange not in self._stray:
            circuit = self._circuits[exchange.endpoint]  # type: ignore[index]  # picked by now
            self._tried.unlearn(circuit, exchange, now)
