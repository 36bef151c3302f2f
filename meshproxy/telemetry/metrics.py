"""Counts of traffic: plain adds while requests run, text only when somebody scrapes.

The data plane holds a row of `series` for each route and upstream; `Telemetry` finds them again
by their labels after a reload, so that no counter goes back, and bounds how many there can
be. What other rooms count comes in as samples when the page is written.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from meshproxy import __version__
from meshproxy.core.report import Sample
from meshproxy.telemetry import families, process
from meshproxy.telemetry.exposition import Groups, Page, labelled
from meshproxy.telemetry.series import (
    BOUNDS,
    COUNTS_PER_ROW,
    OTHER,
    ClusterSeries,
    Numbers,
    RouteSeries,
)
from meshproxy.telemetry.versions import Versions

if TYPE_CHECKING:
    from meshproxy.telemetry.istio import Istio, Service

ROWS = 1000
"""Most routes, and most clusters, with series of their own; the rest share `__other__`."""


class Telemetry:
    """All series of the process, and the page that shows them."""

    def __init__(self, version: str = __version__, wall: Callable[[], float] = time.time) -> None:
        self._version = version
        self._wall = wall
        self._istio: Istio | None = None
        self.numbers = Numbers(wall)
        self._rows: dict[tuple[str, str, str], RouteSeries] = {}
        self._clusters: dict[str, ClusterSeries] = {}
        self.versions = Versions(BOUNDS)
        self.bad: dict[str, dict[str, int]] = {}
        self.carried: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        python = ".".join(map(str, sys.version_info[:3]))
        labels = (("version", version), ("python", python))
        self._build = Sample(families.BUILD.name, labels, 1)

    @property
    def rows(self) -> Mapping[tuple[str, str, str], RouteSeries]:
        """By direction, route and upstream, for whoever reads them."""
        return self._rows

    @property
    def clusters(self) -> Mapping[str, ClusterSeries]:
        """By upstream, for whoever reads them."""
        return self._clusters

    def series(self, direction: str, route: str, upstream: str) -> RouteSeries:
        """The counters of one route, those it had before a reload included."""
        key = (direction, route, upstream)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= ROWS:
                key = (direction, OTHER, OTHER)
            row = self._rows.get(key) or self._new_row(key)
        return row

    def _new_row(self, key: tuple[str, str, str]) -> RouteSeries:
        labels = zip(("direction", "route", "upstream"), key, strict=True)
        bad = self.bad.setdefault(key[0], {})
        row = self._rows[key] = RouteSeries(labelled(labels), self.numbers, bad)
        self.numbers.left += COUNTS_PER_ROW
        return row

    def cluster_series(self, upstream: str) -> ClusterSeries:
        """The counters of one upstream, those it had before a reload included."""
        if upstream not in self._clusters and len(self._clusters) >= ROWS:
            upstream = OTHER
        cluster = self._clusters.get(upstream)
        if cluster is None:
            labels = labelled((("upstream", upstream),))
            cluster = self._clusters[upstream] = ClusterSeries(labels, self.numbers)
        return cluster

    def speak(self, languages: Collection[str], service: Service) -> None:
        """Say the counts of traffic in these languages too: `istio`."""
        self._istio = None
        if "istio" in languages:
            from meshproxy.telemetry.istio import Istio

            self._istio = Istio(service, BOUNDS)

    def alike(self) -> Telemetry:
        """Another one that speaks as this does and has counted nothing."""
        other = Telemetry(self._version, self._wall)
        other._istio = self._istio
        return other

    def retire(self, cells: Iterable[object]) -> None:
        """Remember the counters of state that a reload forgets: a counter must not go back."""
        for sample in chain.from_iterable(samples_of(cells)):
            if families.family_of(sample.family).type == "counter":
                key = (sample.family, sample.labels)
                self.carried[key] = self.carried.get(key, 0.0) + sample.value

    def render(self, openmetrics: bool, samples: Groups) -> Iterator[bytes]:
        """Everything as text, in pieces: ours, and `samples` of the rest of the house.

        Each piece is less than a millisecond of the event loop; in between, others may count on.
        The counts of one row's histogram are of one moment.
        """
        page = Page(openmetrics)
        rows = {key: row for key, row in self._rows.items() if row.is_met}
        yield from self._requests(page, rows.values())
        if self._istio is not None:
            yield from self._istio.render(page, rows)
        page.family(families.ATTEMPTS)
        for cluster in tuple(self._clusters.values()):
            for result, count in cluster.counts().items():
                page.line(families.ATTEMPTS, cluster.labels, (("result", result),), count)
            yield from page.full()
        yield from self.versions.render(page)
        yield from page.samples(self._groups(samples))
        yield page.end()

    def stats(self) -> dict[str, int]:
        """The sums of it all, for the admin port."""
        rows, clusters = self._rows.values(), self._clusters.values()
        return {
            "requests": sum(row.requests() for row in rows),
            "in_flight": sum(row.in_flight for row in rows),
            "attempts": sum(sum(cluster.counts().values()) for cluster in clusters),
            "bad_requests": sum(sum(counts.values()) for counts in self.bad.values()),
            "request_counters": sum(len(row.counts()) for row in rows),
            "series_dropped": self.numbers.dropped,
        }

    def _requests(self, page: Page, rows: Collection[RouteSeries]) -> Iterator[bytes]:
        page.family(families.REQUESTS)
        for row in rows:
            for (method, status, flags), count in row.counts().items():
                code = str(status) if status else OTHER if flags == OTHER else "0"
                more = (("method", method.decode()), ("code", code), ("flags", flags))
                page.line(families.REQUESTS, row.labels, more, count)
                yield from page.full()
        page.family(families.DURATION)
        for row in rows:
            page.histogram(
                families.DURATION, row.labels, BOUNDS, row.durations(), row.duration_sum,
                row.examples[0],
            )  # fmt: skip
            yield from page.full()
        page.family(families.FIRST_BYTE)
        for row in rows:
            page.histogram(
                families.FIRST_BYTE, row.labels, BOUNDS, row.first_bytes(), row.first_byte_sum,
                row.examples[1],
            )  # fmt: skip
            yield from page.full()
        page.family(families.IN_FLIGHT)
        for row in rows:
            page.line(families.IN_FLIGHT, row.labels, (), row.in_flight)
            yield from page.full()

    def _groups(self, samples: Groups) -> Groups:
        yield from samples
        for (family, labels), value in tuple(self.carried.items()):
            yield (Sample(family, labels, value),)
        yield self._own()
        yield from process.samples()

    def _own(self) -> Iterator[Sample]:
        for direction, counts in self.bad.items():
            for why, count in counts.items():
                labels = (("direction", direction), ("why", why))
                yield Sample(families.BAD_REQUESTS.name, labels, count)
        yield Sample(families.OVERFLOW.name, (), self.numbers.dropped)
        yield self._build


def samples_of(cells: Iterable[object]) -> Groups:
    """What each of the ledger's cells says of itself; most have no numbers."""
    for cell in cells:
        # As `Sampled` would say, which costs four times as much to ask.
        yield getattr(cell, "samples", tuple)()
