"""What becomes of an upstream's answer: stored, a stored one renewed or forgotten, or passed on.

RFC 9111 sections 3, 4.3.3 to 4.3.5 and 4.4. Tells those who wait for the answer to go on, as
soon as it is clear what they would get.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshproxy.logic import caching, freshness
from meshproxy.logic.caching import Asked, Says
from meshproxy.policies import cache_keys
from meshproxy.policies.cache_store import Entry

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Head
    from meshproxy.policies.cache_flights import Flights
    from meshproxy.policies.cache_keys import Secondary
    from meshproxy.policies.cache_store import Store

_ANYBODY = Asked()
_PASSING = frozenset({408, 425, 429, *range(500, 600)})
"""Statuses that tell of the upstream's troubles, and nothing of what is stored."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the file says about storing."""

    ttl: float | None
    max_bytes: int
    max_entries: int
    max_body: int
    stale_if_error: float


class Intake:
    """Takes in the answers of one route."""

    __slots__ = ("_bounds", "_flights", "_secondary", "_store")

    def __init__(
        self, bounds: Bounds, store: Store, flights: Flights, secondary: Secondary
    ) -> None:
        self._bounds = bounds
        self._store = store
        self._flights = flights
        self._secondary = secondary

    def take(self, exchange: Exchange, head: Head, now: float) -> Copy | None:
        """A final answer to a GET: a keeper of its body, if it is one to store."""
        says = caching.read(head.status, caching.fields(head.lines))
        ttl = self._bounds.ttl
        if caching.why_not(says, self._asked(exchange), ttl) or not self._has_use(says):
            if head.status not in _PASSING and caching.why_not(says, _ANYBODY, ttl):
                self._forget(exchange)
            self._flights.land(exchange, now, alone=head.status not in _PASSING)
            return None
        if head.length > self._bounds.max_body:
            self._flights.land(exchange, now, alone=True)
            return None
        if not freshness.lifetime(says, ttl):
            # Stored to be validated, and for bad times; nobody else may have it as it is.
            self._flights.land(exchange, now, alone=True)
        return Copy(self, exchange, says, caching.stored(head.lines))

    def _forget(self, exchange: Exchange) -> None:
        """Section 4.3.3: what is stored is not what the upstream says any more."""
        key = cache_keys.primary(exchange)
        names = self._store.names(key)
        if names is not None:
            self._store.drop((key, self._secondary.of(exchange, names)))

    def _asked(self, exchange: Exchange) -> Asked:
        taken = exchange.taken
        said = taken.get(b"cache-control")
        return Asked(
            authorized=b"authorization" in taken,
            private=b"cookie" in taken and not self._secondary.has_cookie,
            no_store=said is not None and b"no-store" in caching.control(said),
        )

    def _has_use(self, says: Says) -> bool:
        """Whether it can ever be given to anybody."""
        if freshness.lifetime(says, self._bounds.ttl) or says.validator:
            return True
        return freshness.stale_for(says, b"stale-if-error", self._bounds.stale_if_error) > 0.0

    def has_room(self, more: int, size: int) -> bool:
        """Whether so many bytes may be held of a body that then has `size`; if so, they are."""
        store, bounds = self._store, self._bounds
        if size > bounds.max_body or store.pending + more > bounds.max_bytes:
            return False
        store.pending += more
        return True

    def let_go(self, size: int) -> None:
        self._store.pending -= size

    def pass_by(self, exchange: Exchange, now: float) -> None:
        """It was too large after all."""
        self._flights.land(exchange, now, alone=True)

    def store(self, copy: Copy, body: bytes, now: float) -> None:
        """The whole answer is here."""
        store, exchange, says = self._store, copy.exchange, copy.says
        key = cache_keys.primary(exchange)
        if store.is_current(key, exchange.sent_at):
            store.most_bytes, store.most = self._bounds.max_bytes, self._bounds.max_entries
            names = store.widen(key, says.vary or ())
            secondary = self._secondary.of(exchange, names)
            born = exchange.sent_at - says.age
            entry = Entry((key, secondary), exchange.route.name, says, copy.fields, born)
            entry.body = body
            store.put(entry, names)
        self._flights.land(exchange, now)

    def renew(self, exchange: Exchange, head: Head, entry: Entry, now: float) -> bool:
        """A 304: renew what it speaks of (section 4.3.4); False if that is not this entry."""
        told = caching.read(304, caching.fields(head.lines))
        matches = freshness.same(entry.says, told)
        if matches:
            lines = caching.freshened(entry.fields, head.lines)
            says = caching.read(entry.says.status, caching.fields([lines]))
            says = replace(says, age=told.age)
            matches = says.vary == entry.says.vary
            self._store.renew(entry, says, lines, exchange.sent_at - told.age)
            if not matches or caching.why_not(says, _ANYBODY, self._bounds.ttl):
                self._store.drop(entry.key)
        self._flights.land(exchange, now)
        return matches

    def compare(self, head: Head, entry: Entry) -> None:
        """A HEAD's 200 that tells of another body than the stored one (section 4.3.5)."""
        told = caching.read(head.status, caching.fields(head.lines))
        lengths = [value for name, value in caching.fields(head.lines) if name == b"content-length"]
        changed = (
            head.status != entry.says.status
            or told.etag != entry.says.etag
            or told.modified != entry.says.modified
            or (lengths and lengths != [b"%d" % len(entry.body)])
        )
        if changed and head.status not in _PASSING:
            self._store.drop(entry.key)

    def invalidate(self, exchange: Exchange, head: Head, now: float) -> None:
        """Section 4.4: what was written to is not as it was, nor what the answer points to."""
        self._store.invalidate(cache_keys.primary(exchange), now)
        for name, value in caching.fields(head.lines):
            if name in (b"location", b"content-location"):
                key = cache_keys.named(exchange, value)
                if key is not None:
                    self._store.invalidate(key, now)


class Copy:
    """A body on its way into the store; given up when it grows too large."""

    __slots__ = ("_intake", "_pieces", "_size", "exchange", "fields", "says")

    def __init__(self, intake: Intake, exchange: Exchange, says: Says, fields: bytes) -> None:
        self._intake = intake
        self._pieces: list[bytes] | None = []
        self._size = 0
        self.exchange = exchange
        self.says = says
        self.fields = fields

    def piece(self, data: bytes) -> None:
        if self._pieces is None:
            return
        if self._intake.has_room(len(data), self._size + len(data)):
            self._size += len(data)
            self._pieces.append(data)
        else:
            self._drop()

    def done(self, now: float) -> None:
        if self._pieces is None:
            self._intake.pass_by(self.exchange, now)
            return
        body = b"".join(self._pieces)
        self._drop()
        self._intake.store(self, body, now)

    def dropped(self, now: float) -> None:  # noqa: ARG002  # who waits learns it from the exchange
        self._drop()

    def _drop(self) -> None:
        self._intake.let_go(self._size)
        self._size = 0
        self._pieces = None
