"""From samples to a table, the bars, and the page of the day.

Medians over rounds; the ratio to Envoy is taken inside each round first, because
two proxies are only comparable within the same minute. Starts nothing.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from loadtests.measure import Sample

REFERENCE = "envoy"
SUBJECT = "meshproxy"


@dataclass(slots=True)
class Footprint:
    """meshproxy alone: seconds to ready and MiB then; MiB before and after `served` requests."""

    ready: float
    start_rss: float
    before: float = 0.0
    after: float = 0.0
    served: int = 0

    @property
    def growth(self) -> float | None:
        return self.after - self.before if self.served else None


@dataclass(frozen=True, slots=True)
class Features:
    """What each feature adds to `base` microseconds of CPU per exchange, without sockets."""

    base: float
    rows: list[list[str]]

    def section(self) -> str:
        return f"""
## What each feature adds

Microseconds of CPU per exchange without sockets (`python -m loadtests.features`): the base is a
service of three endpoints with the policies above and takes {self.base:.1f} µs; each row adds one
feature. The difference is taken within each round, median, least and most over the rounds. A
health check, a hedge or a renewal that is sent costs a request more, which is not in here.

{table(FEATURE_HEAD, self.rows, markdown=True)}
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """Microseconds of a small GET with nothing that tells of it, and with all of it.

    `to_plain` is the ratio of the two, `to_revision` that of this revision to another, if one
    was named.
    """

    HEAD: ClassVar[list[str]] = ["to be seen", "measured", "promise", "verdict"]

    plain: float
    seen: float
    to_plain: float
    revision: str = ""
    to_revision: float | None = None

    def rows(self) -> list[list[str]]:
        found = [
            ["nothing of it, CPU µs", f"{self.plain:.2f}", "", ""],
            ["1 % of spans, access log, a dashboard, CPU µs", f"{self.seen:.2f}", "", ""],
            Bar("the second to the first", self.to_plain, 1.10, "").cells(),
        ]
        if self.to_revision is not None:
            name = f"the first to that of revision {self.revision}"
            found.append(Bar(name, self.to_revision, 1.02, "").cells())
        return found

    def section(self) -> str:
        return f"""
## What it costs to be seen

A small GET, in turn: as above; and with 1 % of spans sent to a real collector, the access log on as
it is by default, and one dashboard reading `/live` (`python -m loadtests.seen`). Ratios are taken
within a round, median over the rounds.

{table(self.HEAD, self.rows(), markdown=True)}
"""


FEATURE_HEAD = ["feature", "in the file", "adds µs", "least", "most"]


@dataclass(slots=True)
class Results:
    """Everything measured: samples[scenario][proxy] is one sample per round."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    footprint: Footprint | None = None
    features: Features | None = None
    seen: Seen | None = None

    def add(self, scenario: str, proxy: str, sample: Sample) -> None:
        self.samples.setdefault(scenario, {}).setdefault(proxy, []).append(sample)

    def ratio(self, scenario: str, proxy: str) -> float | None:
        """CPU per request against Envoy's in the same round, median over rounds."""
        runs = self.samples.get(scenario, {})
        if REFERENCE not in runs or proxy not in runs:
            return None
        pairs = zip(runs[proxy], runs[REFERENCE], strict=True)
        return statistics.median(mine.cpu / theirs.cpu for mine, theirs in pairs)


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise and what was measured; `value` is None when it was not measured."""

    name: str
    value: float | None
    limit: float
    unit: str

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        return "met" if self.value <= self.limit else "MISSED"

    def cells(self) -> list[str]:
        value = "-" if self.value is None else f"{self.value:.2f}{self.unit}"
        return [self.name, value, f"at most {self.limit:g}{self.unit}", self.verdict]


def bars(results: Results) -> list[Bar]:
    """The bars of the project, in the order of its promises."""
    foot = results.footprint
    return [
        Bar("small GET, CPU to Envoy", results.ratio("small-get", SUBJECT), 1.0, ""),
        Bar("small GET, CPU to Envoy (aim)", results.ratio("small-get", SUBJECT), 0.8, ""),
        Bar("1 MiB download, CPU to Envoy", results.ratio("download-1m", SUBJECT), 1.2, ""),
        Bar("RSS after start", foot.start_rss if foot else None, 60.0, " MiB"),
        Bar("start to ready", foot.ready if foot else None, 0.7, " s"),
        Bar("RSS growth over a million requests", foot.growth if foot else None, 8.0, " MiB"),
    ]


HEAD = ["scenario", "proxy", "CPU µs/req", "to Envoy", "req/s", "p50 ms", "p99 ms", "RSS MiB"]
HEAD += ["errors"]


def rows(results: Results) -> list[list[str]]:
    """One row per scenario and proxy."""
    return [
        _row(results, scenario, proxy, runs)
        for scenario, proxies in results.samples.items()
        for proxy, runs in proxies.items()
    ]


def _row(results: Results, scenario: str, proxy: str, runs: list[Sample]) -> list[str]:
    ratio = results.ratio(scenario, proxy)
    broken = sum(run.seen.broken for run in runs)
    return [
        scenario,
        proxy,
        f"{_median(runs, lambda run: run.cpu) * 1e6:.1f}",
        "-" if ratio is None else f"{ratio:.2f}",
        f"{_median(runs, lambda run: run.rate):.0f}",
        f"{_median(runs, lambda run: run.seen.p50) * 1e3:.2f}",
        f"{_median(runs, lambda run: run.seen.p99) * 1e3:.2f}",
        f"{runs[-1].rss:.1f}",
        f"!! {broken}" if broken else "0",
    ]


def _median(runs: list[Sample], of: Callable[[Sample], float]) -> float:
    return statistics.median(of(run) for run in runs)


def table(head: list[str], body: Iterable[list[str]], markdown: bool = False) -> str:
    """Aligned columns: the first two to the left, the numbers to the right."""
    lines = [head, *body]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    drawn = ["  ".join(_cell(line, i, widths) for i in range(len(head))) for line in lines]
    if not markdown:
        return "\n".join([drawn[0], "-" * len(drawn[0]), *drawn[1:]])
    rule = ["---" if i < 2 else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines[1:]])


def _cell(line: list[str], index: int, widths: list[int]) -> str:
    text = line[index]
    return text.ljust(widths[index]) if index < 2 else text.rjust(widths[index])


BAR_HEAD = ["bar", "measured", "promise", "verdict"]


def screen(results: Results) -> str:
    """What the terminal shows at the end."""
    parts = [table(HEAD, rows(results))]
    if results.seen is not None:
        parts.append(table(Seen.HEAD, results.seen.rows()))
    if results.features is not None:
        parts.append(table(FEATURE_HEAD, results.features.rows))
    if results.footprint is not None or results.ratio("small-get", SUBJECT) is not None:
        parts.append(table(BAR_HEAD, (bar.cells() for bar in bars(results))))
    return "\n\n".join(parts)


def machine() -> str:
    """Processor, cores, memory and kernel, in one line."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = names[0] if names else platform.machine()
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"


def page(results: Results, date: str, how: str, versions: dict[str, str]) -> str:
    """The page of the day, as Markdown."""
    listed = "\n".join(f"- {name}: {text}" for name, text in versions.items())
    return f"""# Benchmark of {date}

Written by `make bench` ({how}); do not edit.

- machine: {machine()}
- Python {platform.python_version()}
{listed}

Each proxy alone on one core; wrk and an nginx origin on the other. CPU is user + system time of
the proxy over the run, divided by the requests that wrk completed. Proxies take turns in each
round; `to Envoy` is the ratio within a round, median over rounds, the other figures are medians.
The load is closed-loop (64 connections, 16 for the download), so latencies are those of a
saturated proxy.

meshproxy has on: a timeout, two rate limits (one per client), retries with a budget, a circuit
breaker, a concurrency limit, W3C and B3 trace headers with 1 % sampled, metrics, the access log of
errors. Envoy has on: a timeout, one local rate limit, retries with a budget, outlier detection,
circuit breakers; no tracing, no access log. nginx, HAProxy and aiohttp (on uvloop) only forward.

{table(HEAD, rows(results), markdown=True)}

{table(BAR_HEAD, (bar.cells() for bar in bars(results)), markdown=True)}
{_footnote(results.footprint)}{results.features.section() if results.features else ""}\
{results.seen.section() if results.seen else ""}"""


def _footnote(foot: Footprint | None) -> str:
    if foot is None or not foot.served:
        return ""
    return (
        f"\nRSS went from {foot.before:.1f} MiB right after the start to {foot.after:.1f} MiB after"
        f" {foot.served:,} small GETs over 64 connections.\n"
    )
