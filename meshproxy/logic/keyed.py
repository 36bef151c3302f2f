"""A level per key in a table of fixed capacity: who is counted apart, and who shares.

A key is forgotten once its level says no more than a fresh one would, so nothing is lost. A
key for which there is no room falls to one overflow level that all such keys share: whoever
makes up keys gets `capacity` levels and that one, never a fresh one per key. No request looks
at more than eight other keys. What is measured is not known here: a `Rate` or a `Quota`.

Measured on CPython 3.11: a million keys of 39 bytes in turn, at the default capacity of 10,000,
cost 3.0 MiB of RSS with token buckets and 11.8 MiB with sliding windows; so a key that is kept
costs about 0.3 KiB and 1.2 KiB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import Generic, Protocol, TypeVar

LONGEST = 63
"""Bytes of a key that are kept as they are; a longer one is kept as its 64 byte digest.

So no short key can be made to equal the digest of somebody's long one.
"""

STEADY = 2
"""Keys looked at per new key while there is room: more than come, so the table shrinks again."""

PRESSED = 8
"""Keys looked at per new key once the table is full."""

L = TypeVar("L")


class Measure(Protocol[L]):
    """What a `Rate` does with a `Level`, and a `Quota` with a `Window`."""

    @property
    def most(self) -> float:
        """How many may come at once."""

    def fresh(self, now: float) -> L: ...
    def take(self, level: L, now: float, /) -> float: ...

    def charge(self, level: L, count: int, at: float, /) -> None: ...

    def peek(self, level: L, now: float, /) -> float: ...

    def give_back(self, level: L, /) -> None: ...
    def left(self, level: L, now: float, /) -> float: ...
    def is_fresh(self, level: L, now: float, /) -> bool: ...


@dataclass(slots=True, eq=False)
class Table(Generic[L]):
    """What traffic left behind: levels by key, and the order in which they are looked at."""

    levels: dict[bytes, L] = field(default_factory=dict)
    ring: deque[bytes] = field(default_factory=deque)
    overflowed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Overflow(Generic[L]):
    """The one level of all keys without a place, under its own measure."""

    measure: Measure[L]
    level: L


class Keyed(Generic[L]):
    """A measure applied to a table; made anew by a reload, while the table stays."""

    __slots__ = ("_capacity", "_levels", "_measure", "_overflow", "_table")

    def __init__(
        self, measure: Measure[L], table: Table[L], capacity: int, overflow: Overflow[L]
    ) -> None:
        self._measure = measure
        self._table = table
        self._levels = table.levels
        self._capacity = capacity
        self._overflow = overflow

    def take(self, key: bytes, now: float) -> float:
        """Spend one of `key`'s; 0.0 when there was one, else the seconds until there is."""
        level = self._levels.get(key)
        if level is None:
            level = self._place(key, now)
            if level is None:
                return self._overflow.measure.take(self._overflow.level, now)
        return self._measure.take(level, now)

    def give_back(self, key: bytes) -> None:
        """Undo a `take` of this very moment that answered 0.0."""
        level = self._levels.get(kept(key))
        if level is None:
            self._overflow.measure.give_back(self._overflow.level)
        else:
            self._measure.give_back(level)

    def charge(self, key: bytes, count: int, at: float) -> None:
        """Others spent so many of `key`'s at that moment; a key that is kept as a digest too."""
        level = self._levels.get(key)
        if level is None:
            level = self._place(key, at)
            if level is None:
                self._overflow.measure.charge(self._overflow.level, count, at)
                return
        self._measure.charge(level, count, at)

    def find(self, key: bytes, now: float) -> tuple[Measure[L], L, bool]:
        """The measure and the level that `take` would spend from, and whether all keys without
        a place share that; nothing is placed or forgotten."""
        level = self._levels.get(kept(key))
        if level is None and self._has_room(now):
            level = self._measure.fresh(now)
        if level is None:
            return self._overflow.measure, self._overflow.level, True
        return self._measure, level, False

    def _has_room(self, now: float) -> bool:
        """Whether a new key would get a place, after the look at others that comes with it."""
        levels, ring = self._levels, self._table.ring
        if len(levels) < self._capacity:
            return True
        looks = min(PRESSED, len(ring))
        gone = sum(self._measure.is_fresh(levels[key], now) for key in islice(ring, looks))
        return len(levels) - gone < self._capacity

    def nearest(self, count: int, sample: int, now: float) -> list[tuple[bytes, float]]:
        """Of the first `sample` keys, those with the least left, and how much that is."""
        some: Iterator[tuple[bytes, L]] = islice(self._levels.items(), sample)
        left = [(key, self._measure.left(level, now)) for key, level in some]
        return sorted(left, key=lambda pair: pair[1])[:count]

    def _place(self, key: bytes, now: float) -> L | None:
        """The level of a key that is long or new; None when there is no room for it."""
        key = kept(key)
        level = self._levels.get(key)
        if level is not None:
            return level
        self._sweep(now)
        if len(self._levels) >= self._capacity:
            self._table.overflowed += 1
            return None
        level = self._levels[key] = self._measure.fresh(now)
        self._table.ring.append(key)
        return level

    def _sweep(self, now: float) -> None:
        """Look at the next few keys of the ring and forget those that nothing is lost with."""
        ring, levels = self._table.ring, self._levels
        looks = STEADY if len(levels) < self._capacity else PRESSED
        for _ in range(min(looks, len(ring))):
            if self._measure.is_fresh(levels[ring[0]], now):
                del levels[ring.popleft()]
            else:
                ring.rotate(-1)


def kept(key: bytes) -> bytes:
    """As a key is kept, in no more than 64 bytes."""
    return key if len(key) <= LONGEST else blake2b(key).digest()
