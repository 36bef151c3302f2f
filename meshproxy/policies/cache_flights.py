"""Who fetches what at this moment, and who waits for it instead of fetching the same.

The first to miss leads. The rest wait until its answer is stored, or turns out to be for nobody
else; then each is asked again. A leader whose client leaves hands over to who has waited longest.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import partial
from typing import TYPE_CHECKING

from meshproxy.core.verdict import Hold

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.policies.cache_store import Key

HOLD = Hold(5.0, None, again=True)
"""How long to wait for another's answer, before asking for it oneself."""

ALONE_FOR = 10.0
"""Seconds for which nobody waits for an answer like one that could not be stored."""

MOST_ALONE = 1024


class Flight:
    """A fetch that others may wait for."""

    __slots__ = ("key", "leader", "waiting")

    def __init__(self, key: Key, leader: Exchange) -> None:
        self.key = key
        self.leader = leader
        self.waiting: deque[Exchange] = deque()


class Flights:
    """All fetches of one store."""

    __slots__ = ("_alone", "_by_key", "_held", "_leads")

    def __init__(self) -> None:
        self._by_key: dict[Key, Flight] = {}
        self._leads: dict[Exchange, Flight] = {}
        self._held: set[Exchange] = set()
        self._alone: OrderedDict[Key, float] = OrderedDict()

    def has_waited(self, exchange: Exchange) -> bool:
        return exchange in self._held

    def would_wait(self, key: Key) -> bool:
        """Whether somebody fetches this at the moment, and others may wait for it."""
        return key in self._by_key

    def join(self, exchange: Exchange, key: Key, now: float) -> Hold | None:
        """Wait for the one that fetches this, or fetch it now; nobody waits twice."""
        if exchange in self._held:
            self._held.discard(exchange)
            return None
        flight = self._by_key.get(key)
        if flight is not None:
            flight.waiting.append(exchange)
            self._held.add(exchange)
            exchange.defer(partial(self._over, exchange))
            return HOLD
        if self._alone.get(key, now) <= now:
            self._by_key[key] = self._leads[exchange] = Flight(key, exchange)
            exchange.defer(partial(self._over, exchange))
        return None

    def land(self, exchange: Exchange, now: float, alone: bool = False) -> None:
        """What it fetched is stored, or never will be (`alone`): those who wait go on."""
        flight = self._leads.pop(exchange, None)
        if flight is None:
            return
        del self._by_key[flight.key]
        if alone:
            self._leave_alone(flight.key, now)
        while flight.waiting:
            _wake(flight.waiting.popleft(), now)

    def _over(self, exchange: Exchange, now: float) -> None:
        """The exchange has ended."""
        self._held.discard(exchange)
        if exchange in self._leads:
            if "DC" in exchange.flags:
                self._hand_over(exchange, now)
            self.land(exchange, now)

    def _hand_over(self, exchange: Exchange, now: float) -> None:
        """Its client has left: who waited longest fetches now, for the others too."""
        flight = self._leads[exchange]
        while flight.waiting:
            heir = flight.waiting.popleft()
            if heir.wake is not None and not heir.concluded:
                del self._leads[exchange]
                flight.leader = heir
                self._leads[heir] = flight
                _wake(heir, now)
                return

    def _leave_alone(self, key: Key, now: float) -> None:
        self._alone[key] = now + ALONE_FOR
        self._alone.move_to_end(key)
        if len(self._alone) > MOST_ALONE:
            self._alone.popitem(last=False)


def _wake(exchange: Exchange, now: float) -> None:
    # Whoever is not parked any more (its time is over, it has ended) needs no waking.
    if exchange.wake is not None and not exchange.concluded:
        exchange.wake(now)
