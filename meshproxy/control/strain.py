"""How late the event loop is and how full the memory: looked at by the app's own sweep.

Costs a subtraction per look. Memory is read ten times a second where somebody wants to know,
else when the metrics are asked for; while it is short, what was freed is given back once a
second. What follows from it is for the gauge that is followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from meshproxy.core.report import Sample

READ_EVERY = 0.1
TRIM_EVERY = 1.0


class Gauge(Protocol):
    """Whoever makes something of it; `most` is what the file says."""

    def look(self, most: Any, lag: float, memory: float, elapsed: float) -> None: ...
    def is_short_of_memory(self) -> bool: ...


class Strain:
    """The latest look. `used` gives the share of memory in use, `trim` gives freed memory back."""

    __slots__ = (
        "_gauge", "_looked_at", "_most", "_read_at", "_shown", "_trim", "_trimmed_at", "_used",
        "memory",
    )  # fmt: skip

    def __init__(self, used: Callable[[], float], trim: Callable[[], None], now: float) -> None:
        self._used = used
        self._trim = trim
        self._gauge: Gauge | None = None
        self._most: Any = None
        self._looked_at = now
        self._read_at = self._trimmed_at = 0.0
        self._shown = 0.0
        self.memory = 0.0

    def follow(self, gauge: Gauge | None, most: Any) -> None:
        """From here on this gauge is told, by these bounds; None: nobody wants to know."""
        self._gauge = gauge
        self._most = most

    def look(self, due: float, now: float) -> None:
        """A timer that was due then fires now."""
        lag = max(0.0, now - due)
        elapsed = now - self._looked_at
        self._looked_at = now
        # The worst of the last seconds, so that a scrape does not miss it.
        self._shown = max(lag, self._shown * 0.5**elapsed)
        if self._gauge is None:
            return
        if now >= self._read_at + READ_EVERY:
            self._read_at = now
            self.memory = self._used()
        self._gauge.look(self._most, lag, self.memory, elapsed)
        if self._gauge.is_short_of_memory() and now >= self._trimmed_at + TRIM_EVERY:
            self._trimmed_at = now
            self._trim()

    @property
    def lag(self) -> float:
        """Seconds that the event loop was late at worst, of late."""
        return self._shown

    def samples(self) -> Iterable[Sample]:
        if self._gauge is None:
            self.memory = self._used()
        yield Sample("meshproxy_event_loop_lag_seconds", (), round(self._shown, 6))
        yield Sample("meshproxy_memory_pressure", (), round(self.memory, 6))
