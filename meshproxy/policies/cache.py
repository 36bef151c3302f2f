"""Response cache: answer from what is stored, ask whether it has changed, fetch it once for all.

The rules of RFC 9111 are `logic.caching` and `logic.freshness`; what is stored is
`cache_store` and comes in by `cache_intake`, who waits for whom `cache_flights`. Here they meet
the walk of an exchange.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from meshproxy.core.fields import Duration, Size
from meshproxy.core.verdict import Hold, Refusal, Served
from meshproxy.logic import freshness
from meshproxy.policies.cache_flights import Flights
from meshproxy.policies.cache_foreseen import STANDS_IN, Foreseen, serve
from meshproxy.policies.cache_intake import Bounds, Intake
from meshproxy.policies.cache_keys import CONDITIONS, Secondary, is_plain, primary
from meshproxy.policies.cache_store import Counts, Entry, Key, Store
from meshproxy.policies.contract import Scope, Spec
from meshproxy.policies.rate_limit import Per

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Head, Keeper
    from meshproxy.logic.caching import Says
    from meshproxy.logic.freshness import Wishes
    from meshproxy.policies.fallback import Causes

MiB = 1024 * 1024
AGAIN = 1.0
"""Seconds between two tries to renew an answer whose upstream fails."""

_MISS = b"x-cache: MISS\r\n"
_GONE = object()
_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
"""RFC 9110 section 9.2.1; any other method may have changed what it names."""


class CacheSpec(Spec):
    """Answer from memory what may be: RFC 9111, stale answers, one fetch for all who ask."""

    key: ClassVar[str] = "cache"
    of_route: ClassVar[bool] = True

    ttl: Duration | None = Field(
        default=None, gt=0.0, description="Instead of what answers say of their lifetime."
    )
    max_bytes: Size = Field(default=64 * MiB, ge=64 * 1024, description="Of all that is stored.")
    max_entries: int = Field(default=10_000, ge=1, le=1_000_000, description="Stored answers.")
    max_body: Size = Field(default=MiB, ge=0, description="Of one answer; a larger one passes by.")
    stale_while_revalidate: Duration = Field(
        default=10.0, description="So long after its time it will do, while it is asked for anew."
    )
    stale_if_error: Duration = Field(
        default=300.0, description="So long after its time it stands in for a failing upstream."
    )
    methods: tuple[Literal["GET", "HEAD"], ...] = Field(
        default=("GET", "HEAD"), description="Answered from what is stored, which a GET brings."
    )
    per: Per = Field(
        default=(), description="Answers are kept apart by header:NAME or ip, besides by Vary."
    )
    coalesce: bool = Field(default=True, description="Those who ask at once wait for one fetch.")

    @model_validator(mode="after")
    def _agree(self) -> CacheSpec:
        if "GET" not in self.methods:
            raise PydanticCustomError("methods", "methods must have GET: it brings what is stored")
        if self.max_body > self.max_bytes:
            raise PydanticCustomError("max_body", "max_body must not be above max_bytes")
        return self

    def bounds(self) -> Bounds:
        return Bounds(
            self.ttl, self.max_bytes, self.max_entries, self.max_body, self.stale_if_error
        )

    def build(self, scope: Scope) -> Cache:
        """Per owner and upstream; another key is another meaning of what is stored."""
        upstream = scope.cluster.name
        where = (upstream, self.per)
        fallback = scope.beside("fallback")
        causes = None if fallback is None else fallback.causes_of_stale(scope)
        spec = (
            self if causes is None else self.model_copy(update={"stale_if_error": fallback.stale})
        )
        store = scope.state("cache", lambda: Store(upstream, scope.owner), *where)
        flights = scope.state("cache_flights", Flights, *where)
        counts = scope.draft.state(("cache_requests",), Counts)
        return Cache(spec, scope, store, flights, counts, causes)


class Cache(Foreseen):
    """The rule of one route, over answers that outlive it.

    `_asking` are exchanges on their way to the upstream, each with the stored answer that it
    asks about, if it does; `_renewals` the same for those that nobody waits for, and
    `_renewed_for` those whose callers had a stale answer meanwhile.
    """

    __slots__ = (
        "_absent", "_asking", "_causes", "_counts", "_direction", "_flights", "_intake", "_methods",
        "_renewals", "_renewed_for", "_secondary", "_spec", "_store", "_ttl", "reads",
    )  # fmt: skip

    def __init__(
        self, spec: CacheSpec, scope: Scope, store: Store, flights: Flights, counts: Counts,
        causes: Causes | None,
    ) -> None:  # fmt: skip
        self._spec = spec
        self._causes = causes
        self._ttl = spec.ttl
        self._methods = frozenset(method.encode() for method in spec.methods)
        self._direction = scope.direction
        self._store = store
        self._flights = flights
        self._counts = counts.counts
        self._secondary = Secondary(spec.per, scope.hops)
        self._intake = Intake(spec.bounds(), store, flights, self._secondary)
        self._absent = Refusal(504, "NC", "only-if-cached, and nothing is stored", scope.rule)
        self._asking: dict[Exchange, Entry | None] = {}
        self._renewed_for: dict[Exchange, Entry] = {}
        self._renewals: dict[Exchange, Entry] = {}
        self.reads = self._secondary.reads

    # Before the upstream is asked

    def admit(self, exchange: Exchange, now: float) -> Served | Hold | Refusal | None:
        if exchange.method not in self._methods:
            return None
        if not is_plain(exchange):
            self._count(exchange, "bypass")
            return None
        said = exchange.taken.get(b"cache-control")
        wished = freshness.NONE if said is None else freshness.wishes(said, exchange.peer.trusted)
        entry = self._find(exchange)
        served = self._from(entry, exchange, wished, now) if entry is not None else None
        if served is not None:
            return served
        if wished.only_if_cached:
            self._count(exchange, "miss")
            return self._absent
        if self._may_wait(exchange, entry, wished):
            hold = self._flights.join(exchange, self._key(exchange), now)
            if hold is not None:
                return hold
        self._go(exchange, entry)
        return None

    def _from(self, entry: Entry, exchange: Exchange, wished: Wishes, now: float) -> Served | None:
        """What is stored, if it is good enough for this caller."""
        over = freshness.staleness(entry.says, now - entry.born, self._ttl, wished)
        if over == 0.0:
            waited = self._flights.has_waited(exchange)
            self._count(exchange, "coalesced" if waited else "hit")
            return serve(entry, exchange, b"HIT", now)
        word = self._stale_as(entry, over, wished, now)
        if word == "stale":
            self._count(exchange, "stale")
            refresh = self._renewal(entry, exchange, now)
            return serve(entry, exchange, b"STALE", now, refresh)
        if word == "fallback":
            self._count(exchange, "fallback")
            return serve(entry, exchange, b"STALE", now, more=STANDS_IN)
        return None

    def _stale_as(self, entry: Entry, over: float, wished: Wishes, now: float) -> str:
        """`stale` or `fallback`, over its time for so long; empty where it will not do."""
        says = entry.says
        if over <= self._meanwhile(says) or over <= freshness.stale_for(says, b"", wished.stale):
            return "stale"
        return "fallback" if now < entry.failing_until and over <= self._on_error(says) else ""

    def _meanwhile(self, says: Says) -> float:
        """How long after its time it will do; without a time, as long as it says itself."""
        ours = self._spec.stale_while_revalidate if freshness.lifetime(says, self._ttl) else 0.0
        return freshness.stale_for(says, b"stale-while-revalidate", ours)

    def _on_error(self, says: Says) -> float:
        return freshness.stale_for(says, b"stale-if-error", self._spec.stale_if_error)

    def _may_wait(self, exchange: Exchange, entry: Entry | None, wished: Wishes) -> bool:
        """Whether another caller's answer, if it can be stored, would do for this one."""
        return (
            self._spec.coalesce
            and exchange.method == b"GET"
            and wished.takes_any()
            and (entry is None or freshness.lifetime(entry.says, self._ttl) > 0.0)
        )

    def _go(self, exchange: Exchange, entry: Entry | None) -> None:
        """To the upstream; a caller's own conditions are not mixed with ours."""
        ours = exchange.method == b"GET" and CONDITIONS.isdisjoint(exchange.taken)
        self._asking[exchange] = entry if ours and entry and entry.says.validator else None
        exchange.defer(lambda now: self._close(exchange, "miss"))  # noqa: ARG005  # a release

    def _renewal(self, entry: Entry, exchange: Exchange, now: float) -> bytes | None:
        """The conditions to renew it under, if nobody is about to."""
        if now < entry.busy_until:
            return None
        entry.busy_until = now + AGAIN
        self._renewed_for[exchange] = entry
        exchange.defer(lambda now: self._served(exchange))  # noqa: ARG005  # a release
        return entry.says.validator

    def depart(self, exchange: Exchange, now: float) -> None:  # noqa: ARG002  # a phase
        entry = self._asking.get(exchange)
        if entry is not None:
            exchange.added.append(entry.says.validator)
            return
        leader = exchange.extras.leader if exchange.extras is not None else None
        if leader is not None and leader in self._renewed_for and exchange not in self._renewals:
            entry = self._renewals[exchange] = self._renewed_for[leader]
            entry.busy_until = inf
            exchange.defer(lambda now: self._rest(exchange, now))

    def _served(self, exchange: Exchange) -> None:
        self._renewed_for.pop(exchange, None)

    def _rest(self, exchange: Exchange, now: float) -> None:
        """A renewal has ended, one way or another."""
        self._renewals.pop(exchange).busy_until = now + AGAIN

    # The upstream has answered, or failed

    def keep(self, exchange: Exchange, head: Head, now: float) -> Keeper | Served | None:
        if exchange.method not in _SAFE:
            if 200 <= head.status < 400:
                self._intake.invalidate(exchange, head, now)
            return None
        if exchange.method not in self._methods or not is_plain(exchange):
            return None
        if head.status == 304:
            return self._unchanged(exchange, head, now)
        self._missed(exchange, head)
        if exchange.method == b"GET":
            return self._intake.take(exchange, head, now)
        entry = self._find(exchange)
        if entry is not None:
            self._intake.compare(head, entry)
        return None

    def _unchanged(self, exchange: Exchange, head: Head, now: float) -> Served | None:
        """A 304: to our question, which is the stored answer to the caller; or to the caller's."""
        asked = self._asking.get(exchange)
        entry = asked or self._renewals.get(exchange) or self._find(exchange)
        if entry is not None:
            renewed = self._intake.renew(exchange, head, entry, now)
            if not renewed and asked is not None:
                self._store.drop(entry.key)
        if asked is not None:
            self._close(exchange, "revalidated")
            return serve(asked, exchange, b"HIT", now)
        self._missed(exchange, head)
        return None

    def rescue(self, exchange: Exchange, refusal: Refusal | None, now: float) -> Served | None:
        why = self._cause(exchange, refusal)
        entry = None if why is None else self._find(exchange)
        if why is None or entry is None:
            return None
        over = self._over(entry, now)
        if over < 0.0:
            return None
        entry.failing_until = now + AGAIN
        if self._causes is not None:
            self._causes.count(why)
        self._close(exchange, "fallback")
        return serve(entry, exchange, b"STALE" if over else b"HIT", now, more=STANDS_IN)

    def _cause(self, exchange: Exchange, refusal: Refusal | None) -> str | None:
        """Why what is stored may stand in, empty by the cache's own rules; None: it may not."""
        if exchange.method not in self._methods or not is_plain(exchange):
            return None
        status = exchange.status if refusal is None else refusal.status
        if status < 500:
            return None
        return "" if self._causes is None else self._causes.why(exchange, refusal) or None

    def _over(self, entry: Entry, now: float) -> float:
        """For how long it has been stale; below zero where that is too long for any error."""
        over = freshness.staleness(entry.says, now - entry.born, self._ttl, freshness.NONE)
        return -1.0 if over > 0.0 and over > self._on_error(entry.says) else over

    # Keys and counts

    def _find(self, exchange: Exchange) -> Entry | None:
        key = primary(exchange)
        names = self._store.names(key)
        if names is None:
            return None
        return self._store.get((key, self._secondary.of(exchange, names)))

    def _key(self, exchange: Exchange) -> Key:
        """Under which it would be found, as far as is known before an answer says more."""
        key = primary(exchange)
        return key, self._secondary.of(exchange, self._store.names(key) or ())

    def _missed(self, exchange: Exchange, head: Head) -> None:
        """The answer is the upstream's own; one that said otherwise spoke of its own cache."""
        if exchange in self._renewals:
            return
        self._close(exchange, "miss")
        if any(b"x-cache:" in lines.lower() for lines in head.lines):
            given = b"\r\n".join(head.lines).split(b"\r\n")
            head.lines[:] = [line for line in given if not line.lower().startswith(b"x-cache:")]
        exchange.answer_lines.append(_MISS)

    def _close(self, exchange: Exchange, result: str) -> None:
        if self._asking.pop(exchange, _GONE) is not _GONE:
            self._count(exchange, result)

    def _count(self, exchange: Exchange, result: str) -> None:
        self._counts[self._direction, exchange.route.name, result] += 1
