"""How often things went well and badly of late: a ring of half-second slices.

It counts and forgets; what a count means is for its reader to say. One tally serves any
window up to `SPAN`, so rules that look back differently far can share it.
"""

from __future__ import annotations

from array import array
from copy import deepcopy
from functools import lru_cache
from math import ceil

SLICE = 0.5
"""Seconds per slice: a window is exact to this much, always on the short side."""

SPAN = 300.0
"""Seconds after which everything is forgotten."""

_PER_SECOND = 1.0 / SLICE
_SLICES = round(SPAN / SLICE)
_EMPTY = bytes(4 * _SLICES)


class Tally:
    """Good and bad outcomes per slice, in two rings of fixed size.

    One is made with the first slice that is put away, the other with the first that has anything
    bad in it; each takes 2.5 KB from then on, however much there is to count. As small objects, a
    full span took 74, which a process gained within its first five minutes for every endpoint and
    every route.
    """

    __slots__ = ("_bads", "_goods", "_number", "bad", "edge", "good")

    def __init__(self) -> None:
        self.edge = 0.0  # when the slice that is being filled ends
        self.good = 0
        self.bad = 0
        self._number = 0  # of that slice
        self._goods: array[int] | None = None
        self._bads: array[int] | None = None

    def add_good(self, now: float) -> None:
        if now >= self.edge:
            self.begin_slice(now)
        self.good += 1

    def add_bad(self, now: float) -> None:
        if now >= self.edge:
            self.begin_slice(now)
        self.bad += 1

    def take_back(self, now: float) -> None:
        """One that was good of late was not; where it is put away already, it stays."""
        if now >= self.edge:
            self.begin_slice(now)
        self.good -= self.good > 0

    def totals(self, window: float, now: float) -> tuple[int, int]:
        """(good, bad) of the last `window` seconds, at most one slice less."""
        if now >= self.edge:
            self.begin_slice(now)
        end = self._number
        # The slices that lie whole within the window, whatever part of one it is longer than.
        before = max(0, min(_SLICES, end - ceil((now - window) * _PER_SECOND)) - 1)
        return (
            self.good + _sum(self._goods, end - before, before),
            self.bad + _sum(self._bads, end - before, before),
        )

    def peek(self, window: float, now: float) -> tuple[int, int]:
        """The same for those who ask about a time to come: no slice is put away for them."""
        return deepcopy(self).totals(window, now)

    def forget(self) -> None:
        """Forget all outcomes, as if nothing had ever happened."""
        self.good = self.bad = 0
        self._goods = self._bads = None

    def begin_slice(self, now: float) -> None:
        """Put the full slice away, begin the one that `now` falls into, drop what is too old."""
        full = self._number
        self.edge, self._number = _slice(now * _PER_SECOND // 1.0)
        passed = self._number - full
        if passed >= _SLICES or not (self._goods or self.good or self.bad):
            self.forget()
            return
        at = full % _SLICES
        if self._goods is None:
            self._goods = array("I", _EMPTY)
        self._goods[at] = self.good
        if self.bad and self._bads is None:
            self._bads = array("I", _EMPTY)
        if self._bads is not None:
            self._bads[at] = self.bad
        self.good = self.bad = 0
        if passed > 1:
            self._skip(full + 1, self._number)

    def _skip(self, first: int, end: int) -> None:
        """Nothing happened in these slices."""
        for ring in (self._goods, self._bads):
            if ring is not None:
                for skipped in range(first, end):
                    ring[skipped % _SLICES] = 0


@lru_cache(maxsize=8)
def _slice(begun: float) -> tuple[float, int]:
    """When the slice ends before which so many have begun, and its number.

    The same objects for all who count in it: of a thousand, each would be cold.
    """
    return (begun + 1.0) * SLICE, int(begun) + 1


def _sum(ring: array[int] | None, first: int, count: int) -> int:
    """Of so many slices from the one of that number on."""
    if ring is None:
        return 0
    start = first % _SLICES
    beyond = start + count - _SLICES
    if beyond <= 0:
        return sum(ring[start : start + count])
    return sum(ring[start:]) + sum(ring[:beyond])
