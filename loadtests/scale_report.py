"""What growth costs: points to ratios, a verdict per axis, the page and its plot. Starts nothing.

A ratio is taken within a round and against the smallest point, because two figures are only
comparable within the same minute; its median over the rounds is what is judged.
"""

from __future__ import annotations

import datetime
import importlib
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.measure import Sample
from loadtests.report import machine, table

BAR = 1.10
"""What a request may cost with a thousand, for each 1.0 that it costs with one."""

JUDGED_TO = 1000


@dataclass(slots=True)
class Point:
    """One count of an axis, and what was measured there, one sample per round."""

    count: int
    samples: list[Sample] = field(default_factory=list)

    def median(self, of: Callable[[Sample], float]) -> float:
        return statistics.median(of(sample) for sample in self.samples)

    @property
    def broken(self) -> int:
        """Requests that failed; a run in which none was served counts as one."""
        return sum(one.seen.broken or int(not one.seen.requests) for one in self.samples)


@dataclass(slots=True)
class Axis:
    """What grows, the points by count, and those that could not be measured, with the reason.

    The bar is for those that are `judged`; the others are for comparison.
    """

    name: str
    judged: bool = False
    points: dict[int, Point] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)

    def ratio(self, count: int) -> float:
        """CPU per request against the smallest point's in the same round, median over rounds."""
        return self._ratio(count, lambda one: one.cpu)

    def own_ratio(self, count: int) -> float:
        """The same of what is not the kernel's."""
        return self._ratio(count, lambda one: one.user)

    def _ratio(self, count: int, of: Callable[[Sample], float]) -> float:
        base = self.points[min(self.points)].samples
        pairs = zip(self.points[count].samples, base, strict=True)
        return statistics.median(of(one) / max(of(other), 1e-9) for one, other in pairs)

    @property
    def worst(self) -> float | None:
        """The highest ratio of what is judged; None where there is nothing to compare."""
        return self._highest(self.ratio)

    @property
    def worst_own(self) -> float | None:
        return self._highest(self.own_ratio)

    def _highest(self, ratio: Callable[[int], float]) -> float | None:
        counts = [count for count in self.points if count <= JUDGED_TO]
        return max(map(ratio, counts)) if len(counts) > 1 else None

    @property
    def verdict(self) -> str:
        """Requests that failed are a FAIL on any axis: what is not served costs little."""
        if any(point.broken for point in self.points.values()):
            return "FAIL"
        if self.worst is None or not self.judged:
            return "-"
        return "PASS" if self.worst <= BAR else "FAIL"


HEAD = ["axis", "count", "CPU µs/req", "to the first", "own µs", "to the first", "req/s", "p50 ms"]
HEAD += ["p99 ms", "RSS MiB", "errors"]


def rows(axes: Sequence[Axis]) -> list[list[str]]:
    """One row per point, those that were skipped with their reason's place in the page."""
    return [_row(axis, point) for axis in axes for point in axis.points.values()]


def _row(axis: Axis, point: Point) -> list[str]:
    return [
        axis.name,
        f"{point.count:,}",
        f"{point.median(lambda one: one.cpu) * 1e6:.1f}",
        f"{axis.ratio(point.count):.3f}",
        f"{point.median(lambda one: one.user) * 1e6:.1f}",
        f"{axis.own_ratio(point.count):.3f}",
        f"{point.median(lambda one: one.rate):.0f}",
        f"{point.median(lambda one: one.seen.p50) * 1e3:.2f}",
        f"{point.median(lambda one: one.seen.p99) * 1e3:.2f}",
        f"{point.samples[-1].rss:.1f}",
        f"!! {point.broken}" if point.broken else "0",
    ]


VERDICTS = ["axis", "verdict", "worst", "worst, own", "bar"]


def verdicts(axes: Sequence[Axis]) -> list[list[str]]:
    """One row per axis: the highest ratio up to a thousand, and what it may be."""
    return [
        [
            axis.name,
            axis.verdict,
            "-" if axis.worst is None else f"{axis.worst:.3f}",
            "-" if axis.worst_own is None else f"{axis.worst_own:.3f}",
            f"{BAR:.2f}" if axis.judged else "-",
        ]
        for axis in axes
    ]


def skips(axes: Sequence[Axis]) -> list[str]:
    return [
        f"skipped: {axis.name} {count:,}: {why}"
        for axis in axes
        for count, why in axis.skipped.items()
    ]


def screen(axes: Sequence[Axis]) -> str:
    """What the terminal shows at the end."""
    return "\n\n".join([table(HEAD, rows(axes)), table(VERDICTS, verdicts(axes)), *skips(axes)])


def page(axes: Sequence[Axis], how: str, held: bool, plot_name: str | None) -> str:
    """The page of the day, as Markdown."""
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    drawn = f"\n![CPU per request as things grow]({plot_name})\n" if plot_name else ""
    sleep = "no core may fall asleep meanwhile" if held else "cores fall asleep as they like"
    listed = "".join(f"\n- {line}" for line in skips(axes))
    return f"""# Scale, {date}

Written by `make scale` ({how}); do not edit.

- machine: {machine()}
- Python {platform.python_version()}; {sleep}{listed}

A real sidecar on one core; wrk and the origin on the other. CPU is user + system time of the
sidecar over the run, divided by the requests that wrk completed. The points of an axis take turns
in each round; `to the first` is the ratio to the smallest point within a round, median over rounds.
`own` is the user time alone, without the kernel's.
Unless it is what grows: 64 connections, one route, one endpoint, one worker, and an nginx that
answers at once.

- connections: kept alive and all busy, so that the queue of a saturated proxy is in the latency;
  above 512 requests wait in the proxy's own queue. That they are opened is in the figure.
- routes: of one kind (exact, prefix, wildcard, star, method, header), or of all six in turn; all
  of them are asked for, one request each in turn. Where kinds or methods take turns, all of them
  do so with one route, too: what it is not for goes to the app all the same. What was read of a
  request line up to its query is remembered, its route too; `anew` has a number in each query, so
  that no line comes twice.
- endpoints: addresses of one service, by balancer. One alone has nothing to choose, which is the
  cheapest case. 1,000 clients ask an origin that takes 50 ms, so there are as many connections in
  use to one endpoint as to a thousand together, and what grows is their number alone.
- endpoints, for comparison: where more connections are in use than with one endpoint. `random` asks
  some four times at once, and with `uneven answers` (0 to 100 ms; peak_ewma) some are asked twice;
  `64 clients` (peak_ewma, an origin that answers at once) have 64 connections to one, always warm,
  and a thousand to as many. A socket that is used rarely is cold in every cache, the kernel's part
  of it too. nginx, which has its own way of choosing, stands in front of the same addresses.
- workers: on the same core, so it is what a second one costs, not what it brings.

{table(VERDICTS, verdicts(axes), markdown=True)}

The bar: with up to {JUDGED_TO:,} routes or endpoints a request costs at most {BAR:g} times what it
costs with the fewest.
{drawn}
{table(HEAD, rows(axes), markdown=True)}
"""


def plot(axes: Sequence[Axis], path: Path) -> bool:
    """CPU over count, a panel per kind of axis; False where matplotlib is not installed."""
    try:
        drawing: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        return False
    kinds = list(dict.fromkeys(axis.name.partition(",")[0] for axis in axes))
    figure = drawing.Figure(figsize=(4.4 * len(kinds), 4.6), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    for panel, kind in zip(panels, kinds, strict=True):
        _panel(panel, kind, [axis for axis in axes if axis.name.partition(",")[0] == kind])
    figure.suptitle("CPU of the sidecar per request, as things grow")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return True


def _panel(panel: Any, kind: str, axes: Sequence[Axis]) -> None:
    highest = 0.0
    for axis in axes:
        if not axis.points:
            continue
        counts = list(axis.points)
        values = [point.median(lambda one: one.cpu) * 1e6 for point in axis.points.values()]
        label = axis.name.partition(", ")[2] or None
        panel.plot(counts, values, marker="o", markersize=4, linewidth=1.4, label=label)
        highest = max(highest, *values)
    first = next((axis for axis in axes if axis.points), None)
    if first is not None and first.judged:
        bar = BAR * first.points[min(first.points)].median(lambda one: one.cpu) * 1e6
        label = f"{first.name.partition(', ')[2]} +10 %"
        panel.axhline(bar, color="tab:red", linestyle=":", linewidth=1, label=label)
        highest = max(highest, bar)
    panel.set(xlabel=kind, ylabel="µs", ylim=(0, highest * 1.2 or 1.0), title=kind)
    if kind == "workers":
        panel.set_xticks([1, 2])
    else:
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:,.0f}")
    if panel.get_legend_handles_labels()[1]:
        panel.legend(fontsize=8, loc="lower left", ncols=2)
