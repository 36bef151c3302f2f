"""Trials of many slow or idle connections: slowloris, slow readers, slow uploads, idle clients.

Each function is one trial and returns its figures. What the clients do is in `attacks`; the
targets are the project's.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from loadtests.stall_report import Figure
from loadtests.stall_site import FILES, Scene, Site

KIB = 1024.0
MIB = 1024.0 * 1024.0
TWICE = 2.0


def others(trial: str, scene: Scene, *, judged: bool = True) -> Iterator[Figure]:
    """What the bystander noticed."""
    yield Figure(
        trial, "others' p99, to normal", scene.ratio, "x", TWICE if judged else None,
        note=scene.latencies,
    )  # fmt: skip
    yield Figure(trial, "others' requests that failed", scene.during.failed, "", 0.0)


def nobody(seconds: float) -> Iterator[Figure]:
    """The control: how much the figures differ when nobody attacks."""
    with Site.running() as site:
        scene = site.attacked("idle", 1, seconds)
    yield from others("nobody attacks", scene, judged=False)


def slowloris(seconds: float) -> Iterator[Figure]:
    """500 heads at one byte per second; whoever is closed comes again."""
    trial, count = "slowloris, 500 at 1 B/s", 500
    with Site.running() as site:
        scene = site.attacked("slowloris", count, max(seconds, 16.0))
    yield from others(trial, scene)
    lives = scene.outcome["lives"]
    yield Figure(trial, "closed without 408", closed_otherwise(scene, "408"), "", 0.0)
    yield Figure(
        trial, "worst error of the 10 s head timeout", worst(lives, 10.0), "s", 0.5,
        note=f"{len(lives)} were closed, after {spread(lives)}",
    )  # fmt: skip
    yield Figure(trial, "RSS each", (scene.rss - scene.rss_before) / count / KIB, "KiB")


def slow_readers(seconds: float) -> Iterator[Figure]:
    """100 clients take 1 KiB/s of 50 MB each."""
    trial, count = "100 slow readers of 50 MB", 100
    with Site.running() as site:
        scene = site.attacked("slow-read", count, seconds)
    yield from others(trial, scene)
    each = (scene.rss - scene.rss_before) / count / KIB
    peak = (scene.rss_peak - scene.rss_before) / count / KIB
    yield Figure(trial, "RSS each", each, "KiB", 128.0, 256.0)
    yield Figure(trial, "peak RSS each", peak, "KiB", 128.0, 256.0)
    stats = scene.stats or {}
    yield Figure(
        trial, "taken from the upstream, each", stats["big_sent"] / count / MIB, "MiB", 25.0,
        note="what is not in the sidecar's memory is in the kernel's socket buffers",
    )  # fmt: skip


def slow_uploads(seconds: float) -> Iterator[Figure]:
    """100 clients send 100 B/s of 50 MB each; the minimum body rate ends them."""
    trial, count = "100 uploads at 100 B/s", 100
    with Site.running() as site:
        scene = site.attacked("slow-upload", count, max(seconds, 16.0))
    yield from others(trial, scene)
    lives = scene.outcome["lives"]
    yield Figure(trial, "never closed", max(0, count - len(lives)), "", 0.0)
    yield Figure(trial, "closed without 408", closed_otherwise(scene, "408"), "", 0.0)
    yield Figure(
        trial, "worst error of the 10 s of grace", worst(lives, 10.0), "s", 1.0,
        note=f"{len(lives)} were closed, after {spread(lives)}",
    )  # fmt: skip
    yield Figure(trial, "RSS each", (scene.rss - scene.rss_before) / count / KIB, "KiB", 128.0)


def idle(seconds: float) -> Iterator[Figure]:
    """10,000 clients that asked once and stay."""
    count = min(10_000, FILES // 2 - 100)  # a sidecar takes half as many clients as it has files
    trial = f"{count:,} idle connections"
    with Site.running(limits="connections: 12000, keep_alive: 10m") as site:
        scene = site.attacked("idle", count, seconds + 4.0, settle=4.0)
    yield from others(trial, scene)
    each = (scene.rss - scene.rss_before) / count / KIB
    yield Figure(trial, "RSS each", each, "KiB", 10.0, 20.0)
    yield Figure(trial, "connections that were lost", count - scene.outcome["open"], "", 0.0)


def closed_otherwise(scene: Scene, status: str) -> int:
    """Connections that were closed without this status."""
    closed: int = len(scene.outcome["lives"])
    said: int = scene.outcome["statuses"].get(status, 0)
    return max(0, closed - said)


def worst(lives: list[float], wanted: float) -> float:
    """The largest distance from what it should have been."""
    return max((abs(life - wanted) for life in lives), default=float("inf"))


def spread(lives: list[float]) -> str:
    if not lives:
        return "no time"
    return f"{min(lives):.2f} to {max(lives):.2f} s, median {statistics.median(lives):.2f} s"
