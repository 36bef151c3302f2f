"""Whose level a request spends from: everyone's, its key's, or that of its tier.

A gate joins a measure (`Rate` or `Quota`) with the levels it is applied to. What happens to a
request that finds nothing left is decided by whoever asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from meshproxy.logic.keyed import kept
from meshproxy.policies import keys

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.fields import RateOf
    from meshproxy.core.sharing import Sharing
    from meshproxy.logic.keyed import Keyed, Measure, Table
    from meshproxy.policies.keys import Key

Name: TypeAlias = tuple[Any, ...]

NEAREST = 5
SAMPLE = 1000
"""Keys shown on the admin port, and keys looked at to find them: no report is a long pause."""


class Peek(NamedTuple):
    """What a gate would do: seconds to wait, how much is left of the most, under which rate and
    for whom."""

    wait: float
    left: float
    most: float
    rate: RateOf
    key: str = ""
    shared: bool = False


class Whole:
    """One level for everyone."""

    __slots__ = ("_level", "_measure", "rate")

    def __init__(self, rate: RateOf, measure: Measure[Any], level: Any) -> None:
        self.rate = rate
        self._measure = measure
        self._level = level

    def take(self, exchange: Exchange, now: float) -> float:  # noqa: ARG002  # the same for all
        """Spend one; 0.0 when there was one, else the seconds until there is."""
        return self._measure.take(self._level, now)

    def give_back(self, exchange: Exchange) -> None:  # noqa: ARG002  # the same for all
        """Undo a `take` of this very moment that answered 0.0."""
        self._measure.give_back(self._level)

    def peek(self, exchange: Exchange, now: float) -> Peek:  # noqa: ARG002  # the same for all
        """What `take` would say; nothing is spent."""
        measure, level = self._measure, self._level
        return Peek(measure.peek(level, now), measure.left(level, now), measure.most, self.rate)

    def chosen(self, exchange: Exchange) -> Whole:  # noqa: ARG002  # the same for all
        """The gate without tiers that answers for this exchange."""
        return self

    def report(self, now: float) -> Mapping[str, Any]:
        return {"left": int(self._measure.left(self._level, now))}


class Each:
    """One level per key."""

    __slots__ = ("_keyed", "_per", "_read", "_table", "rate")

    def __init__(
        self, rate: RateOf, by: tuple[Sequence[str], Key], table: Table[Any], keyed: Keyed[Any]
    ) -> None:
        self.rate = rate
        self._per, self._read = by
        self._table = table
        self._keyed = keyed

    def take(self, exchange: Exchange, now: float) -> float:
        return self._keyed.take(self._read(exchange), now)

    def give_back(self, exchange: Exchange) -> None:
        self._keyed.give_back(self._read(exchange))

    def peek(self, exchange: Exchange, now: float) -> Peek:
        key = self._read(exchange)
        measure, level, shared = self._keyed.find(key, now)
        wait, left = measure.peek(level, now), measure.left(level, now)
        return Peek(wait, left, measure.most, self.rate, keys.shown(self._per, key), shared)

    def chosen(self, exchange: Exchange) -> Each:  # noqa: ARG002  # the same for all
        return self

    def report(self, now: float) -> Mapping[str, Any]:
        nearest = self._keyed.nearest(NEAREST, SAMPLE, now)
        return {
            "keys_in_use": len(self._table.levels),
            "overflowed": self._table.overflowed,
            "nearest": [
                {"key": keys.shown(self._per, key), "left": int(left)} for key, left in nearest
            ],
        }


class SharedWhole(Whole):
    """One level for everyone, wherever they are served: each worker keeps it up to date."""

    __slots__ = ("_listen", "_now", "_say")

    def __init__(
        self, rate: RateOf, measure: Measure[Any], level: Any, sharing: Sharing, name: Name
    ) -> None:
        super().__init__(rate, measure, level)
        self._listen = sharing.listen
        self._now = 0.0
        self._say = sharing.talk(name, lambda count, _, at: measure.charge(level, count, at))

    def take(self, exchange: Exchange, now: float) -> float:
        self._listen()
        wait = super().take(exchange, now)
        if wait == 0.0:
            self._now = now
            self._say(1, b"", now)
        return wait

    def give_back(self, exchange: Exchange) -> None:
        super().give_back(exchange)
        self._say(-1, b"", self._now)


class SharedEach(Each):
    """One level per key, wherever the key comes from."""

    __slots__ = ("_listen", "_now", "_say")

    def __init__(
        self,
        rate: RateOf,
        by: tuple[Sequence[str], Key],
        table: Table[Any],
        keyed: Keyed[Any],
        sharing: Sharing,
        name: Name,
    ) -> None:
        super().__init__(rate, by, table, keyed)
        self._listen = sharing.listen
        self._now = 0.0
        self._say = sharing.talk(name, lambda count, key, at: keyed.charge(key, count, at))

    def take(self, exchange: Exchange, now: float) -> float:
        self._listen()
        wait = super().take(exchange, now)
        if wait == 0.0:
            self._now = now
            self._say(1, kept(self._read(exchange)), now)
        return wait

    def give_back(self, exchange: Exchange) -> None:
        super().give_back(exchange)
        self._say(-1, kept(self._read(exchange)), self._now)


class Tiered:
    """The gate that a header's value names, or the base one."""

    __slots__ = ("_base", "_header", "_tiers")

    def __init__(self, header: bytes, tiers: Mapping[bytes, Whole | Each], base: Whole | Each):
        self._header = header
        self._tiers = tiers
        self._base = base

    def take(self, exchange: Exchange, now: float) -> float:
        return self.chosen(exchange).take(exchange, now)

    def give_back(self, exchange: Exchange) -> None:
        self.chosen(exchange).give_back(exchange)

    def peek(self, exchange: Exchange, now: float) -> Peek:
        return self.chosen(exchange).peek(exchange, now)

    def chosen(self, exchange: Exchange) -> Whole | Each:
        return self._tiers.get(exchange.taken.get(self._header, b""), self._base)

    def report(self, now: float) -> Mapping[str, Any]:
        tiers = {name.decode(): gate.report(now) for name, gate in self._tiers.items()}
        return {**self._base.report(now), "tiers": tiers}


Gate: TypeAlias = Whole | Each | Tiered
