"""How often things went well and badly of late: a ring of half-second slices.

It counts and forgets; what a count means is for its reader to say. One tally serves any
window up to `SPAN`, so rules that look back differently far can share it.
"""

from __future__ import annotations

from collections import deque
from copy import deepcopy

SLICE = 0.5
"""Seconds per slice: a window is exact to this much, always on the short side."""

SPAN = 300.0
"""Seconds after which everything is forgotten."""

_PER_SECOND = 1.0 / SLICE


class Tally:
    """Good and bad outcomes per slice. Memory is bounded by SPAN / SLICE small tuples."""

    __slots__ = ("_past", "bad", "edge", "good")

    def __init__(self) -> None:
        self.edge = 0.0  # when the slice that is being filled ends
        self.good = 0
        self.bad = 0
        self._past: deque[tuple[float, int, int]] = deque()

    def add_good(self, now: float) -> None:
        if now >= self.edge:
            self._turn(now)
        self.good += 1

    def add_bad(self, now: float) -> None:
        if now >= self.edge:
            self._turn(now)
        self.bad += 1

    def take_back(self, now: float) -> None:
        """One that was good of late was not; where it is put away already, it stays."""
        if now >= self.edge:
            self._turn(now)
        self.good -= self.good > 0

    def totals(self, window: float, now: float) -> tuple[int, int]:
        """(good, bad) of the last `window` seconds, at most one slice less."""
        if now >= self.edge:
            self._turn(now)
        good, bad = self.good, self.bad
        oldest = self.edge - window
        for edge, goods, bads in reversed(self._past):
            if edge <= oldest:
                break
            good += goods
            bad += bads
        return good, bad

    def peek(self, window: float, now: float) -> tuple[int, int]:
        """The same for those who ask about a time to come: no slice is put away for them."""
        return deepcopy(self).totals(window, now)

    def clear(self) -> None:
        """Forget everything, as if nothing had ever happened."""
        self.good = self.bad = 0
        self._past.clear()

    def _turn(self, now: float) -> None:
        """Put the full slice away, begin the one that `now` falls into, drop what is too old."""
        if self.good or self.bad:
            self._past.append((self.edge, self.good, self.bad))
            self.good = self.bad = 0
        self.edge = (now * _PER_SECOND // 1.0 + 1.0) * SLICE
        oldest = self.edge - SPAN
        while self._past and self._past[0][0] <= oldest:
            self._past.popleft()
