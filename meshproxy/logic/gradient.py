"""How many requests an upstream takes at once without making them wait: learned from answers.

The gradient of Envoy's adaptive concurrency: the limit follows `base / took` plus room for the
square root of itself. What `base` is, the time of an answer that waited for nobody, is learned
without the regular dips to a few requests that shed healthy traffic. It comes from windows with
few requests in flight anyway; else it falls with every faster window, and it rises only after
a cut of the limit that made answers no faster: then it was not our queue. Where the limit
binds and answers are slow, such a cut is made now and then: 30 % for one window. Of an upstream
that many proxies share a cut here shows less, and `base` may drift up, as a measured one would.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

WINDOW = 0.1
"""Seconds that a window lasts at least."""
ENOUGH = 50
TURNS = 2.0
FEW = 5
PATIENCE = 1.0
"""Answers that make a window, or so many for each place; after so many seconds a few will do."""
MOST = 500
"""Answers of one window that are looked at."""

SLACK = 1.25
"""So much slower than `base` is still well: Envoy's buffer of 25 %."""
LEAST_GRADIENT, MOST_GRADIENT = 0.5, 2.0
USED = 0.5
"""Share of the limit that must have been in use for it to grow; else nothing tested it."""

BOUND = 0.9
"""Share of the limit in use from which on it is what holds requests back."""

CUT = 0.7
"""What is left of the limit while it is tried whether fewer requests are answered faster."""
TRY_EVERY, TRY_SOON = 5.0, 0.5
"""Seconds between two such tries; the shorter one while they keep saying that it is."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limit stays between these; where `least` are in flight none waits for another."""

    least: int = 10
    most: int = 1000


class Gradient:
    """A limit and what it was learned from; `base` and `took` are seconds, 0.0 before any."""

    __slots__ = (
        "_before", "_began", "_full", "_peak", "_samples", "_try_at", "base", "limit", "took",
    )  # fmt: skip

    def __init__(self, bounds: Bounds, now: float) -> None:
        self.limit = float(bounds.least)
        self.base = 0.0
        self.took = 0.0
        self._began = now
        self._samples: list[float] = []
        self._peak = 0
        self._before = (0.0, 0)  # what the window before a cut took, with how many in flight
        self._full = 0.0  # the limit that a try has cut
        self._try_at = now + TRY_EVERY

    def answered(self, bounds: Bounds, sent_at: float, in_flight: int, now: float) -> None:
        """An answer came after so long, with so many in flight.

        What was sent before the window began speaks of an earlier limit.
        """
        if sent_at < self._began:
            return
        self._peak = max(self._peak, in_flight)
        samples = self._samples
        if len(samples) < MOST:
            samples.append(now - sent_at)
        lasted = now - self._began
        if lasted >= WINDOW and (
            len(samples) >= min(ENOUGH, TURNS * self.limit)
            or (lasted >= PATIENCE and len(samples) >= FEW)
        ):
            self._turn(bounds, now)

    def _turn(self, bounds: Bounds, now: float) -> None:
        """A window is over: learn from it, and begin the next."""
        took, peak = median(self._samples), self._peak
        self._learn_base(bounds, took, peak, now)
        before = self.limit
        if self._full:
            self.limit, self._full = self._full, 0.0
        else:
            self.limit = self._next(took, peak)
            if self._is_due(took, peak, before, now):
                self._full, self.limit = self.limit, self.limit * CUT
                self._try_at = now + TRY_EVERY
        self.limit = min(max(self.limit, float(bounds.least)), float(bounds.most))
        self._before = (took, peak) if self.limit < before else (0.0, 0)
        self.took = took
        self._samples = []
        self._peak = 0
        self._began = now

    def _learn_base(self, bounds: Bounds, took: float, peak: int, now: float) -> None:
        """Half the way at a time: one odd window decides nothing."""
        if not self.base:
            self.base = took
        elif took < self.base or peak <= bounds.least:
            self.base += (took - self.base) / 2
        elif self._is_not_ours(took, peak):
            self.base += (took - self.base) / 2
            self._try_at = now + TRY_SOON

    def _is_not_ours(self, took: float, peak: int) -> bool:
        """Fewer were in flight, and they waited as long. Little's law: in a queue they'd not."""
        slow, many = self._before
        if not slow or peak > (1.0 + CUT) / 2 * many:
            return False
        return took / slow > (1.0 + peak / many) / 2

    def _next(self, took: float, peak: int) -> float:
        gradient = max(
            LEAST_GRADIENT, min(MOST_GRADIENT, SLACK * self.base / took if took else 2.0)
        )
        wanted = gradient * self.limit + sqrt(self.limit)
        if wanted > self.limit and peak < USED * self.limit:
            return self.limit
        return wanted

    def _is_due(self, took: float, peak: int, limit: float, now: float) -> bool:
        """Whether to try a cut: only where the limit binds, so that it is shedding already."""
        return now >= self._try_at and took > SLACK * self.base and peak >= BOUND * limit


def median(samples: list[float]) -> float:
    """The middle one; the lower of two."""
    ordered = sorted(samples)
    return ordered[(len(ordered) - 1) // 2]
