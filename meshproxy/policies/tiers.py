"""Priorities: the endpoints of a lower tier get what no one of the tiers above can take.

A tier is left when none of its endpoints may be tried, and asked first again as soon as one
may. Not earlier: in the small clusters of a sidecar a share of endpoints that are down says
little (with two, Envoy's 140 % sends a third away after one failure), and what one survivor
cannot carry is the business of its breaker and of the concurrency limit. This is also what a
backup server means to nginx and HAProxy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from meshproxy.core.explanation import Choice
from meshproxy.policies.balancers import Balancer

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Allowed, Endpoint


class Tiers:
    """One balancer per tier, the first one's choice first."""

    __slots__ = ("_picks", "_tiers", "reads", "settle")

    def __init__(self, tiers: Sequence[Balancer]) -> None:
        self._tiers = tuple(tiers)
        self._picks = tuple(tier.pick for tier in tiers)
        self.reads: Collection[bytes] = {
            name for tier in tiers for name in getattr(tier, "reads", ())
        }
        # What a strategy learns it keeps on the endpoint, whichever tier that is in.
        learn: Callable[[Exchange, float], None]
        for learn in (tier.settle for tier in tiers if hasattr(tier, "settle")):
            self.settle = learn

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        """A retry goes to the next tier before it goes to the same endpoint again."""
        again = None
        for pick in self._picks:
            endpoint = pick(exchange, allowed, now)
            if endpoint is not None:
                if endpoint not in exchange.tried:
                    return endpoint
                again = again or endpoint
        return again

    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:
        """The choice within the first tier of which one may be tried."""
        choices = (tier.choose(exchange, allowed, now) for tier in self._tiers)
        return next((choice for choice in choices if choice is not None), None)
