"""The clock of all exchanges in flight: one timer for all of them, while there are any.

A timer of the loop per exchange would cost more than the whole of its rate limits (1.2 us to
make and cancel one). Looking every few milliseconds whether the soonest is due costs next to
nothing, and is late by at most one look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshproxy.core.exchange import Exchange

LOOK = 0.01
"""Seconds between two looks: how late a timeout can be."""

FOREVER = 86400.0
"""Seconds until an exchange is looked at again where no timeout is set."""

GLANCE = 1 / 32
"""Of the idle timeout, how often it is looked whether something has moved: as late it may be.

Nothing notes the time at which a byte passes, so that none has to be read for that.
"""


class Deadlines:
    """Calls `expired(exchange, now)` for each exchange whose `due` has come."""

    __slots__ = ("_clock", "_expired", "_later", "_running", "_soonest", "_turning", "forget")

    def __init__(
        self,
        clock: Callable[[], float],
        later: Callable[..., Any],
        expired: Callable[[Exchange, float], None],
    ) -> None:
        self._expired = expired
        self._clock = clock
        self._later = later
        self._running: set[Exchange] = set()
        # It has ended. A method of C: no frame of Python is made for it.
        self.forget = self._running.discard
        self._soonest = 0.0
        self._turning = False

    def watch(self, exchange: Exchange) -> None:
        """From now on, or with a new `due`."""
        running = self._running
        if not running or exchange.due < self._soonest:
            self._soonest = exchange.due
            if not self._turning:
                self._turning = True
                self._later(LOOK, self._look)
        running.add(exchange)

    def arm(self, exchange: Exchange, now: float) -> None:
        """Something moved: look again at the end of the call, of the try, or of a silence."""
        idle = exchange.route.idle_timeout or FOREVER
        exchange.idle_due = now + idle
        exchange.progress = exchange.bytes_in + exchange.bytes_out
        self.look_at(exchange, now + idle * GLANCE)

    def look_at(self, exchange: Exchange, due: float) -> None:
        """Look at it then, or when one of its own times comes first."""
        if exchange.deadline and exchange.deadline < due:
            due = exchange.deadline
        if exchange.try_due and exchange.try_due < due:
            due = exchange.try_due
        if exchange.extras is not None and 0.0 < exchange.extras.hedge_due < due:
            due = exchange.extras.hedge_due
        exchange.due = due
        self.watch(exchange)

    def _look(self) -> None:
        if not self._running:
            self._turning = False
            return
        self._later(LOOK, self._look)
        now = self._clock()
        if now < self._soonest:
            return
        for exchange in [one for one in self._running if one.due <= now]:
            if exchange in self._running:  # the one before it may have ended it
                self._expired(exchange, now)
        self._soonest = min((one.due for one in self._running), default=0.0)
