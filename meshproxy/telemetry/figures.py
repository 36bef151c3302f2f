"""What happened between two looks at the counters: rates, shares and percentiles.

A *reading* is plain numbers, taken when somebody asks and every few seconds; what did not move
since the one before is not copied. Requests are as their callers saw them: an error is a status
of 500 or above and nothing else, so that these figures and those of /metrics agree; who left
(499), was cut off or limited is counted there by its code. Spells nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from meshproxy.logic import quantile
from meshproxy.telemetry.metrics import Telemetry
from meshproxy.telemetry.series import BOUNDS, RouteSeries
from meshproxy.telemetry.versions import VersionSeries

KEEP_EVERY = 5.0
"""Seconds between two readings that are kept."""
WINDOW = 60.0
"""Seconds that those which are kept reach back, at least, once they have been kept so long."""

K = TypeVar("K")

Key: TypeAlias = tuple[str, str, str]
"""Direction, route, upstream."""


@dataclass(frozen=True, slots=True)
class Count:
    """What ended since the start; `durations` as RouteSeries has them, `()` if nothing did."""

    requests: int = 0
    errors: int = 0
    limited: int = 0
    durations: tuple[int, ...] = ()

    def since(self, before: Count) -> Count:
        """What ended after `before`, an earlier count of the same."""
        if before is self:
            return NONE
        if before.requests > self.requests:
            return self  # forgotten in between, it began anew
        return Count(
            self.requests - before.requests,
            self.errors - before.errors,
            self.limited - before.limited,
            quantile.difference(self.durations, before.durations),
        )

    def percentile(self, share: float) -> float | None:
        """Seconds; None where nothing ended."""
        return quantile.quantile(share, BOUNDS, self.durations)

    @property
    def success(self) -> float | None:
        """The share of requests without an error; None where nothing ended."""
        return 1.0 - self.errors / self.requests if self.requests else None


NONE = Count()


def total(counts: Iterable[Count]) -> Count:
    """Several as one."""
    several = [count for count in counts if count.requests]
    if len(several) == 1:
        return several[0]
    return Count(
        sum(one.requests for one in several),
        sum(one.errors for one in several),
        sum(one.limited for one in several),
        quantile.total(one.durations for one in several),
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """All counters at one moment; `at` is monotonic seconds. `attempts` are by result.

    `versions` are by upstream and version, "" where the file says none.
    """

    at: float
    routes: Mapping[Key, Count] = field(default_factory=dict)
    attempts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    versions: Mapping[tuple[str, str], Count] = field(default_factory=dict)

    def since(self, before: Reading) -> Reading:
        """What was counted between the two. `at` is then how long that was."""
        return Reading(
            self.at - before.at,
            _since(self.routes, before.routes),
            {
                name: _more(results, before.attempts.get(name, {}))
                for name, results in self.attempts.items()
            },
            _since(self.versions, before.versions),
        )


class Readings:
    """Takes readings of what `telemetry` gives, and keeps those of the last minute."""

    __slots__ = ("_kept", "_latest", "_telemetry", "start")

    def __init__(self, telemetry: Callable[[], Telemetry], now: float) -> None:
        self._telemetry = telemetry
        self.start = self._latest = Reading(now)
        self._kept: deque[Reading] = deque((self.start,))

    def take(self, now: float) -> Reading:
        """All counters as they are now."""
        telemetry, known = self._telemetry(), self._latest
        self._latest = Reading(
            now,
            {
                key: count_of(row, known.routes.get(key, NONE))
                for key, row in telemetry.rows.items()
            },
            {name: dict(one.counts()) for name, one in telemetry.clusters.items()},
            {
                key: _of_version(one, known.versions.get(key, NONE))
                for key, one in telemetry.versions.series.items()
            },
        )
        return self._latest

    def keep(self, now: float) -> None:
        """Called now and then: keep a reading if it is time for one. 1 us per route then."""
        if now < self._kept[-1].at + KEEP_EVERY:
            return
        self._kept.append(self.take(now))
        while len(self._kept) > 1 and self._kept[1].at <= now - WINDOW:
            self._kept.popleft()

    def a_minute_ago(self) -> Reading:
        """The one from so long ago or a little more; the oldest there is."""
        return self._kept[0]

    def in_flight(self, key: Key) -> int:
        """Requests of a route that have not ended."""
        row = self._telemetry().rows.get(key)
        return row.in_flight if row is not None else 0


def count_of(row: RouteSeries, known: Count) -> Count:
    """A row's count; the one that is known already, if nothing ended since."""
    requests = row.requests()
    if requests == known.requests:
        return known
    errors = limited = 0
    for (_, status, flags), count in row.counts().items():
        if status >= 500:
            errors += count
        if flags and "RL" in flags.split(","):
            limited += count
    return Count(requests, errors, limited, tuple(row.durations()))


def _of_version(series: VersionSeries, known: Count) -> Count:
    durations = tuple(series.durations)
    requests = sum(durations)
    return known if requests == known.requests else Count(requests, series.errors, 0, durations)


def _since(later: Mapping[K, Count], before: Mapping[K, Count]) -> dict[K, Count]:
    return {key: one.since(before.get(key, NONE)) for key, one in later.items()}


def _more(results: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    found = {result: count - before.get(result, 0) for result, count in results.items()}
    # An answer that breaks off is taken back from the successes, at times after a look.
    return {result: count for result, count in found.items() if count > 0}
