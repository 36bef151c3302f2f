"""Which of several endpoints should get the next request. Draws and `now` are injected.

It knows loads, weights and latencies, not what an endpoint is or whether it may be tried.
Nothing here looks at every endpoint per pick: the cost is the same for 3 and for 1,000. What
does, `certain_until`, is for once in as many picks as there are endpoints, or more rarely.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain
from math import exp
from typing import Generic, Protocol, TypeVar

TAU = 10.0
"""Seconds in which an old latency loses its weight to a newer, lower one (Linkerd)."""

START = 0.03
"""Seconds that an endpoint is taken to need while its first answer is awaited (Linkerd)."""

PENALTY = 5.0
"""Seconds that a failure counts as, or else fast errors attract traffic (Linkerd's biaser)."""

GENTLE = 0.10
"""Share of its weight that a recovered endpoint begins with (Envoy's slow start)."""

BELIEVED = 5.0
"""Seconds after which a latency that no answer confirmed is doubted; a longer one later."""

FEW = 16
"""So many candidates that all pairs of them are kept."""

LONG_AGO = float("-inf")
"""A time before all others."""

Preference = Callable[["Candidate", "Candidate", float, float], bool]
"""(one, other, now, draw) -> whether `other` is the better choice."""


class Candidate(Protocol):
    """Whatever has requests in flight, a weight, and a learned latency."""

    load: int
    weight: int
    cost: float
    cost_at: float


def less_crowded(one: Candidate, other: Candidate, now: float, draw: float) -> bool:  # noqa: ARG001  # a Preference
    """Whether `other` has fewer requests in flight for its weight: least_request."""
    return other.load * one.weight < one.load * other.weight


def how_likely_less_crowded(one: Candidate, other: Candidate, now: float) -> float:
    """The same as a probability, which is none or certainty."""
    return float(less_crowded(one, other, now, 0.0))


def sooner(one: Candidate, other: Candidate, now: float, draw: float) -> bool:
    """Whether `other` is expected to answer sooner than `one`: peak_ewma.

    Between two that are equally crowded the slower one keeps a share, by the square of the
    latencies (twice as slow: a fifth). A peak is remembered for many seconds, and the few
    requests of a quiet service would otherwise all follow the luck of the first.
    """
    recent = now - BELIEVED
    wait, its = one.cost, other.cost
    load, its_load = one.load, other.load
    if not wait or not its or one.cost_at < recent or other.cost_at < recent:
        wait, its = expected_wait(one, now), expected_wait(other, now)
    elif load or its_load:
        # `expected_wait` for those that were measured of late, without its call.
        wait *= 1.0 + load / one.weight
        its *= 1.0 + its_load / other.weight
    if load * other.weight != its_load * one.weight:
        return its < wait
    its *= its
    wait *= wait
    # So often that together with the turns in which it is the first, each has that share.
    return draw * (wait + its) < wait - its


def how_likely_sooner(one: Candidate, other: Candidate, now: float) -> float:
    """How likely `sooner` is to say yes, over all draws."""
    wait, its = expected_wait(one, now), expected_wait(other, now)
    if one.load * other.weight != other.load * one.weight:
        return float(its < wait)
    both = wait * wait + its * its
    return max(0.0, wait * wait - its * its) / both if both else 0.0


def expected_wait(candidate: Candidate, now: float) -> float:
    """Peak-EWMA: seconds of latency times the requests that would be in flight.

    An endpoint that was never measured, or not for long, is worth one request to find out:
    so it comes first while it has none in flight. Otherwise one slow answer long ago, when
    it was lost to every comparison since, would keep it idle for ever.
    """
    load = candidate.load
    cost = candidate.cost
    age = now - candidate.cost_at
    if (age > BELIEVED and age > cost) or not cost:
        if not load:
            return 0.0
        cost = max(cost, START)
    return cost * (1.0 + load / candidate.weight)


def observe(candidate: Candidate, seconds: float, now: float) -> None:
    """Learn from an answer: a peak counts at once, what is better counts bit by bit."""
    cost = candidate.cost
    if seconds < cost:
        seconds = eased(cost, seconds, now - candidate.cost_at)
    candidate.cost = seconds
    candidate.cost_at = now


def eased(cost: float, seconds: float, elapsed: float) -> float:
    """What a latency of `cost` becomes by a better one, so long after it was learned.

    After BELIEVED it is forgotten, but not before as many seconds as it was long itself.
    """
    if elapsed > BELIEVED and elapsed > cost:
        return seconds
    return seconds + (cost - seconds) * exp(-elapsed / TAU)


def penalty(retry_after: float) -> float:
    """Seconds that a failing answer counts as: PENALTY, or longer where it asked for that."""
    return retry_after if PENALTY < retry_after <= 300.0 else PENALTY


def ramp(since: float, window: float, now: float) -> float:
    """The share of its weight that an endpoint gets that is back since then: GENTLE to 1.0."""
    return min(1.0, max(GENTLE, (now - since) / window))


T = TypeVar("T")
C = TypeVar("C", bound=Candidate)


class Draws(Generic[C]):
    """Random choice by weight. Weights are read at the first draw, not before: a reload
    compiles its rules first and gives endpoints their new weights when it is adopted."""

    __slots__ = ("_candidates", "_even", "_next", "_sums")

    def __init__(self, candidates: Sequence[C]) -> None:
        self._candidates = candidates
        self._next = 0
        self._even = 0  # how many, if all weigh the same
        self._sums: list[int] = []

    def one(self, draw: float) -> int:
        """The index that `draw`, from [0, 1), means."""
        sums = self._sums or self._weigh()
        if self._even:
            return int(draw * self._even)
        return bisect_right(sums, draw * sums[-1]) - 1

    def turn(self, draw: float) -> tuple[int, int, float]:
        """As `two`, but of those that weigh the same the first is whose turn it is.

        Chance has some wait while others are asked three times over, which takes more
        connections, and of a thousand endpoints it finds each one cold in the processor's
        cache. The second one is enough to leave a crowd.
        """
        count = self._even
        if not count:
            found = self.two(draw)
            self._next = (found[0] + 1) % len(self._candidates)  # chance says who begins
            return found
        one = self._next
        self._next = one + 1 if one + 1 < count else 0
        point = draw * (count - 1)
        other = int(point)
        return one, other + (other >= one), point - other

    def two(self, draw: float) -> tuple[int, int, float]:
        """Two different ones of at least two, and a draw from [0, 1) for who chooses of them.

        Where within one's share a draw fell is as good as another draw: a thousand endpoints
        use up 20 of its 53 bits.
        """
        sums = self._sums or self._weigh()
        count = self._even
        if count:
            point = draw * count
            one = int(point)
            point = (point - one) * (count - 1)
            other = int(point)
            return one, other + (other >= one), point - other
        point = draw * sums[-1]
        one = bisect_right(sums, point) - 1
        below, weight = sums[one], sums[one + 1] - sums[one]
        point = (point - below) / weight * (sums[-1] - weight)
        if point >= below:
            point += weight
        other = bisect_right(sums, point) - 1
        return one, other, (point - sums[other]) / (sums[other + 1] - sums[other])

    def _weigh(self) -> list[int]:
        weights = [candidate.weight for candidate in self._candidates]
        self._even = len(weights) if len(set(weights)) == 1 else 0
        self._sums = [0, *accumulate(weights)]
        return self._sums


class Pairs(Draws[C]):
    """Two of them, the better one first; of those that weigh the same one is that in turn."""

    __slots__ = ("_prefers",)

    def __init__(self, candidates: Sequence[C], prefers: Preference) -> None:
        super().__init__(candidates)
        self._prefers = prefers

    def pair(self, draw: float, now: float) -> tuple[C, C]:
        one, other, left = self.turn(draw)
        return self.ranked(self._candidates[one], self._candidates[other], now, left)

    def by_chance(self, draw: float, now: float) -> tuple[C, C]:
        """As `pair`, but it is nobody's turn."""
        one, other, left = self.two(draw)
        return self.ranked(self._candidates[one], self._candidates[other], now, left)

    def ranked(self, one: C, other: C, now: float, draw: float) -> tuple[C, C]:
        """These two, the better one first."""
        return (other, one) if self._prefers(one, other, now, draw) else (one, other)


def meetings(candidates: Sequence[T], random: Callable[[], float]) -> Iterator[tuple[T, T]]:
    """Of at least two that weigh the same: who is weighed against whom, without end.

    Each is the first of two in turn, for the reasons of `Draws.turn`, and the second of two once in
    as many meetings. How far the two are apart is left to chance and stays so for a round, so that
    it costs a draw a round.
    """
    return chain.from_iterable(_rounds(candidates, random))


def _rounds(
    candidates: Sequence[T], random: Callable[[], float]
) -> Iterator[Iterable[tuple[T, T]]]:
    count = len(candidates)
    if count <= FEW:
        # A round is over soon: all that there are stand ready.
        ring = (*candidates, *candidates)
        rounds = [tuple(zip(candidates, ring[apart:], strict=False)) for apart in range(1, count)]
        while True:
            yield rounds[int(random() * len(rounds))]
    others, apart = deque(candidates), 0
    while True:
        before, apart = apart, 1 + int(random() * (count - 1))
        others.rotate(before - apart)
        yield zip(candidates, others, strict=True)


def certain_until(candidates: Sequence[Candidate]) -> float:
    """Until when `sooner` doubts no latency of these; LONG_AGO if one weighs more than another.

    Latencies that are confirmed meanwhile only make it later.
    """
    if len({each.weight for each in candidates}) > 1:
        return LONG_AGO
    return min(each.cost_at if each.cost else LONG_AGO for each in candidates) + BELIEVED
