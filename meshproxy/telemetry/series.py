"""What is counted while requests run: one row per route, one per upstream.

A request that ends touches as little memory as can be: with a thousand routes each row is cold,
and every line of it that has to be fetched costs more than an addition. So there is one number
per outcome and bucket together, and what a page shows is added up from them when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshproxy.telemetry.exposition import Example

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds in seconds, of the OpenTelemetry conventions for HTTP; a last one is infinite."""
BUCKETS = len(BOUNDS) + 1

COUNTS = 500
COUNTS_PER_ROW = 20
"""Most request counters: so many, and so many more for each route."""
RESULTS = 50
"""Most results of attempts per cluster."""

OTHER = "__other__"
SUCCESS = "success"
_METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"}
)
_ODD_METHOD = b"_OTHER"

Key = tuple[bytes, int, str]
"""Method, status, reason codes: what one request counter is of."""
Cell = tuple[bytes, int, str, int]
"""A key and the bucket of the duration; `BUCKETS` more for an answer that came in parts.

Most answers come in one read, so that their first byte is as late as their last.
"""
_ODD: Key = (OTHER.encode(), 0, OTHER)

Examples = tuple[dict[int, Example], dict[int, Example]]
"""By bucket, of the durations and of the times to the first byte."""
_NO_EXAMPLES: Examples = ({}, {})


class Room:
    """How many more request counters there may be, and what found no room.

    All rows have their cells' names in common: only the numbers are a row's own.
    """

    __slots__ = ("_cells", "dropped", "left")

    def __init__(self) -> None:
        self.left = COUNTS
        self.dropped = 0
        self._cells: dict[Cell, Cell] = {}

    def common(self, cell: Cell) -> Cell:
        """The one object for all cells that are equal to it."""
        return self._cells.setdefault(cell, cell)


class RouteSeries:
    """What ended on one route.

    `bad` counts refused requests by what was wrong, of all routes of the direction together.
    `parted` are the times to the first byte, by bucket, of answers that came in parts; of all
    others they are the durations. The examples are the latest sampled requests by bucket, made
    with the first of them.
    """

    __slots__ = (
        "_known", "_room", "_wall", "bad", "cells", "examples", "in_flight", "labels", "parted",
        "parted_first_sum", "parted_sum", "whole_sum",
    )  # fmt: skip

    def __init__(
        self, labels: str, room: Room, bad: dict[str, int], wall: Callable[[], float]
    ) -> None:
        self.labels = labels
        self.in_flight = 0
        self.bad = bad
        self.cells: dict[Cell, int] = {}
        self.whole_sum = 0.0
        self.parted_sum = 0.0
        self.parted = [0] * BUCKETS
        self.parted_first_sum = 0.0
        self.examples = _NO_EXAMPLES
        self._known: set[Key] = set()
        self._room = room
        self._wall = wall

    def ended(self, exchange: Exchange, now: float) -> None:
        """Count one exchange; its status, codes and times are final. Adds, and never raises."""
        began = exchange.began
        took = now - began
        place = bisect_left(BOUNDS, took)
        first = exchange.first_byte
        if first == now:
            self.whole_sum += took
        else:
            place += BUCKETS
            self.parted_sum += took
            if first:
                self.parted[bisect_left(BOUNDS, first - began)] += 1
                self.parted_first_sum += first - began
        flags = exchange.flags
        if flags:
            self._count_bad(exchange)
        cell = (exchange.method, exchange.status, flags, place)
        try:
            self.cells[cell] += 1
        except KeyError:
            self._count_rare(cell)

    def sampled(self, exchange: Exchange, now: float) -> None:
        """Remember an exchange whose trace is kept, as the example of the buckets it falls in."""
        if self.examples is _NO_EXAMPLES:
            self.examples = ({}, {})
        when, began, first = self._wall(), exchange.began, exchange.first_byte
        for examples, end in zip(self.examples, (now, first), strict=True):
            if end:
                took = end - began
                examples[bisect_left(BOUNDS, took)] = (exchange.trace[0], took, when)

    def _count_bad(self, exchange: Exchange) -> None:
        """The word for what was wrong, which the data plane chose; none if nothing was."""
        refusal = exchange.refusal
        if refusal is not None and refusal.why:
            self.bad[refusal.why] = self.bad.get(refusal.why, 0) + 1

    def _count_rare(self, cell: Cell) -> None:
        """A cell that is new, or whose key never gets a counter of its own."""
        method, status, flags, place = cell
        key = (method if method in _METHODS else _ODD_METHOD, status, flags)
        if key not in self._known:
            if self._room.left <= 0:
                self._room.dropped += 1
                key = _ODD
            else:
                self._room.left -= 1
                self._known.add(key)
        self.add((*key, place), 1)

    def add(self, cell: Cell, count: int) -> None:
        """So many more, whoever counted them."""
        cell = self._room.common(cell)
        self.cells[cell] = self.cells.get(cell, 0) + count

    # ---- added up, for whoever reads it; all of a call is of one moment

    def counts(self) -> dict[Key, int]:
        """Requests by method, status and reason codes."""
        found: dict[Key, int] = {}
        for (method, status, flags, _), count in self.cells.items():
            key = (method, status, flags)
            found[key] = found.get(key, 0) + count
        return found

    def requests(self) -> int:
        """All that ended."""
        return sum(self.cells.values())

    def durations(self) -> list[int]:
        """Requests by bucket: one count per bound, and one above all."""
        found = [0] * BUCKETS
        for (_, _, _, place), count in self.cells.items():
            found[place % BUCKETS] += count
        return found

    @property
    def duration_sum(self) -> float:
        """Seconds of all requests together."""
        return self.whole_sum + self.parted_sum

    def first_bytes(self) -> list[int]:
        """As `durations`, of the times to the first byte, where one came."""
        found = self.parted.copy()
        for (_, _, _, place), count in self.cells.items():
            if place < BUCKETS:
                found[place] += count
        return found

    @property
    def first_byte_sum(self) -> float:
        """Seconds to the first bytes together."""
        return self.whole_sum + self.parted_first_sum


class ClusterSeries:
    """Attempts at one upstream by result."""

    __slots__ = ("_room", "labels", "results", "successes")

    def __init__(self, labels: str, room: Room) -> None:
        self.labels = labels
        self.successes = 0
        self.results: dict[str, int] = {}
        self._room = room

    def counts(self) -> dict[str, int]:
        """Attempts by result, those added without a call among the successes."""
        if not self.successes:
            return self.results
        return {**self.results, SUCCESS: self.results.get(SUCCESS, 0) + self.successes}

    def attempted(self, result: str) -> None:
        """Count the end of one attempt."""
        try:
            self.results[result] += 1
        except KeyError:
            if len(self.results) >= RESULTS:
                self._room.dropped += 1
                result = OTHER
            self.results[result] = self.results.get(result, 0) + 1
