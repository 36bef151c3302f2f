"""Whose turn it is, where everyone gets as many as its weight says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from typing import Protocol


class Weighted(Protocol):
    """Whatever has a weight."""

    weight: int


Due = tuple[float, int, int, float]
"""When a turn is due, the order of those due at once, whose it is, and the time between two."""


class Turns:
    """Smooth weighted round robin by earliest deadline, in O(log n) per turn.

    Each has its next turn 1/weight after the last and its first after half of that, so in
    every round each gets exactly its weight and its turns lie evenly apart. Equal weights
    are plain round robin. `start` in [0, 1) says who begins, so that many sidecars that
    start together do not begin with the same endpoint. Weights are read at the first turn.
    """

    __slots__ = ("_candidates", "_heap", "_start")

    def __init__(
        self, candidates: Sequence[Weighted], start: float, turns: Sequence[Due] = ()
    ) -> None:
        self._candidates = candidates
        self._start = start
        self._heap: list[Due] = list(turns)

    def take(self) -> int:
        """The index of whose turn it is; the turn is then used up."""
        due, order, index, step = (self._heap or self._line_up())[0]
        heapreplace(self._heap, (due + step, order, index, step))
        return index

    def upcoming(self) -> Iterator[int]:
        """Whose turns come next, without end; none is used up."""
        later = Turns(self._candidates, self._start, self._heap)
        while True:
            yield later.take()

    def is_new(self) -> bool:
        """Whether nobody has had a turn yet: who begins is left to chance."""
        return not self._heap

    def _line_up(self) -> list[Due]:
        count = len(self._candidates)
        first = int(self._start * count)
        for index, candidate in enumerate(self._candidates):
            step = 1.0 / candidate.weight
            self._heap.append((0.5 * step, (index - first) % count, index, step))
        heapify(self._heap)
        return self._heap
