"""A sketch of how long answers take: one percentile of late, in a few hundred numbers.

A histogram whose buckets grow by a tenth each, so that the percentile is never too early and at
most 9 % too late. Older answers weigh less: all counts are halved when there are many, and
every minute as long as enough is left. Adding and asking take constant time on average.
"""

from __future__ import annotations

import math

FIRST = 1e-4
"""Seconds: the upper edge of the first bucket."""

STEPS = 8
"""Buckets per doubling: 2 ** (1 / 8) is 1.09."""

BUCKETS = 21 * STEPS
"""Up to 200 seconds; whatever takes longer is counted in the last."""

BEYOND = 5.0
"""Answers that must lie beyond a percentile before it is believed: 100 in all for p95."""

MANY = 20.0
"""So many times what is enough are remembered at most: 2000 for p95."""

MINUTE = 60.0

FRESH = 0.25
"""Seconds for which the percentile is remembered: finding it costs as much as 30 additions."""


class Sketch:
    """`share` is the percentile as a number: 0.95 for p95."""

    __slots__ = ("_counts", "_enough", "_found", "_halved", "_share", "_until", "total")

    def __init__(self, share: float, now: float) -> None:
        self._share = share
        self._enough = BEYOND / (1.0 - share)
        self._counts = [0.0] * BUCKETS
        self.total = 0.0
        self._halved = now
        self._found: float | None = None
        self._until = -math.inf

    def add(self, seconds: float, now: float) -> None:
        """One more answer took so long, or longer where it was not waited for."""
        self._counts[_bucket(seconds)] += 1.0
        self.total += 1.0
        if self.total >= MANY * self._enough or now - self._halved >= MINUTE:
            self._age(now)

    def percentile(self, now: float) -> float | None:
        """Seconds within which that share of answers came; None while too few are known."""
        if now >= self._until or self._found is None:
            self._until = now + FRESH
            self._found = self._find()
        return self._found

    def peek(self, now: float) -> float | None:
        """What `percentile` would answer; nothing is remembered for it."""
        return self._found if now < self._until and self._found is not None else self._find()

    def _find(self) -> float | None:
        if self.total < self._enough - 1e-6:
            return None
        beyond = self.total * (1.0 - self._share)
        for index in range(BUCKETS - 1, -1, -1):
            beyond -= self._counts[index]
            if beyond < -1e-6:
                return float(FIRST * 2.0 ** (index / STEPS))
        return None

    def _age(self, now: float) -> None:
        """Halve, unless what is left would be too little to say anything."""
        self._halved = now
        if self.total >= 2.0 * self._enough:
            self._counts = [count * 0.5 for count in self._counts]
            self.total *= 0.5


def _bucket(seconds: float) -> int:
    """The bucket whose upper edge is the first that is not below `seconds`."""
    if seconds <= FIRST:
        return 0
    return min(BUCKETS - 1, math.ceil(math.log2(seconds / FIRST) * STEPS - 1e-9))
