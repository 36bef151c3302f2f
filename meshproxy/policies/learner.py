"""An adaptive limit of concurrency, learned from how long the attempts at an upstream take.

How is `logic.gradient`; here stands which attempts count. What comes of the limit is for those
who ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meshproxy.core.verdict import Failure
from meshproxy.logic.gradient import Bounds, Gradient
from meshproxy.policies.contract import Scope

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

_SLOW = (Failure.TIMEOUT, Failure.TRY_TIMEOUT, Failure.DEADLINE)
"""Failures that say how long an upstream takes: longer than that."""


class Learner:
    """Learns an adaptive limit; what comes of it is for others to say."""

    __slots__ = ("_bounds", "_failed", "_gradient")

    def __init__(self, bounds: Bounds, scope: Scope) -> None:
        self._bounds = bounds
        self._failed = scope.classifier.failed
        self._gradient = scope.state(
            "gradient", lambda: Gradient(bounds, scope.now), scope.cluster.name
        )

    def most(self) -> int:
        return int(min(max(self._gradient.limit, self._bounds.least), self._bounds.most))

    def look(self, exchange: Exchange, in_flight: int, now: float) -> None:
        """An attempt ended. A fast error says nothing of how fast answers are."""
        if exchange.failure is not None:
            if exchange.failure not in _SLOW:
                return
        elif exchange.status >= 400 and self._failed(exchange):
            return
        self._gradient.answered(self._bounds, exchange.sent_at, in_flight, now)

    def report(self) -> Mapping[str, Any]:
        gradient = self._gradient
        milliseconds = {"base_ms": gradient.base, "took_ms": gradient.took}
        return {name: round(each * 1000, 3) for name, each in milliseconds.items()}
