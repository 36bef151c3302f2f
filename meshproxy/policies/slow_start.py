"""Slow start: an endpoint that came back, or was added, gets its share bit by bit.

Whoever lets one in (health check, circuit breaker, reload) writes the time into `ramp_since`.
Here it is then passed over as often as `logic.balance.ramp` says, unless nobody else is left.
A process that has just started ramps nobody: all endpoints are equally new to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from meshproxy.core.explanation import Choice
from meshproxy.logic.balance import ramp
from meshproxy.policies.balancers import Balancer
from meshproxy.policies.contract import Random

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Allowed, Endpoint


class SlowStart:
    """Asks a balancer, and again for another if it chose one that is not to get this request.

    It stands around the tiers, so that a tier that is back takes over gradually from the one
    that has carried the load meanwhile.
    """

    __slots__ = ("_balancer", "_endpoints", "_pick", "_random", "_window", "reads", "settle")

    def __init__(
        self,
        balancer: Balancer,
        window: float,
        random: Random,
        endpoints: Collection[Endpoint] = (),
    ) -> None:
        self._balancer = balancer
        self._endpoints = endpoints
        self._pick = balancer.pick
        self._window = window
        self._random = random.random
        self.reads: Collection[bytes] = getattr(balancer, "reads", ())
        learn: Callable[[Exchange, float], None] | None = getattr(balancer, "settle", None)
        if learn is not None:
            self.settle = learn

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        endpoint = self._pick(exchange, allowed, now)
        if endpoint is None or self._lets(endpoint, now):
            return endpoint

        def gently(each: Endpoint, now: float) -> bool:
            return each is not endpoint and self._lets(each, now) and allowed(each, now)

        other = self._pick(exchange, gently, now)
        return endpoint if other is None or other in exchange.tried else other

    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:
        """Where somebody is on the way back, anyone who may be tried may get it after all."""
        choice = self._balancer.choose(exchange, allowed, now)
        if choice is None:
            return None
        slow = [each for each, _ in choice.candidates if self._ramp(each, now) < 1.0]
        if not slow:
            return choice
        others = [each for each in self._endpoints if allowed(each, now)]
        names = ", ".join(f"{each.name} {self._ramp(each, now):.0%}" for each in slow)
        says = f"{choice.says}; back lately, with so much of their share: {names}"
        return Choice(tuple((each, 1.0 if len(others) == 1 else None) for each in others), says)

    def _ramp(self, endpoint: Endpoint, now: float) -> float:
        since, window = endpoint.ramp_since, self._window
        return ramp(since, window, now) if since and now - since < window else 1.0

    def _lets(self, endpoint: Endpoint, now: float) -> bool:
        """Whether it gets this one: always if it did not come back lately."""
        since, window = endpoint.ramp_since, self._window
        if not since or now - since >= window:
            return True
        return self._random() < ramp(since, window, now)
