"""Counts by the version of the endpoint that answered, for whoever compares two versions.

A request counts for the version of its latest attempt, with the status that its caller saw and
all the time it took; where a fallback stood in for that answer, it counts as an error of the
version all the same. Whatever never came to an endpoint (limited, from a cache) has no version.
Only routes whose endpoints differ in it have such a series: the others pay nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from meshproxy.telemetry import families
from meshproxy.telemetry.exposition import Page, labelled

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Endpoint, RouteRow, RouteSeries

MOST = 200
"""Versions of all upstreams; of more, those are forgotten that no file has named for longest."""
NO_VERSION = "__none__"
"""The label of endpoints that say no version beside others that do."""
CLASSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
FALLBACK = "fallback"

Key: TypeAlias = tuple[str, str]
"""Upstream and version; "" is none."""


class VersionSeries:
    """What ended at one version of an upstream; `durations` as in RouteSeries."""

    __slots__ = ("_bounds", "classes", "duration_sum", "durations", "errors", "labels")

    def __init__(self, labels: str, bounds: Sequence[float]) -> None:
        self.labels = labels
        self._bounds = bounds
        self.classes: dict[str, int] = {}
        self.errors = 0
        self.durations = [0] * (len(bounds) + 1)
        self.duration_sum = 0.0

    def ended(self, exchange: Exchange, now: float) -> None:
        """Count one exchange; its status and times are final."""
        status = exchange.status
        kind = CLASSES[status // 100 if status < 600 else 0]
        if exchange.extras is not None and exchange.extras.rescued:
            kind = FALLBACK
        if kind is FALLBACK or status >= 500:
            self.errors += 1
        self.classes[kind] = self.classes.get(kind, 0) + 1
        took = now - exchange.began
        self.durations[bisect_left(self._bounds, took)] += 1
        self.duration_sum += took


class Versioned:
    """A route's series that counts by version besides; 0.9 us more per request."""

    __slots__ = ("_by_endpoint", "_series", "place", "under_way")

    def __init__(self, row: RouteRow, by_endpoint: Mapping[Endpoint, VersionSeries]) -> None:
        self.place = row.place
        self.under_way = row.series.under_way
        self._series = row.series
        self._by_endpoint = by_endpoint

    @property
    def series(self) -> RouteSeries:
        """Itself: what counts and where are one here."""
        return self

    def ended(self, row: int, exchange: Exchange, now: float) -> None:
        self._series.ended(row, exchange, now)
        endpoint = exchange.endpoint or (exchange.tried[-1] if exchange.tried else None)
        if endpoint is not None:
            self._by_endpoint[endpoint].ended(exchange, now)

    def sampled(self, row: int, exchange: Exchange, now: float) -> None:
        self._series.sampled(row, exchange, now)


class Versions:
    """All such series, found again by their labels after a reload."""

    __slots__ = ("_bounds", "series")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.series: dict[Key, VersionSeries] = {}

    def counting(self, row: RouteRow, upstream: str, versions: Mapping[Endpoint, str]) -> Versioned:
        """The route's series, with one more for the version of each endpoint."""
        found = {version: self.of(upstream, version) for version in versions.values()}
        return Versioned(row, {each: found[version] for each, version in versions.items()})

    def of(self, upstream: str, version: str) -> VersionSeries:
        """The series of one version; "" is none."""
        key = (upstream, version)
        series = self.series.pop(key, None)
        if series is None:
            while len(self.series) >= MOST:
                del self.series[next(iter(self.series))]
            labels = (("upstream", upstream), ("version", version or NO_VERSION))
            series = VersionSeries(labelled(labels), self._bounds)
        self.series[key] = series  # named last
        return series

    def render(self, page: Page) -> Iterator[bytes]:
        """Their two families, in pieces."""
        several = tuple(self.series.values())
        page.family(families.VERSION_REQUESTS)
        for one in several:
            for kind, count in one.classes.items():
                more = (("code_class", kind),)
                page.line(families.VERSION_REQUESTS, one.labels, more, count)
            yield from page.full()
        page.family(families.VERSION_DURATION)
        for one in several:
            if one.classes:
                numbers = (self._bounds, one.durations, one.duration_sum)
                page.histogram(families.VERSION_DURATION, one.labels, *numbers)
            yield from page.full()
