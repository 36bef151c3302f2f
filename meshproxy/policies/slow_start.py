"""Slow start: an endpoint that came back gets its share of the requests bit by bit.

Whoever lets one back in (health check, circuit breaker) writes the time into its `ramp_since`.
Here it is then passed over as often as `logic.balance.ramp` says, unless nobody else is left.
A process that has just started ramps nobody: all endpoints are equally new to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from meshproxy.logic.balance import ramp
from meshproxy.policies.balancers import Balancer
from meshproxy.policies.contract import Random

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Allowed, Endpoint


class SlowStart:
    """Asks a balancer, and lets it see the recovered ones only now and then.

    It stands around the tiers, so that a tier that is back takes over gradually from the one
    that has carried the load meanwhile.
    """

    __slots__ = ("_pick", "_random", "_window", "reads", "settle")

    def __init__(self, balancer: Balancer, window: float, random: Random) -> None:
        self._pick = balancer.pick
        self._window = window
        self._random = random.random
        self.reads: Collection[bytes] = getattr(balancer, "reads", ())
        learn: Callable[[Exchange, float], None] | None = getattr(balancer, "settle", None)
        if learn is not None:
            self.settle = learn

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        window, draw = self._window, self._random

        def gently(endpoint: Endpoint) -> bool:
            since = endpoint.ramp_since
            if since and now - since < window and draw() >= ramp(since, window, now):
                return False
            return allowed(endpoint)

        endpoint = self._pick(exchange, gently, now)
        if endpoint is None or endpoint in exchange.tried:
            return self._pick(exchange, allowed, now)
        return endpoint
