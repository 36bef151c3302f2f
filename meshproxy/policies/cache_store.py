"""What a response cache remembers: stored answers, least recently used first to go, to the byte.

An answer stands under the host and target of its request (the primary key) and under the
values of the fields that it varies by (the secondary one). Also here: what was invalidated and
when, so that an answer that was asked for before that is not stored after it. What may be stored
and how long it is good is not known here.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from meshproxy.core.report import Sample

if TYPE_CHECKING:
    from meshproxy.logic.caching import Says

OVERHEAD = 2048
"""Bytes that an entry takes besides its keys, fields and body; tests measure that it is enough."""

REMEMBERED = 1024
"""Invalidations that are told apart; an older one counts for every key."""

Key = tuple[bytes, bytes]
Names = tuple[bytes, ...]


class Entry:
    """One stored answer. `born` is when it would have left its origin, by our clock.

    Until `busy_until` somebody asks whether it has changed, and nobody else need; until
    `failing_until` its upstream is taken to be failing still.
    """

    __slots__ = ("body", "born", "busy_until", "failing_until", "fields", "key", "route", "says")

    def __init__(self, key: Key, route: str, says: Says, fields: bytes, born: float) -> None:
        self.key = key
        self.route = route
        self.says = says
        self.fields = fields
        self.body = b""
        self.born = born
        self.busy_until = 0.0
        self.failing_until = 0.0

    @property
    def size(self) -> int:
        return OVERHEAD + sum(map(len, self.key)) + len(self.fields) + len(self.body)


class Counts:
    """Requests by direction, route and result: one cell for all, so that no series comes twice."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def samples(self) -> Iterable[Sample]:
        for (direction, route, result), count in self.counts.items():
            labels = (("direction", direction), ("route", route), ("result", result))
            yield Sample("meshproxy_cache_requests_total", labels, float(count))


class Store:
    """The answers that the ledger keeps for one rule and upstream.

    `most_bytes` and `most` are as the generation of the file says that stored last. `pending`
    are bytes of bodies that are still coming in.
    """

    __slots__ = (
        "_floor", "_invalidated", "_variants", "bytes", "entries", "evicted", "most", "most_bytes",
        "owner", "pending", "upstream",
    )  # fmt: skip

    section = "cache"

    def __init__(self, upstream: str, owner: str) -> None:
        self.upstream = upstream
        self.owner = owner
        self.most_bytes = 0
        self.most = 0
        self.bytes = 0
        self.pending = 0
        self.evicted = 0
        self.entries: OrderedDict[Key, Entry] = OrderedDict()
        self._variants: dict[bytes, tuple[Names, set[bytes]]] = {}
        self._invalidated: OrderedDict[bytes, float] = OrderedDict()
        self._floor = -inf

    def names(self, primary: bytes) -> Names | None:
        """The fields that the answers under this key vary by; None where there are none."""
        found = self._variants.get(primary)
        return found[0] if found is not None else None

    def get(self, key: Key) -> Entry | None:
        entry = self.entries.get(key)
        if entry is not None:
            self.entries.move_to_end(key)
        return entry

    def peek(self, key: Key) -> Entry | None:
        """The same for those who only ask: it does not count as use."""
        return self.entries.get(key)

    def widen(self, primary: bytes, names: Names) -> Names:
        """All answers of one key vary by the same fields: those of the new one and those before.

        RFC 9111 section 4.1 lets each have its own. One that varied by less was stored without
        the values that are asked for now, and goes.
        """
        before = self.names(primary)
        if before is None:
            return names
        both = tuple(sorted({*before, *names}))
        if both != before:
            self.drop_all(primary)
        return both

    def put(self, entry: Entry, names: Names) -> None:
        """Store it, in the place of what stood there, and make room for it."""
        self.drop(entry.key)
        if entry.size > self.most_bytes:
            return
        primary, secondary = entry.key
        self._variants.setdefault(primary, (names, set()))[1].add(secondary)
        self.entries[entry.key] = entry
        self.bytes += entry.size
        self._make_room()

    def _make_room(self) -> None:
        while self.bytes > self.most_bytes or len(self.entries) > self.most:
            self.drop(next(iter(self.entries)))
            self.evicted += 1

    def drop(self, key: Key) -> None:
        entry = self.entries.pop(key, None)
        if entry is None:
            return
        self.bytes -= entry.size
        secondaries = self._variants[key[0]][1]
        secondaries.discard(key[1])
        if not secondaries:
            del self._variants[key[0]]

    def renew(self, entry: Entry, says: Says, fields: bytes, born: float) -> None:
        """What a validation told of an entry; one that has left since then stays away."""
        stored = self.entries.get(entry.key) is entry
        self.bytes -= entry.size if stored else 0
        entry.says, entry.fields, entry.born = says, fields, born
        entry.busy_until = entry.failing_until = 0.0
        self.bytes += entry.size if stored else 0
        self._make_room()

    # Invalidation

    def drop_all(self, primary: bytes) -> None:
        """Every variant of one key."""
        found = self._variants.get(primary)
        for secondary in tuple(found[1]) if found is not None else ():
            self.drop((primary, secondary))

    def invalidate(self, primary: bytes, now: float) -> None:
        """Forget it, and whatever was asked for before now and has still to come."""
        self.drop_all(primary)
        self._invalidated[primary] = now
        self._invalidated.move_to_end(primary)
        if len(self._invalidated) > REMEMBERED:
            self._floor = max(self._floor, self._invalidated.popitem(last=False)[1])

    def is_current(self, primary: bytes, sent_at: float) -> bool:
        """Whether an answer that was asked for then may still be stored."""
        return sent_at > self._floor and sent_at > self._invalidated.get(primary, -inf)

    def purge(self, route: str, prefix: str, now: float) -> int:
        """Forget the answers of a route (all, if empty) whose target begins so; how many."""
        start = prefix.encode("utf-8", "surrogateescape")
        gone = [
            key
            for key, entry in self.entries.items()
            if (not route or entry.route == route) and key[0].partition(b"\n")[2].startswith(start)
        ]
        for key in gone:
            self.drop(key)
        self._floor = now
        return len(gone)

    # What is told of it

    def samples(self) -> Iterable[Sample]:
        where = (("upstream", self.upstream), ("scope", self.owner))
        yield Sample("meshproxy_cache_bytes", where, float(self.bytes))
        yield Sample("meshproxy_cache_entries", where, float(len(self.entries)))
        yield Sample("meshproxy_cache_evictions_total", where, float(self.evicted))

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # a count has no age
        return {
            "upstream": self.upstream,
            "scope": self.owner,
            "entries": len(self.entries),
            "max_entries": self.most,
            "bytes": self.bytes,
            "max_bytes": self.most_bytes,
            "evicted": self.evicted,
            "keys": len(self._variants),
        }
