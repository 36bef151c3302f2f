"""The strategies: which allowed endpoint gets this attempt, best one not tried before.

One class per word of the file. The arithmetic is `logic.balance`; here stand the order of
preference (untried first) and what happens when the drawn ones are not allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from meshproxy.core.verdict import Failure
from meshproxy.logic import balance
from meshproxy.logic.balance import Draws, Turns
from meshproxy.policies.contract import Random

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Allowed, Classifier, Endpoint

_CUT_SHORT = (Failure.OUTRUN, Failure.DEADLINE)
"""Attempts that others ended: how long they had taken is the least that they would have."""

Preference = Callable[[balance.Candidate, balance.Candidate, float, float], bool]
"""(one, other, now, draw) -> whether `other` is the better choice."""


class Balancer(Protocol):
    """What a route needs of a strategy; `settle` and `reads` beside it are optional."""

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None: ...


class Lone:
    """One endpoint, or none: nothing to choose."""

    __slots__ = ("_endpoints",)

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:  # noqa: ARG002  # Pick
        for endpoint in self._endpoints:
            if allowed(endpoint):
                return endpoint
        return None


class TwoChoices:
    """Of two drawn by weight, the better one (power of two choices)."""

    __slots__ = ("_draws", "_endpoints", "_prefers", "_random")

    def __init__(self, endpoints: Sequence[Endpoint], random: Random, prefers: Preference) -> None:
        self._endpoints = endpoints
        self._draws = Draws(endpoints)
        self._random = random.random
        self._prefers = prefers

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        better, worse = self._drawn(self._endpoints, self._draws, now)
        tried = exchange.tried
        if better not in tried and allowed(better):
            return better
        # The other one lost, so it may be the worst of all: it has to win against one more draw.
        another, _ = self._drawn(self._endpoints, self._draws, now)
        able = [each for each in (worse, another) if each not in tried and allowed(each)]
        if able:
            one, other = able[0], able[-1]
            return other if self._prefers(one, other, now, self._random()) else one
        left = remaining(self._endpoints, exchange, allowed)
        if len(left) < 2:
            return left[0] if left else None
        return self._drawn(left, Draws(left), now)[0]

    def _drawn(
        self, endpoints: Sequence[Endpoint], draws: Draws, now: float
    ) -> tuple[Endpoint, Endpoint]:
        """Two, the better one first."""
        one, other = draws.two(self._random())
        first, second = endpoints[one], endpoints[other]
        if self._prefers(first, second, now, self._random()):
            return second, first
        return first, second


class PeakEwma:
    """Two choices by expected wait, learned from the time to the head of each answer."""

    __slots__ = ("_failed", "pick")

    def __init__(
        self, endpoints: Sequence[Endpoint], random: Random, classifier: Classifier
    ) -> None:
        self.pick = TwoChoices(endpoints, random, balance.sooner).pick
        self._failed = classifier.failed

    def settle(self, exchange: Exchange, now: float) -> None:
        endpoint = exchange.endpoint
        if endpoint is None:
            return
        if exchange.failure is None and exchange.status < 400:
            balance.observe(endpoint, now - exchange.sent_at, now)
            return
        # A 429 is no failure, but says plainly that the next request should go elsewhere.
        if exchange.status == 429 or self._failed(exchange):
            balance.observe(endpoint, balance.penalty(exchange.retry_after), now)
        elif exchange.failure is None or (
            # It took at least so long. Left out, one that is always outrun would never seem slow.
            exchange.failure in _CUT_SHORT and now - exchange.sent_at > endpoint.cost
        ):
            balance.observe(endpoint, now - exchange.sent_at, now)


class RoundRobin:
    """Everyone in turn, as often as its weight says."""

    __slots__ = ("_endpoints", "_turns")

    def __init__(self, endpoints: Sequence[Endpoint], random: Random) -> None:
        self._endpoints = endpoints
        self._turns = Turns(endpoints, random.random())

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:  # noqa: ARG002  # Pick
        tried = exchange.tried
        for _ in self._endpoints:
            endpoint = self._endpoints[self._turns.take()]
            if endpoint not in tried and allowed(endpoint):
                return endpoint
        left = remaining(self._endpoints, exchange, allowed)
        return left[0] if left else None


class ByChance:
    """Anyone, as likely as its weight says."""

    __slots__ = ("_draws", "_endpoints", "_random")

    def __init__(self, endpoints: Sequence[Endpoint], random: Random) -> None:
        self._endpoints = endpoints
        self._draws = Draws(endpoints)
        self._random = random.random

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:  # noqa: ARG002  # Pick
        endpoint = self._endpoints[self._draws.one(self._random())]
        if endpoint not in exchange.tried and allowed(endpoint):
            return endpoint
        left = remaining(self._endpoints, exchange, allowed)
        return left[Draws(left).one(self._random())] if left else None


def remaining(
    endpoints: Sequence[Endpoint], exchange: Exchange, allowed: Allowed
) -> Sequence[Endpoint]:
    """The allowed endpoints, and of those the ones not tried yet, if there is one.

    This asks about every endpoint, so it is for when the drawn ones were of no use.
    """
    left = [endpoint for endpoint in endpoints if allowed(endpoint)]
    return [endpoint for endpoint in left if endpoint not in exchange.tried] or left
