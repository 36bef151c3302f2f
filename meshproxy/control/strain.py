"""How late the event loop is and how full the memory: looked at by the app's own sweep.

Costs a subtraction per look. Memory is read ten times a second where somebody wants to know, at
every look where half of it is used, else when the metrics are asked for. What follows from it is
for the gauge that is followed; but where it would be used up, those who hold it are ended at
once: refusing the next ones frees nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from meshproxy.core.report import Sample

READ_EVERY = TRIM_EVERY = 0.1
SHARE_OF_TRIMS = 0.05
"""Of the time at most: to trim a large heap takes long."""
NEAR = 0.5
"""With less than this share left it can be used up in a tenth of a second, if it is small."""


class Gauge(Protocol):
    """Whoever makes something of it; `most` is what the file says.

    `over` is the share of memory that must be free at once, below 0.0 what is left.
    """

    def look(self, most: Any, lag: float, memory: float, elapsed: float) -> None: ...
    def over(self, most: Any, memory: float) -> float: ...
    def is_short_of_memory(self) -> bool: ...
    def ended(self, direction: str, route: str) -> None: ...


Tell = Callable[[str, str], None]
"""Takes direction and route of each exchange that was ended."""


def _tell_nobody(_direction: str, _route: str) -> None:
    """Nothing is ended."""


class Strain:
    """The latest look. `used` gives the share of memory in use, `trim` gives freed memory back
    and returns how many seconds that took.

    `relieve` frees a share of it, and tells what it ended for that; it returns how many. It
    hears of shares below 0.0 too, which are what is left.
    """

    __slots__ = (
        "_gauge", "_looked_at", "_most", "_near", "_read_at", "_relieve", "_shown", "_trim",
        "_trim_at", "_used", "memory",
    )  # fmt: skip

    def __init__(
        self,
        used: Callable[[], float],
        trim: Callable[[], float],
        relieve: Callable[[float, Tell], int],
        now: float,
    ) -> None:
        self._used = used
        self._trim = trim
        self._relieve = relieve
        self._near = False
        self._gauge: Gauge | None = None
        self._most: Any = None
        self._looked_at = now
        self._read_at = self._trim_at = 0.0
        self._shown = 0.0
        self.memory = 0.0

    def follow(self, gauge: Gauge | None, most: Any) -> None:
        """From here on this gauge is told, by these bounds; None: nobody wants to know."""
        self._gauge = gauge
        self._most = most
        self._relieve(-1.0, _tell_nobody)  # or who was shut out would be for ever

    def look(self, due: float, now: float) -> None:
        """A timer that was due then fires now."""
        lag = max(0.0, now - due)
        elapsed = now - self._looked_at
        self._looked_at = now
        # The worst of the last seconds, so that a scrape does not miss it.
        self._shown = max(lag, self._shown * 0.5**elapsed)
        if self._gauge is None:
            return
        if self._near or now >= self._read_at + READ_EVERY:
            self.look_at_memory(now)
        self._gauge.look(self._most, lag, self.memory, elapsed)
        if self._gauge.is_short_of_memory():
            self._give_back(now)

    def look_at_memory(self, now: float) -> None:
        """Read how much is used; where that is too much, have some of it freed at once."""
        if self._gauge is None:
            return
        before, self.memory = self.memory, self._used()
        # What it grew by since it was read last, it may grow by until it is read again.
        growth = max(0.0, self.memory - before) if self._read_at else 0.0
        self._read_at = now
        over = self._gauge.over(self._most, self.memory + growth)
        self._near = over > -NEAR
        self._relieve(over, self._gauge.ended)
        if over >= 0.0:
            self._give_back(now)

    def _give_back(self, now: float) -> None:
        if now >= self._trim_at:
            took = self._trim()
            self._trim_at = now + max(TRIM_EVERY, took / SHARE_OF_TRIMS)

    @property
    def lag(self) -> float:
        """Seconds that the event loop was late at worst, of late."""
        return self._shown

    def samples(self) -> Iterable[Sample]:
        if self._gauge is None:
            self.memory = self._used()
        yield Sample("meshproxy_event_loop_lag_seconds", (), round(self._shown, 6))
        yield Sample("meshproxy_memory_pressure", (), round(self.memory, 6))
