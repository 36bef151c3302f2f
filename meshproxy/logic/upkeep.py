"""When a worker is started again, and what is thought of one that does not answer.

Pure arithmetic over a `now` that the caller supplies, in monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SETTLED = 2.0
"""Seconds after which a worker that ends has not crashed at its start: to start one costs a tenth
of a second of processor time at most, so one that lives longer may come back at once each time."""

FIRST, MOST = 0.5, 30.0
"""Seconds of the first pause between two starts that failed, and of the longest."""

QUIET = 0.8
"""Seconds without a beat after which a worker is taken to be stuck: with the looks between, it is
noticed within 1 s."""

GIVEN_UP = 4.0
"""Seconds without a beat after which it is replaced: within 5 s, the start of another included."""


class Health(Enum):
    """What a beat's age says."""

    WELL = 0
    STUCK = 1
    LOST = 2


def health(age: float) -> Health:
    """Of a worker whose loop last turned `age` seconds ago."""
    if age >= GIVEN_UP:
        return Health.LOST
    return Health.STUCK if age >= QUIET else Health.WELL


@dataclass(slots=True)
class Starts:
    """The starts of one seat: the first replacement is at once, then it takes longer each time."""

    began: float = 0.0
    failed: int = 0
    due: float = 0.0

    def start(self, now: float) -> None:
        self.began = now

    def ended(self, now: float) -> float:
        """It has ended; the seconds until another may begin."""
        self.failed = 0 if now - self.began >= SETTLED else self.failed + 1
        pause = 0.0 if self.failed < 2 else min(FIRST * 2.0 ** (self.failed - 2), MOST)
        self.due = now + pause
        return pause
