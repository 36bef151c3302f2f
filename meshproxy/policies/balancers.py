"""The strategies: which allowed endpoint gets this attempt, best one not tried before.

One class per word of the file. The arithmetic is `logic.balance`; here stand the order of
preference (untried first) and what happens when the drawn ones are not allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from meshproxy.core.explanation import Choice
from meshproxy.core.verdict import Failure
from meshproxy.logic import balance, odds
from meshproxy.logic.balance import Draws, Pairs
from meshproxy.logic.turns import Turns
from meshproxy.policies.contract import Random

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Allowed, Classifier, Endpoint

MOST_WEIGHED = 64
"""Endpoints of which the chances are worked out; of more it is only told who may be picked."""

Likely = Callable[[balance.Candidate, balance.Candidate, float], float]
"""(one, other, now) -> how likely `other` is the better choice, over all draws."""

_CUT_SHORT = (Failure.OUTRUN, Failure.DEADLINE)
"""Attempts that others ended: how long they had taken is the least that they would have."""


class Balancer(Protocol):
    """What a route needs of a strategy; `settle` and `reads` beside it are optional."""

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None: ...
    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None: ...


class Lone:
    """One endpoint, or none: nothing to choose."""

    __slots__ = ("_endpoints",)

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:  # noqa: ARG002  # Pick
        for endpoint in self._endpoints:
            if allowed(endpoint, now):
                return endpoint
        return None

    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:
        endpoint = self.pick(exchange, allowed, now)
        return None if endpoint is None else Choice(((endpoint, 1.0),), "the only one")


class TwoChoices:
    """Of two, the first of them in turn, the better one (power of two choices)."""

    __slots__ = ("_endpoints", "_likely", "_paired", "_pairs", "_random", "_says")

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        random: Random,
        pairs: Callable[[Sequence[Endpoint]], Pairs[Endpoint]],
        likely: Likely,
        says: str,
    ) -> None:
        self._likely = likely
        self._says = says
        self._endpoints = endpoints
        self._paired = pairs
        self._pairs = pairs(endpoints)
        self._random = random.random

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        better, worse = self._pairs.pair(self._random(), now)
        if better not in exchange.tried and allowed(better, now):
            return better
        return self._instead(worse, exchange, allowed, now)

    def _instead(
        self, worse: Endpoint, exchange: Exchange, allowed: Allowed, now: float
    ) -> Endpoint | None:
        """Who is picked when the better one of two may not be tried."""
        tried = exchange.tried
        # The other one lost, so it may be the worst of all: it has to win against one more draw.
        another, _ = self._pairs.by_chance(self._random(), now)
        able = [each for each in (worse, another) if each not in tried and allowed(each, now)]
        if able:
            return self._pairs.ranked(able[0], able[-1], now, self._random())[0]
        left = remaining(self._endpoints, exchange, allowed, now)
        if len(left) < 2:
            return left[0] if left else None
        return self._paired(left).by_chance(self._random(), now)[0]

    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:  # noqa: ARG002  # nothing was tried
        endpoints = self._endpoints
        able = [index for index, endpoint in enumerate(endpoints) if allowed(endpoint, now)]
        if not able:
            return None
        if len(endpoints) > MOST_WEIGHED:
            return _one_of([endpoints[index] for index in able], self._says)

        def better(one: int, other: int) -> float:
            return self._likely(endpoints[one], endpoints[other], now)

        weights = [endpoint.weight for endpoint in endpoints]
        return _chosen(endpoints, odds.two_choices(weights, better, frozenset(able)), self._says)


class PeakEwma(TwoChoices):
    """Two choices by expected wait, learned from the time to the head of each answer.

    What most requests of a busy service need stands in `pick`: `balance.sooner` without its call,
    for endpoints that weigh the same and were all measured of late. Whether they are is looked at
    when that may have changed, and no more often than once in as many picks as there are endpoints.
    """

    __slots__ = ("_certain", "_doubts", "_failed", "_meetings", "_weight")

    def __init__(
        self, endpoints: Sequence[Endpoint], random: Random, classifier: Classifier
    ) -> None:
        sooner = partial(Pairs, prefers=balance.sooner)
        says = "the better of two by expected wait: peak_ewma"
        super().__init__(endpoints, random, sooner, balance.how_likely_sooner, says)
        self._failed = classifier.failed
        self._meetings = balance.meetings(endpoints, random.random)
        self._certain = balance.LONG_AGO
        self._doubts = 0  # how many more picks before it is looked at again
        self._weight = 1

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        if now > self._certain:
            self._look_again(now)
            return super().pick(exchange, allowed, now)
        better, worse = next(self._meetings)
        cost, its = better.cost, worse.cost
        load, its_load = better.load, worse.load
        if load != its_load:
            is_sooner = its * (self._weight + its_load) < cost * (self._weight + load)
        elif is_sooner := its < cost:
            its *= its
            cost *= cost
            is_sooner = self._random() * (cost + its) < cost - its
        if is_sooner:
            better, worse = worse, better
        if better not in exchange.tried and allowed(better, now):
            return better
        return self._instead(worse, exchange, allowed, now)

    def _look_again(self, now: float) -> None:
        if self._doubts:
            self._doubts -= 1
            return
        self._weight = self._endpoints[0].weight
        self._certain = balance.certain_until(self._endpoints)
        if now > self._certain:
            self._doubts = len(self._endpoints) - 1

    def settle(self, exchange: Exchange, now: float) -> None:
        endpoint = exchange.endpoint
        if endpoint is None:
            return
        seconds = now - exchange.sent_at
        if exchange.failure is None and exchange.status < 400:
            # `balance.observe` without its call.
            cost = endpoint.cost
            if seconds < cost:
                seconds = balance.eased(cost, seconds, now - endpoint.cost_at)
            endpoint.cost = seconds
            endpoint.cost_at = now
        # A 429 is no failure, but says plainly that the next request should go elsewhere.
        elif exchange.status == 429 or self._failed(exchange):
            balance.observe(endpoint, balance.penalty(exchange.retry_after), now)
        elif exchange.failure is None or (
            # It took at least so long. Left out, one that is always outrun would never seem slow.
            exchange.failure in _CUT_SHORT and seconds > endpoint.cost
        ):
            balance.observe(endpoint, seconds, now)


class RoundRobin:
    """Everyone in turn, as often as its weight says."""

    __slots__ = ("_endpoints", "_turns")

    def __init__(self, endpoints: Sequence[Endpoint], random: Random) -> None:
        self._endpoints = endpoints
        self._turns = Turns(endpoints, random.random())

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        tried = exchange.tried
        for _ in self._endpoints:
            endpoint = self._endpoints[self._turns.take()]
            if endpoint not in tried and allowed(endpoint, now):
                return endpoint
        left = remaining(self._endpoints, exchange, allowed, now)
        return left[0] if left else None

    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:  # noqa: ARG002  # nothing was tried
        able = [endpoint for endpoint in self._endpoints if allowed(endpoint, now)]
        if not able:
            return None
        if self._turns.is_new():
            return _one_of(able, "everyone in turn, and who begins is left to chance: round_robin")
        turns = islice(self._turns.upcoming(), len(self._endpoints))
        turn = next((at for at in turns if self._endpoints[at] in able), None)
        endpoint = able[0] if turn is None else self._endpoints[turn]
        return Choice(((endpoint, 1.0),), "its turn: round_robin")


class ByChance:
    """Anyone, as likely as its weight says."""

    __slots__ = ("_draws", "_endpoints", "_random")

    def __init__(self, endpoints: Sequence[Endpoint], random: Random) -> None:
        self._endpoints = endpoints
        self._draws = Draws(endpoints)
        self._random = random.random

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        endpoint = self._endpoints[self._draws.one(self._random())]
        if endpoint not in exchange.tried and allowed(endpoint, now):
            return endpoint
        left = remaining(self._endpoints, exchange, allowed, now)
        return left[Draws(left).one(self._random())] if left else None

    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:  # noqa: ARG002  # nothing was tried
        endpoints = self._endpoints
        able = {index for index, endpoint in enumerate(endpoints) if allowed(endpoint, now)}
        if not able:
            return None
        chances = odds.by_weight([endpoint.weight for endpoint in endpoints], able)
        return _chosen(endpoints, chances, "drawn by weight: random")


def _one_of(able: Sequence[Endpoint], says: str) -> Choice:
    """Some one of these, nobody says how likely."""
    if len(able) == 1:
        return Choice(((able[0], 1.0),), "the only one that may be tried")
    return Choice(tuple((endpoint, None) for endpoint in able), says)


def _chosen(endpoints: Sequence[Endpoint], chances: Sequence[float], says: str) -> Choice:
    """Those who have a chance, the likeliest first."""
    likely = [pair for pair in zip(endpoints, chances, strict=True) if pair[1] > 0.0]
    likely.sort(key=lambda pair: -pair[1])
    if len(likely) == 1:
        return Choice(((likely[0][0], 1.0),), says)
    return Choice(tuple(likely), says)


def remaining(
    endpoints: Sequence[Endpoint], exchange: Exchange, allowed: Allowed, now: float
) -> Sequence[Endpoint]:
    """The allowed endpoints, and of those the ones not tried yet, if there is one.

    This asks about every endpoint, so it is for when the drawn ones were of no use.
    """
    left = [endpoint for endpoint in endpoints if allowed(endpoint, now)]
    return [endpoint for endpoint in left if endpoint not in exchange.tried] or left
