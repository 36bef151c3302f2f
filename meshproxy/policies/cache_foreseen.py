"""What a response cache would answer: the half of `cache` that asks, for those who explain.

Nothing is counted, renewed, waited for or used here. How a stored answer is served is spelled
here too, as both halves need it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from meshproxy.core.explanation import Step
from meshproxy.core.verdict import Refusal, Served
from meshproxy.logic import caching, freshness
from meshproxy.policies.cache_flights import HOLD
from meshproxy.policies.cache_keys import CONDITIONS, is_plain, primary

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.logic.freshness import Wishes
    from meshproxy.policies.cache_flights import Flights
    from meshproxy.policies.cache_keys import Secondary
    from meshproxy.policies.cache_store import Entry, Key, Store

STANDS_IN = b"x-fallback: cache\r\n"


class Foreseen:
    """The questions; what they are about is the other half's."""

    __slots__ = ()

    _absent: Refusal
    _flights: Flights
    _methods: Collection[bytes]
    _secondary: Secondary
    _store: Store
    _ttl: float | None

    @abstractmethod
    def _cause(self, exchange: Exchange, refusal: Refusal | None) -> str | None: ...
    @abstractmethod
    def _key(self, exchange: Exchange) -> Key: ...
    @abstractmethod
    def _may_wait(self, exchange: Exchange, entry: Entry | None, wished: Wishes) -> bool: ...
    @abstractmethod
    def _over(self, entry: Entry, now: float) -> float: ...
    @abstractmethod
    def _stale_as(self, entry: Entry, over: float, wished: Wishes, now: float) -> str: ...

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        if exchange.method not in self._methods:
            yield Step("not for this method")
        elif not is_plain(exchange):
            yield Step("passes by: it asks for a part, has a body, or is a tunnel")
        else:
            yield self._expected(exchange, now)

    def _expected(self, exchange: Exchange, now: float) -> Step:
        said = exchange.taken.get(b"cache-control")
        wished = freshness.NONE if said is None else freshness.wishes(said, exchange.peer.trusted)
        entry = self._peek(exchange)
        if entry is not None:
            age = f"stored {max(0.0, now - entry.born):.3g} s ago"
            over = freshness.staleness(entry.says, now - entry.born, self._ttl, wished)
            word = self._stale_as(entry, over, wished, now) if over else "hit"
            if word:
                mark = b"HIT" if word == "hit" else b"STALE"
                return Step(f"{word}: {age}", serve(entry, exchange, mark, now))
        if wished.only_if_cached:
            return Step("only-if-cached, and nothing that would do is stored", self._absent)
        may_wait = self._may_wait(exchange, entry, wished)
        if may_wait and self._flights.would_wait(self._key(exchange)):
            return Step("waits for another's fetch of the same", HOLD)
        return Step("miss: nothing is stored" if entry is None else f"{age}: asked for anew")

    def departs(self, exchange: Exchange, now: float) -> Sequence[bytes]:  # noqa: ARG002  # a phase
        if exchange.method != b"GET" or not is_plain(exchange):
            return []
        entry = self._peek(exchange)
        ours = entry is not None and CONDITIONS.isdisjoint(exchange.taken)
        return [entry.says.validator] if ours and entry and entry.says.validator else []

    def stands_in(self, exchange: Exchange, refusal: Refusal, now: float) -> Step | None:
        may = self._cause(exchange, refusal) is not None
        entry = self._peek(exchange) if may else None
        over = -1.0 if entry is None else self._over(entry, now)
        if entry is None or over < 0.0:
            return None
        served = serve(entry, exchange, b"STALE" if over else b"HIT", now, more=STANDS_IN)
        return Step("stands in with what is stored", served)

    def _peek(self, exchange: Exchange) -> Entry | None:
        """The same, for those who only ask."""
        key = primary(exchange)
        names = self._store.names(key)
        if names is None:
            return None
        return self._store.peek((key, self._secondary.of(exchange, names)))


def serve(
    entry: Entry, exchange: Exchange, word: bytes, now: float,
    refresh: bytes | None = None, more: bytes = b"",
) -> Served:  # fmt: skip
    """The stored answer, or a 304 where the caller has it already."""
    says, taken = entry.says, exchange.taken
    told = b"age: %d\r\nx-cache: %b\r\n%b" % (max(0, int(now - entry.born)), word, more)
    if not CONDITIONS.isdisjoint(taken) and freshness.not_modified(
        says, taken.get(b"if-none-match", b""), taken.get(b"if-modified-since", b"")
    ):
        return Served(304, caching.of_a_304(entry.fields) + told, b"", "", refresh)
    return Served(says.status, entry.fields + told, entry.body, "", refresh)
