"""Places and a line that are only played, beside traffic that is not held back by them.

What would happen to each guest is worked out from when it came and how long it took: had it
waited, it would have left that much later. So nothing is known too late, and the refusals are
those that real places would have made of the same traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from meshproxy.logic.line import Line


@dataclass(frozen=True, slots=True)
class House:
    """How many fit in, how many may wait, and for how many seconds."""

    most: int
    queue: int
    wait: float


class Guest:
    """One who came at `came`; `took` is known once it has left."""

    __slots__ = ("came", "label", "seated", "took")

    def __init__(self, label: str, now: float) -> None:
        self.label = label
        self.came = now
        self.seated = -1.0
        self.took = -1.0


class Rehearsal:
    """The play. `refused(label)` is called for each that real places would have refused."""

    __slots__ = ("_events", "_numbers", "_refused", "in_use", "line", "most")

    def __init__(self, refused: Callable[[str], None]) -> None:
        self._refused = refused
        self._events: list[tuple[float, int, Guest, bool]] = []
        self._numbers = count()
        self.most = 0
        self.in_use = 0
        self.line: Line[Guest] = Line()

    def come(self, house: House, label: str, rank: int, now: float) -> Guest | None:
        """One arrives; None where it would have been refused at once."""
        self._go_on(now)
        self.most = house.most
        self._let_in(now)
        guest = Guest(label, now)
        if self.in_use < house.most and not self.line.size:
            self._seat(guest, now)
            return guest
        if self.line.size >= house.queue:
            out = self.line.give_way(rank) if house.queue else None
            if out is None:
                self._refused(label)
                return None
            self._refused(out.label)
        self.line.join(guest, rank)
        self._plan(now + house.wait, guest, is_end=False)
        return guest

    def go(self, guest: Guest, now: float) -> None:
        """It has really ended."""
        self._go_on(now)
        guest.took = now - guest.came
        if guest.seated >= 0.0:
            self._plan(guest.seated + guest.took, guest, is_end=True)
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        """Play all that happens until now."""
        while self._events and self._events[0][0] <= now:
            at, _, guest, is_end = heappop(self._events)
            if is_end:
                self.in_use -= 1
                self._let_in(at)
            elif self.line.leave(guest):
                self._refused(guest.label)

    def _let_in(self, at: float) -> None:
        while self.line.size and self.in_use < self.most:
            self._seat(self.line.first(), at)

    def _seat(self, guest: Guest, at: float) -> None:
        self.in_use += 1
        guest.seated = at
        if guest.took >= 0.0:
            self._plan(at + guest.took, guest, is_end=True)

    def _plan(self, at: float, guest: Guest, *, is_end: bool) -> None:
        heappush(self._events, (at, next(self._numbers), guest, is_end))
