"""What a soak shows: the slope of memory, what is left at the end, and the page. Starts nothing."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.report import machine, table

SLOPE_BAR = 1.0
"""KiB of resident memory per 10,000 requests that may be gained, once it is warm."""

WARM_SHARE = 0.5
"""The part of the requests whose samples are left out of the slope.

What is resident is the most that was ever needed at once, and rises by steps as crowds grow; a
leak goes on in the second half as in the first.
"""

FAULTS = (0.005, 0.05)
"""The share of exchanges that must have gone wrong: a soak without faults shows little."""

BACK = ("fds", "tasks", "timers", "exchanges", "downstreams", "upstreams")
"""What must be back where it was once nobody asks any more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The sidecar after so many requests; `counts` are those of `watched`, and `fds`."""

    requests: int
    seconds: float
    rss: float  # KiB
    counts: dict[str, int]


@dataclass(slots=True)
class Soak:
    """One run: samples under load, the base before it and the rest after it."""

    wanted: int
    base: Sample
    end: Sample
    samples: list[Sample] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    reloads: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def warm(self) -> list[Sample]:
        first = WARM_SHARE * self.wanted
        return [one for one in self.samples if one.requests >= first]

    @property
    def slope(self) -> float:
        """KiB per 10,000 requests."""
        points = [(one.requests / 10_000, one.rss) for one in self.warm]
        return slope(points)

    @property
    def faults(self) -> float:
        """The share of all exchanges that ended with 5xx, or that their caller left (499)."""
        total = sum(self.codes.values())
        bad = sum(n for code, n in self.codes.items() if code.startswith("5") or code == "499")
        return bad / total if total else 0.0


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The least-squares slope of y over x; 0.0 where there is no line to draw."""
    count = len(points)
    if count < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


HEAD = ["bar", "", "measured", "allowed", "verdict"]


def bars(soak: Soak) -> list[list[str]]:
    """One row per promise."""
    done = soak.samples[-1].requests if soak.samples else 0
    least, most = FAULTS
    rows = [
        _row("requests", f"{done:,}", f"{soak.wanted:,} or more", done >= soak.wanted),
        _row(
            "RSS slope, KiB per 10,000 requests",
            f"{soak.slope:.2f} over {len(soak.warm)} samples",
            f"under {SLOPE_BAR:g}",
            len(soak.warm) >= 3 and soak.slope < SLOPE_BAR,
        ),
        _row(
            "faults",
            f"{soak.faults:.2%}",
            f"{least:.1%} to {most:.0%}",
            least <= soak.faults <= most,
        ),
    ]
    for name in BACK:
        base, end = soak.base.counts.get(name), soak.end.counts.get(name)
        known = base is not None and end is not None
        rows.append(
            _row(
                f"{name} when idle again",
                "-" if end is None else f"{end:,}",
                "-" if base is None else f"{base:,} as before",
                known and (end or 0) <= (base or 0),
            )
        )
    return rows


def _row(name: str, measured: str, allowed: str, kept: bool) -> list[str]:
    return [name, "", measured, allowed, "met" if kept else "MISSED"]


def passed(soak: Soak) -> bool:
    return not soak.problems and all(row[-1] == "met" for row in bars(soak))


SAMPLES = ["requests", "", "seconds", "RSS KiB", "fds", "tasks", "timers", "exchanges", "objects"]


def samples(soak: Soak, most: int = 25) -> list[list[str]]:
    """The course of it, thinned out."""
    step = max(1, len(soak.samples) // most)
    shown = [soak.base, *soak.samples[::step], soak.end]
    return [
        [
            f"{one.requests:,}",
            "",
            f"{one.seconds:.0f}",
            f"{one.rss:,.0f}",
            *(f"{one.counts.get(name, 0):,}" for name in SAMPLES[4:]),
        ]
        for one in shown
    ]


def screen(soak: Soak) -> str:
    """What the terminal shows at the end."""
    parts = [table(HEAD, bars(soak)), *(f"problem: {one}" for one in soak.problems)]
    return "\n\n".join([table(SAMPLES, samples(soak)), *parts])


def page(soak: Soak) -> str:
    """The page of the day, as Markdown."""
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    last = soak.samples[-1] if soak.samples else soak.end
    rate = last.requests / last.seconds if last.seconds else 0.0
    codes = ", ".join(f"{code}: {count:,}" for code, count in sorted(soak.codes.items()))
    found = "".join(f"\n- **{one}**" for one in soak.problems)
    return f"""# Soak, {date}

Written by `make soak`; do not edit.

- machine: {machine()}
- Python {platform.python_version()}
- {last.requests:,} requests in {last.seconds:.0f} s ({rate:.0f} per second), {soak.reloads} reloads
- answers by code: {codes}{found}

Both directions at once: GET, POST and 64 KiB answers, on kept-alive and on new connections. One
request in a hundred meets a 503 or a service whose network resets, cuts, stalls and refuses in
turn; beside them callers leave at every point where one can, and the file is rewritten and loaded
all the time. The first {WARM_SHARE:.0%} of the requests are left out of the slope.

{table(HEAD, bars(soak), markdown=True)}

The first row of the course is the base before the load, the last one after it, idle.

{table(SAMPLES, samples(soak), markdown=True)}
"""
