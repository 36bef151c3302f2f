"""Sliding window: at most so many requests in any stretch of a length, and if not, when.

A ring of time slices holds the counts. What it promises: whoever keeps asking for more than
the limit is admitted no more than `limit` times in any stretch of `seconds`. Whoever is seldom
refused gets slack, so that a caller that keeps exactly to the limit is not refused for coming
up to 1.5 % of `seconds` early: no stretch of 98 % then holds more than `limit`, none of all
`seconds` more than that and 2 % (rounded up). The price: a slice counts until its last moment
has left, so under load the rate is up to 0.5 % below the limit.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from math import ceil

SLICES = 200
"""Slices of a window. A ring of them is 0.8 KiB, whatever the limit."""

SLACK = 4
"""The oldest slices, which do not count for a caller that is seldom refused."""

_SLOTS = SLICES + 1  # the whole window, and the slice that is running
_EMPTY = array("I", bytes(4 * _SLOTS))
_EDGE = 1e-6
"""Share of a slice by which every boundary comes early: floats must not make anyone wait twice."""


@dataclass(slots=True)
class Window:
    """Admitted requests by slice of `width` seconds; `head` is the number of the newest.

    `heat` grows with every refusal and cools with time; it was so at slice `heated`. `until`
    is when there will be room under a limit of `judged`: kept, as a crowd that is refused
    asks for it again and again.
    """

    width: float
    head: int
    total: int = 0
    heat: float = 0.0
    heated: int = 0
    until: float = 0.0
    judged: int = 0
    counts: array[int] = field(default_factory=lambda: _EMPTY[:])


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` requests in `seconds`; both above zero."""

    limit: int
    seconds: float
    width: float = field(init=False)
    ceiling: int = field(init=False)
    hot: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", self.seconds / SLICES)
        object.__setattr__(self, "ceiling", self.limit + ceil(self.limit / 50))
        object.__setattr__(self, "hot", max(0.5, self.limit / 10))

    @property
    def most(self) -> float:
        """How many may come at once."""
        return float(self.limit)

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
        if window.total < self.limit or self._bears_one_more(window):
            window.total += 1
            window.counts[window.head % _SLOTS] += 1
            return 0.0
        window.heat = min(2.0 * self.hot, self._heat(window) + 1.0)
        window.heated = window.head
        if now >= window.until or window.judged != self.limit:
            window.judged = self.limit
            window.until = (_last_to_leave(window, self.limit) + _SLOTS) * self.width
        return max(window.until - now, _EDGE * self.width)

    def charge(self, window: Window, count: int, at: float) -> None:
        """Others were admitted so often at that moment, which may be a slice or two ago."""
        if window.width != self.width:
            self._adopt(window, at)
        number = int(at / self.width + _EDGE)
        if number > window.head:
            _advance(window, number)
        if number > window.head - SLICES:
            window.total += count
            window.counts[number % _SLOTS] += count
            window.until = 0.0

    def peek(self, window: Window, now: float) -> float:
        """What `take` would answer; asks, and changes nothing."""
        return self.take(replace(window, counts=window.counts[:]), now)

    def give_back(self, window: Window) -> None:
        """Undo a `take` of this very moment that answered 0.0."""
        window.total -= 1
        window.counts[window.head % _SLOTS] -= 1
        window.until = 0.0

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

    def _bears_one_more(self, window: Window) -> bool:
        """Whether there is room but for the oldest slices, which have all but left."""
        if window.total >= self.ceiling or self._heat(window) > self.hot:
            return False
        # In the ring, the slots that are used next hold the oldest slices.
        next_slots = range(window.head + 1, window.head + 1 + SLACK)
        leaving = sum([window.counts[number % _SLOTS] for number in next_slots])
        return window.total - leaving < self.limit

    def _heat(self, window: Window) -> float:
        """Refusals of late, at most twice what is `hot`; a window's length cools half of that."""
        cooled = (window.head - window.heated) * self.hot / SLICES
        return max(0.0, window.heat - cooled)

    def _adopt(self, window: Window, now: float) -> None:
        """Take over counts of another width: all at the newest slice, so none is forgiven."""
        if now >= (window.head + _SLOTS) * window.width:
            window.total = 0
        window.width = self.width
        window.head = window.heated = int(now / self.width + _EDGE)
        window.until = 0.0
        window.counts[:] = _EMPTY
        window.counts[window.head % _SLOTS] = window.total


def _last_to_leave(window: Window, limit: int) -> int:
    """The slice with which so many have left that fewer than `limit` (at least 1) remain."""
    first = (window.head + 1) % _SLOTS
    remaining, oldest = window.total, window.head - SLICES
    for age, count in enumerate(window.counts[first:] + window.counts[:first]):
        remaining -= count
        if remaining < limit:
            return oldest + age
    return window.head


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
