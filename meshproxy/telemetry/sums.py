"""The counts of several workers as one: told as plain data, added up again.

What each worker tells is put where the others find it; whoever answers a scrape adds it to its
own. Numbers that cannot be added (a state, a limit, a share) have in `families` what becomes of
several. A worker that is gone tells no more, but what it has counted stays counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import orjson

from meshproxy.core.report import Sample
from meshproxy.telemetry import families, process
from meshproxy.telemetry.exposition import Groups
from meshproxy.telemetry.metrics import Telemetry
from meshproxy.telemetry.series import RouteSeries, Times

Told = Mapping[str, Any]
"""Plain data, as `told` makes it: what JSON can carry."""


def told(telemetry: Telemetry, samples: Groups) -> dict[str, Any]:
    """All that this worker has counted, and `samples` of the rest of its house."""
    return {
        "rows": [[*key, _row(row)] for key, row in telemetry.rows.items() if row.is_met],
        "clusters": {name: one.counts() for name, one in telemetry.clusters.items()},
        "versions": [
            [*key, one.classes, one.errors, one.durations, one.duration_sum]
            for key, one in telemetry.versions.series.items()
        ],
        "bad": telemetry.bad,
        "dropped": telemetry.numbers.dropped,
        "samples": [
            [sample.family, sample.labels, sample.value]
            for sample in chain(
                chain.from_iterable(samples),
                (Sample(*key, value) for key, value in telemetry.carried.items()),
                chain.from_iterable(process.samples()),
            )
        ],
    }


def whole(own: Telemetry, others: Iterable[Told]) -> Telemetry:
    """All counts of traffic of this worker and of those who have told."""
    total = own.alike()
    for one in (told(own, ()), *others):
        _add(total, one)
    return total


def samples_of(others: Iterable[Told]) -> Groups:
    """What the others told besides, to be rendered with one's own."""
    for one in others:
        yield [Sample(family, _labels(labels), value) for family, labels, value in one["samples"]]


def lasting(one: Told) -> dict[str, Any]:
    """What stays of a worker that is gone: counters, and no gauges."""
    rows = [[*key, {**row, "in_flight": 0}] for *key, row in one["rows"]]
    samples = [each for each in one["samples"] if families.family_of(each[0]).type == "counter"]
    return {**one, "rows": rows, "samples": samples}


def joined(one: Told, other: Told) -> dict[str, Any]:
    """Two as one, for whoever keeps what the dead have told."""
    total = Telemetry()
    for each in (one, other):
        _add(total, each)
    counts: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family, labels, value in (*one["samples"], *other["samples"]):
        key = (family, _labels(labels))
        counts[key] = counts.get(key, 0.0) + value
    added = told(total, ())
    return {**added, "samples": [[*key, value] for key, value in counts.items()]}


def _row(row: RouteSeries) -> dict[str, Any]:
    return {
        "in_flight": row.in_flight,
        "cells": [[method.decode(), *rest, n] for (method, *rest), n in row.cells().items()],
        "times": list(row.times()),
    }


def _add(total: Telemetry, one: Told) -> None:
    for direction, route, upstream, row in one["rows"]:
        into = total.series(direction, route, upstream)
        cells = {(method.encode(), *rest): count for method, *rest, count in row["cells"]}
        into.add(cells, Times(*row["times"]), row["in_flight"])
    for name, results in one["clusters"].items():
        cluster = total.cluster_series(name)
        for result, count in results.items():
            cluster.results[result] = cluster.results.get(result, 0) + count
    for upstream, version, classes, errors, durations, duration_sum in one["versions"]:
        series = total.versions.of(upstream, version)
        for kind, count in classes.items():
            series.classes[kind] = series.classes.get(kind, 0) + count
        series.errors += errors
        _raise(series.durations, durations)
        series.duration_sum += duration_sum
    for direction, counts in one["bad"].items():
        bad = total.bad.setdefault(direction, {})
        for why, count in counts.items():
            bad[why] = bad.get(why, 0) + count
    total.numbers.dropped += one["dropped"]


def inherited(before: bytes, last: bytes) -> bytes:
    """What the dead have counted, with one more of them."""
    one = lasting(orjson.loads(last))
    both = joined(orjson.loads(before), one) if before else one
    return orjson.dumps({**both, "seat": -1, "pages": {}, "failures": [0, []]})


def _raise(into: list[int], counts: Sequence[int]) -> None:
    for place, count in enumerate(counts):
        into[place] += count


def _labels(labels: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    pairs: Iterator[tuple[str, ...]] = (tuple(pair) for pair in labels)
    return tuple((name, value) for name, value in pairs)
