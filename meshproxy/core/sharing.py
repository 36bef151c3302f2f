"""What several workers of one sidecar know together, as a policy sees it.

A policy that is built for one process of several says by name what it shares. Names are tuples
of plain values, the same in every worker; what a name means is the policy's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Say = Callable[[int, bytes, float], None]
"""(count, key, now): one thing that happened here, for all others to hear; a key has at most 64
bytes, a count fits a signed byte."""

Hear = Callable[[int, bytes, float], None]
"""The same, as it happened elsewhere; `now` is when, by the clock that all of them share."""


class Gauge(Protocol):
    """A number of this worker, and the sum of those that the others show under its name."""

    def show(self, value: int) -> None: ...
    def others(self) -> int: ...


class Lease(Protocol):
    """What one worker at a time may hold, number by number; the dead hold nothing."""

    def take(self, number: int = 0) -> bool: ...
    def give_back(self, number: int = 0) -> None: ...


class Sharing(Protocol):
    """All that one compile of the config shares; asked again at each, for as long as it counts."""

    def talk(self, name: tuple[Any, ...], hear: Hear) -> Say:
        """Join those who talk under this name."""

    def listen(self) -> None:
        """Hear now what was said elsewhere; else that is at the next turn of the loop."""

    def gauge(self, name: tuple[Any, ...]) -> Gauge: ...

    def lease(self, name: tuple[Any, ...]) -> Lease: ...

    def each_turn(self, look: Callable[[float], None]) -> None:
        """Call `look(now)` 40 times a second."""

    def greet(self, tell: Callable[[float], None]) -> None:
        """Call `tell(now)` when a worker has joined that knows nothing yet."""
