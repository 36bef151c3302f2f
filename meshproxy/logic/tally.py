"""How often things went well and badly of late: a ring of half-second slices.

It counts and forgets; what a count means is for its reader to say. One tally serves any
window up to `SPAN`, so rules that look back differently far can share it.
"""

from __future__ import annotations

from array import array
from copy import deepcopy
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

    They are made with the first slice that is put away and take 5 KB from then on, however much
    there is to count. As small objects, a full span took 74, which a process gained within its
    first five minutes for every endpoint and every route.
    """

    __slots__ = ("_bads", "_goods", "bad", "edge", "good")

    def __init__(self) -> None:
        self.edge = 0.0  # when the slice that is being filled ends
        self.good = 0
        self.bad = 0
        self._goods: array[int] | None = None
        self._bads: array[int] | None = None

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
        if self._goods is None or self._bads is None:
            return self.good, self.bad
        end = _number(self.edge)
        # The slices that lie whole within the window, whatever part of one it is longer than.
        before = max(0, min(_SLICES, end - ceil((now - window) * _PER_SECOND)) - 1)
        return (
            self.good + _sum(self._goods, end - before, before),
            self.bad + _sum(self._bads, end - before, before),
        )

    def peek(self, window: float, now: float) -> tuple[int, int]:
        """The same for those who ask about a time to come: no slice is put away for them."""
        return deepcopy(self).totals(window, now)

    def clear(self) -> None:
        """Forget everything, as if nothing had ever happened."""
        self.good = self.bad = 0
        self._goods = self._bads = None

    def _turn(self, now: float) -> None:
        """Put the full slice away, begin the one that `now` falls into, drop what is too old."""
        full = _number(self.edge)
        self.edge = (now * _PER_SECOND // 1.0 + 1.0) * SLICE
        this = _number(self.edge)
        if self._goods is None or self._bads is None or this - full >= _SLICES:
            if not (self.good or self.bad) or this - full >= _SLICES:
                self.clear()
                return
            self._goods, self._bads = array("I", _EMPTY), array("I", _EMPTY)
        self._goods[full % _SLICES] = self.good
        self._bads[full % _SLICES] = self.bad
        self.good = self.bad = 0
        for skipped in range(full + 1, this + 1):
            self._goods[skipped % _SLICES] = self._bads[skipped % _SLICES] = 0


def _number(edge: float) -> int:
    """That of the slice which ends there."""
    return round(edge * _PER_SECOND)


def _sum(ring: array[int], first: int, count: int) -> int:
    """Of so many slices from the one of that number on."""
    start = first % _SLICES
    beyond = start + count - _SLICES
    if beyond <= 0:
        return sum(ring[start : start + count])
    return sum(ring[start:]) + sum(ring[:beyond])
