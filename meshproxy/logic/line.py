"""A line of those who wait: the more important come first, and leave last where there is no room.

Within a rank the one who came first goes first. Ranks are small numbers, 0 the most important;
what is above the last counts as the last.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

RANKS = 3


class Line(Generic[T]):
    """Who waits, by rank. `size` is how many; read it, never write it."""

    __slots__ = ("_ranks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._ranks: tuple[OrderedDict[T, None], ...] = tuple(OrderedDict() for _ in range(RANKS))

    def join(self, one: T, rank: int) -> None:
        """Stand behind everyone of this rank."""
        self._ranks[min(rank, RANKS - 1)][one] = None
        self.size += 1

    def leave(self, one: T) -> bool:
        """Step out, wherever one stands; False for whoever stood nowhere."""
        for rank in self._ranks:
            if one in rank:
                del rank[one]
                self.size -= 1
                return True
        return False

    def first(self) -> T:
        """Whose turn it is, taken out of the line. There must be someone."""
        rank = next(rank for rank in self._ranks if rank)
        one, _ = rank.popitem(last=False)
        self.size -= 1
        return one

    def would_give_way(self, to: int) -> bool:
        """Whether somebody would leave for one of rank `to`."""
        return any(self._ranks[to + 1 :])

    def give_way(self, to: int) -> T | None:
        """Who leaves for somebody of rank `to`: the last of the least important, if less so."""
        for rank in reversed(self._ranks[to + 1 :]):
            if rank:
                one, _ = rank.popitem()
                self.size -= 1
                return one
        return None
