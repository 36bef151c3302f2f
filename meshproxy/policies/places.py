"""Places for exchanges that run at once, and the line of those who wait for one.

A place is handed from who leaves to whose turn it is: the most important, and of those who has
waited longest. It is given back through the exchange's deferred releases, so no end of an
exchange can lose one; an exchange that left the line takes none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from meshproxy.core.report import Sample
from meshproxy.logic.line import Line

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.sharing import Gauge


class Places:
    """What the ledger keeps: how many places are taken, and who waits.

    `most` is how many there may be, as the generation of the file says that admitted last;
    exchanges of an older one give their places back under it too. `waiting` counts those in the
    line and those just called out of it, so that 0 means that nobody needs to be looked for.
    """

    __slots__ = (
        "in_use", "letting_in", "line", "most", "owner", "refused", "tickets", "upstream",
        "waiting",
    )  # fmt: skip

    def __init__(self, upstream: str, owner: str) -> None:
        self.upstream = upstream
        self.owner = owner
        self.most = 0
        self.in_use = 0
        self.refused = 0
        self.waiting = 0
        self.letting_in = False
        self.line: Line[Ticket] = Line()
        self.tickets: dict[Exchange, Ticket] = {}

    def release(self, now: float) -> None:
        """A place is free."""
        self.in_use -= 1
        if self.waiting:
            self.let_in(now)

    def let_in(self, now: float) -> None:
        """Seat those whose turn it is, while there is room.

        An exchange that wakes may end at once and free its place again; the loop that is
        already running then goes on with the next, so a long line is no deep recursion.
        """
        if self.letting_in:
            return
        self.letting_in = True
        try:
            while self.line.size and self.in_use < self.most:
                ticket = self.line.first()
                # Whoever is not parked any more (expired, concluded) has left the line.
                if ticket.is_parked():
                    self.in_use += 1
                    ticket.seated = True
                self._call(ticket, now)
        finally:
            self.letting_in = False

    def join(self, exchange: Exchange, rank: int) -> Ticket:
        """Another one waits."""
        ticket = self.tickets[exchange] = Ticket(self, exchange)
        self.line.join(ticket, rank)
        self.waiting += 1
        exchange.defer(ticket.leave)
        return ticket

    def give_way(self, rank: int, now: float) -> bool:
        """Put out the least important one, if it is less so than `rank`; whether it was."""
        ticket = self.line.give_way(rank)
        if ticket is None:
            return False
        ticket.put_out = True
        self._call(ticket, now)
        return True

    def forget(self, ticket: Ticket) -> None:
        """It waits no more."""
        self.tickets.pop(ticket.exchange, None)
        if self.line.leave(ticket):
            self.waiting -= 1

    def _call(self, ticket: Ticket, now: float) -> None:
        wake = ticket.exchange.wake
        if ticket.is_parked() and wake is not None:
            wake(now)
        self.waiting -= 1

    def samples(self) -> Iterable[Sample]:
        where = (("upstream", self.upstream), ("scope", self.owner))
        yield Sample("meshproxy_concurrency_in_use", where, float(self.in_use))
        yield Sample("meshproxy_concurrency_queued", where, float(self.line.size))
        yield Sample("meshproxy_concurrency_limit", where, float(self.most))


class SharedPlaces(Places):
    """The same where other workers take of the same places: `own` is what they leave us.

    Two that take the last place in the same microsecond both have it.
    """

    __slots__ = ("_all", "gauge")

    gauge: Gauge

    def __init__(self, upstream: str, owner: str) -> None:
        super().__init__(upstream, owner)
        self._all = 0

    def own(self, most: int) -> int:
        """Of `most` for everyone, how many are for this worker now."""
        self._all = most
        return max(0, most - self.gauge.others())

    def release(self, now: float) -> None:
        super().release(now)
        self.gauge.show(self.in_use)

    def let_in(self, now: float) -> None:
        super().let_in(now)
        self.gauge.show(self.in_use)

    def look(self, now: float) -> None:
        """Elsewhere a place may have come free, and nobody says so."""
        if self.waiting:
            self.most = self.own(self._all)
            self.let_in(now)

    def samples(self) -> Iterable[Sample]:
        """The limit is that of all workers, so one of them tells it."""
        where = (("upstream", self.upstream), ("scope", self.owner))
        yield Sample("meshproxy_concurrency_in_use", where, float(self.in_use))
        yield Sample("meshproxy_concurrency_queued", where, float(self.line.size))
        yield Sample("meshproxy_concurrency_limit", where, float(self._all))


class Ticket:
    """One exchange in the line, and later in its place."""

    __slots__ = ("_places", "exchange", "put_out", "seated")

    def __init__(self, places: Places, exchange: Exchange) -> None:
        self._places = places
        self.exchange = exchange
        self.seated = False
        self.put_out = False

    def is_parked(self) -> bool:
        return self.exchange.wake is not None and not self.exchange.concluded

    def leave(self, now: float) -> None:
        """The exchange has ended: give the place back, or step out of the line."""
        self._places.forget(self)
        if self.seated:
            self._places.release(now)
