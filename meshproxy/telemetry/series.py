"""What is counted while requests run: one row per route, one per upstream.

A request that ends touches as little memory as can be: with a thousand routes each row is cold,
and every line of it that has to be fetched costs more than an addition. So there is one number
per outcome and bucket together, and what a page shows is added up from them when it is asked for;
and the numbers of one kind lie side by side for all routes, eight of them in a line.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

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


Name = TypeVar("Name", bound=Hashable)
Column: TypeAlias = "array[int] | dict[int, int]"
"""One number per row, by the row's place: dense for the first kinds that come, else sparse."""
DENSE = 128
NEVER = (1 << 63) - 1
"""Stands where a row has counted nothing yet: one more is an OverflowError, not a count."""


class Times(NamedTuple):
    """Seconds of requests, added up: of answers that came whole, and of those in parts.

    `parted_first` are those to the first byte of the latter, and `firsts` count these by bucket.
    """

    whole: float
    parted: float
    parted_first: float
    firsts: Sequence[int]


class Numbers:
    """What ended on all routes: a row for each, and a column for each kind of number.

    `left` is how many more request counters there is room for, `dropped` what found none. The
    sums are seconds: of answers that came whole, of those that came in parts, and of the times to
    the first byte of the latter; `firsts` counts these times by bucket. `kinds` are the cells
    that a row has counted, `bad` its refused requests by what was wrong, and `examples` the latest
    sampled requests by bucket.
    """

    __slots__ = (
        "_names", "_wall", "bad", "columns", "dropped", "examples", "firsts", "kinds", "left",
        "parted_firsts", "parted_sums", "under_way", "whole_sums",
    )  # fmt: skip

    def __init__(self, wall: Callable[[], float]) -> None:
        self.left = COUNTS
        self.dropped = 0
        self.under_way: list[int] = []  # small numbers, which no row has of its own
        self.columns: dict[Cell, Column] = {}
        self.firsts = tuple(array("q") for _ in range(BUCKETS))
        self.whole_sums = array("d")
        self.parted_sums = array("d")
        self.parted_firsts = array("d")
        self.kinds: list[dict[Key, tuple[Cell, ...]]] = []
        self.bad: list[dict[str, int]] = []
        self.examples: list[Examples] = []
        self._names: dict[Hashable, Any] = {}
        self._wall = wall

    def ended(self, row: int, exchange: Exchange, now: float) -> None:
        """Count one exchange; its status, codes and times are final. Adds, and never raises."""
        began = exchange.began
        took = now - began
        place = bisect_left(BOUNDS, took)
        if exchange.first_byte == now:
            self.whole_sums[row] += took
        else:
            place += BUCKETS
            self._count_parted(row, exchange, took)
        flags = exchange.flags
        if flags:
            self._count_bad(row, exchange)
        cell = (exchange.method, exchange.status, flags, place)
        try:
            self.columns[cell][row] += 1
        except (KeyError, OverflowError):
            self._count_rare(row, cell)

    def sampled(self, row: int, exchange: Exchange, now: float) -> None:
        """Remember an exchange whose trace is kept, as the example of the buckets it falls in."""
        if self.examples[row] is _NO_EXAMPLES:
            self.examples[row] = ({}, {})
        when, began, first = self._wall(), exchange.began, exchange.first_byte
        for examples, end in zip(self.examples[row], (now, first), strict=True):
            if end:
                took = end - began
                examples[bisect_left(BOUNDS, took)] = (exchange.trace[0], took, when)

    def new_row(self, bad: dict[str, int]) -> int:
        """The place of one more row; `bad` is of all rows of its direction together."""
        for column in self.columns.values():
            if isinstance(column, array):
                column.append(NEVER)
        self.under_way.append(0)
        for counts in self.firsts:
            counts.append(0)
        for sums in (self.whole_sums, self.parted_sums, self.parted_firsts):
            sums.append(0.0)
        self.kinds.append({})
        self.bad.append(bad)
        self.examples.append(_NO_EXAMPLES)
        return len(self.kinds) - 1

    def add(self, row: int, cell: Cell, count: int) -> None:
        """So many more, whoever counted them. Rows have the names of their cells in common."""
        column = self.columns.get(cell)
        if column is None:
            dense = len(self.columns) < DENSE
            column = array("q", [NEVER]) * len(self.kinds) if dense else {}
            self.columns[self._common(cell)] = column
        before = column[row] if isinstance(column, array) else column.get(row, NEVER)
        if before == NEVER:
            before = 0
            key, kinds = self._common(cell[:3]), self.kinds[row]
            kinds[key] = (*kinds.get(key, ()), self._common(cell))
        column[row] = before + count

    def _count_parted(self, row: int, exchange: Exchange, took: float) -> None:
        """The times of an answer that did not come in one read, or of none at all."""
        self.parted_sums[row] += took
        if exchange.first_byte:
            first = exchange.first_byte - exchange.began
            self.firsts[bisect_left(BOUNDS, first)][row] += 1
            self.parted_firsts[row] += first

    def _count_bad(self, row: int, exchange: Exchange) -> None:
        """The word for what was wrong, which the data plane chose; none if nothing was."""
        refusal = exchange.refusal
        if refusal is not None and refusal.why:
            bad = self.bad[row]
            bad[refusal.why] = bad.get(refusal.why, 0) + 1

    def _count_rare(self, row: int, cell: Cell) -> None:
        """A cell that is new here, or whose key never gets a counter of its own."""
        method, status, flags, place = cell
        key = (method if method in _METHODS else _ODD_METHOD, status, flags)
        if key not in self.kinds[row]:
            if self.left <= 0:
                self.dropped += 1
                key = _ODD
            else:
                self.left -= 1
        self.add(row, (*key, place), 1)

    def _common(self, name: Name) -> Name:
        """The one object for all names that are equal to it."""
        found: Name = self._names.setdefault(name, name)
        return found


class RouteSeries:
    """The row of one route, for whoever reads it or adds what others have counted."""

    __slots__ = ("labels", "place", "series")

    def __init__(self, labels: str, series: Numbers, bad: dict[str, int]) -> None:
        self.labels = labels
        self.series = series
        self.place = series.new_row(bad)

    def add(self, cells: Mapping[Cell, int], times: Times, under_way: int) -> None:
        """So many more, whoever counted them."""
        series, row = self.series, self.place
        for cell, count in cells.items():
            series.add(row, cell, count)
        series.whole_sums[row] += times.whole
        series.parted_sums[row] += times.parted
        series.parted_firsts[row] += times.parted_first
        for column, count in zip(series.firsts, times.firsts, strict=True):
            column[row] += count
        series.under_way[row] += under_way

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self.series.under_way[self.place]

    @property
    def is_met(self) -> bool:
        """Whether any request came to it, so that there is something to say."""
        return bool(self.series.kinds[self.place] or self.in_flight)

    @property
    def examples(self) -> Examples:
        """Of the durations and of the times to the first byte."""
        return self.series.examples[self.place]

    # ---- added up, for whoever reads it; all of a call is of one moment

    def times(self) -> Times:
        """Their sums, and the times to the first byte of answers that came in parts."""
        series, row = self.series, self.place
        return Times(
            series.whole_sums[row],
            series.parted_sums[row],
            series.parted_firsts[row],
            [column[row] for column in series.firsts],
        )

    def cells(self) -> dict[Cell, int]:
        """All that ended, by outcome and bucket."""
        columns, row = self.series.columns, self.place
        kinds = self.series.kinds[row]
        return {cell: columns[cell][row] for cells in kinds.values() for cell in cells}

    def counts(self) -> dict[Key, int]:
        """Requests by method, status and reason codes."""
        columns, row = self.series.columns, self.place
        kinds = self.series.kinds[row]
        return {key: sum([columns[cell][row] for cell in cells]) for key, cells in kinds.items()}

    def requests(self) -> int:
        """All that ended."""
        return sum(self.cells().values())

    def durations(self) -> list[int]:
        """Requests by bucket: one count per bound, and one above all."""
        found = [0] * BUCKETS
        for (_, _, _, place), count in self.cells().items():
            found[place % BUCKETS] += count
        return found

    @property
    def duration_sum(self) -> float:
        """Seconds of all requests together."""
        return self.series.whole_sums[self.place] + self.series.parted_sums[self.place]

    def first_bytes(self) -> list[int]:
        """As `durations`, of the times to the first byte, where one came."""
        found = [column[self.place] for column in self.series.firsts]
        for (_, _, _, place), count in self.cells().items():
            if place < BUCKETS:
                found[place] += count
        return found

    @property
    def first_byte_sum(self) -> float:
        """Seconds to the first bytes together."""
        return self.series.whole_sums[self.place] + self.series.parted_firsts[self.place]


class ClusterSeries:
    """Attempts at one upstream by result."""

    __slots__ = ("_numbers", "labels", "results", "successes")

    def __init__(self, labels: str, numbers: Numbers) -> None:
        self.labels = labels
        self.successes = 0
        self.results: dict[str, int] = {}
        self._numbers = numbers

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
                self._numbers.dropped += 1
                result = OTHER
            self.results[result] = self.results.get(result, 0) + 1
