"""What a limit owes one client, held against what it gave: as much, no more, and its burst at once.

A reference bucket is asked whenever the client asks, at the client's own times, so a client that
pauses is owed less. Nothing here reads a clock, and nothing is shared with the limiter itself.
"""

from __future__ import annotations

TOLERANCE = 0.05


class Allowance:
    """One client from its very first request on: `asked` before each, `told` after each."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._level = rate, burst, burst
        self._since = self._at = self._last = 0.0
        self._asked = self._owed = self._given = 0
        self._before_no: int | None = None

    def asked(self, now: float) -> None:
        """A request leaves."""
        if not self._asked:
            self._since = self._at = now
        self._asked += 1
        self._level = min(self._burst, self._level + self._rate * (now - self._at))
        self._at = now
        if self._level >= 1.0:
            self._level -= 1.0
            self._owed += 1

    def told(self, now: float, given: bool) -> None:
        """An answer is here."""
        self._last = now
        self._given += given
        if not given and self._before_no is None:
            self._before_no = self._asked

    def problems(self) -> list[str]:
        """How the limit differed; empty while it did not.

        The most is exact: all that the limiter saw lies between the first request and the last
        answer. The least leaves a burst for answers that were late at either end.
        """
        most = (self._burst + self._rate * (self._last - self._since)) * (1.0 + TOLERANCE) + 1.0
        least = self._owed * (1.0 - TOLERANCE) - self._burst
        found = []
        if self._given > most:
            found.append(f"the limit gave {self._given}, at most {most:.0f} is allowed")
        if self._given < least:
            found.append(f"the limit gave {self._given}, at least {least:.0f} is owed")
        if self._before_no is not None and self._before_no <= self._burst:
            found.append(f"the limit refused one of the first {self._before_no}, within its burst")
        return found
