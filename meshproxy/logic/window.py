"""Sliding window: at most so many requests in any stretch of a length, and if not, when.

A ring of time slices holds the counts. What it promises: no stretch of `seconds`, wherever it
begins, holds more than `limit` admitted requests. The price: a slice counts until its last
moment has left the window, so under load the rate is up to 1/128 (0.8 %) below the limit.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

SLICES = 128
"""Slices of a window. A ring of them costs 0.5 KiB, and as much again is nowhere kept."""

_SLOTS = SLICES + 1  # the whole window, and the slice that is running
_EMPTY = array("I", bytes(4 * _SLOTS))
_EDGE = 1e-6
"""Share of a slice by which every boundary comes early: floats must not make anyone wait twice."""


@dataclass(slots=True)
class Window:
    """Admitted requests by slice of `width` seconds; `head` is the number of the newest."""

    width: float
    head: int
    total: int = 0
    counts: array[int] = field(default_factory=lambda: _EMPTY[:])


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` requests in `seconds`; both above zero."""

    limit: int
    seconds: float
    width: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", self.seconds / SLICES)

    def fresh(self, now: float) -> Window:
        """A window in which nothing has happened."""
        return Window(self.width, int(now / self.width + _EDGE))

    def take(self, window: Window, now: float) -> float:
        """Count one more; 0.0 when there was room, else the seconds until there will be.

        A clock that stands still or steps back stays in the newest slice.
        """
        if window.width != self.width:
            self._adopt(window, now)
        number = int(now / self.width + _EDGE)
        if number > window.head:
            _advance(window, number)
        if window.total < self.limit:
            window.total += 1
            window.counts[window.head % _SLOTS] += 1
            return 0.0
        return self._wait(window, now)

    def give_back(self, window: Window) -> None:
        """Undo a `take` of this very moment that answered 0.0."""
        window.total -= 1
        window.counts[window.head % _SLOTS] -= 1

    def left(self, window: Window, now: float) -> float:
        """Requests for which there is room at `now`."""
        if window.width != self.width:
            return float(max(0, self.limit - window.total))
        number = int(now / self.width + _EDGE)
        gone = sum(window.counts[at] for at in _outlived(window, number))
        return float(max(0, self.limit - window.total + gone))

    def is_fresh(self, window: Window, now: float) -> bool:
        """Whether this window says no more than one made now would."""
        if window.total == 0:
            return True
        # In the window's own width: the limit that filled it may have had another.
        return now >= (window.head + _SLOTS) * max(window.width, self.width)

    def _wait(self, window: Window, now: float) -> float:
        """Seconds until so many slices have left that there is room for one."""
        excess = window.total - self.limit
        oldest = window.head - SLICES
        for number in range(oldest, window.head + 1):
            excess -= window.counts[number % _SLOTS]
            if excess < 0:
                break
        return max((number + _SLOTS) * self.width - now, _EDGE * self.width)

    def _adopt(self, window: Window, now: float) -> None:
        """Take over counts of another width: all at the newest slice, so none is forgiven."""
        if now >= (window.head + _SLOTS) * window.width:
            window.total = 0
        window.width = self.width
        window.head = int(now / self.width + _EDGE)
        window.counts[:] = _EMPTY
        window.counts[window.head % _SLOTS] = window.total


def _outlived(window: Window, number: int) -> range | list[int]:
    """The slots that slices after `head`, up to `number`, reuse."""
    steps = number - window.head
    if steps >= _SLOTS:
        return range(_SLOTS)
    return [(window.head + step) % _SLOTS for step in range(1, steps + 1)]


def _advance(window: Window, number: int) -> None:
    """Make `number` the newest slice; in blocks, so that a long gap costs what a short one does."""
    counts = window.counts
    if number - window.head >= _SLOTS:
        window.total = 0
        counts[:] = _EMPTY
    elif window.total:
        first, end = (window.head + 1) % _SLOTS, number % _SLOTS + 1
        blocks = ((first, end),) if first < end else ((first, _SLOTS), (0, end))
        for begin, stop in blocks:
            window.total -= sum(counts[begin:stop])
            counts[begin:stop] = _EMPTY[begin:stop]
    window.head = number
