"""Token bucket: may one more request start, and if not, when.

Pure arithmetic over a `now` the caller supplies. `Rate` is what the operator wrote; `Level`
is what traffic left behind. They are apart so that a reload can replace the first and keep
the second. Who a request is counted under is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ENOUGH = 1.0 - 1e-6
"""Tokens that pass for one: sums of floats fall short, and whoever waited must be let in.

What is spent is still a whole token, so the shortage is paid back and never adds up.
"""


@dataclass(slots=True)
class Level:
    """Tokens that were left at `stamp`, in seconds of the caller's clock."""

    tokens: float
    stamp: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens per second, and how many may be saved up; `burst` is at least 1.0."""

    per_second: float
    burst: float

    @property
    def most(self) -> float:
        """How many may come at once."""
        return self.burst

    def fresh(self, now: float) -> Level:
        """A full bucket."""
        return Level(self.burst, now)

    def take(self, level: Level, now: float) -> float:
        """Spend one token; 0.0 when it was there, else the seconds until it will be.

        A clock that stands still or steps back adds nothing; one that leaps ahead adds at
        most the burst. A level above a burst that a reload lowered is cut to it.
        """
        tokens = level.tokens
        if now > level.stamp:
            tokens += (now - level.stamp) * self.per_second
            level.stamp = now
        if tokens > self.burst:
            tokens = self.burst
        if tokens >= ENOUGH:
            level.tokens = tokens - 1.0
            return 0.0
        level.tokens = tokens
        return (1.0 - tokens) / self.per_second

    def charge(self, level: Level, count: int, at: float) -> None:
        """Others spent so many at that moment: what is missing then is owed."""
        if at > level.stamp:
            level.tokens = min(self.burst, level.tokens + (at - level.stamp) * self.per_second)
            level.stamp = at
        level.tokens -= count

    def peek(self, level: Level, now: float) -> float:
        """What `take` would answer; asks, and changes nothing."""
        return self.take(replace(level), now)

    def give_back(self, level: Level) -> None:
        """Undo a `take` of this very moment that answered 0.0."""
        level.tokens += 1.0

    def left(self, level: Level, now: float) -> float:
        """Tokens there are at `now`; asks, and changes nothing."""
        grown = level.tokens + max(0.0, now - level.stamp) * self.per_second
        return min(self.burst, grown)

    def is_fresh(self, level: Level, now: float) -> bool:
        """Whether this level says no more than a full bucket made now would."""
        return level.tokens + (now - level.stamp) * self.per_second >= self.burst
