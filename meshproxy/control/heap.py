"""Where the memory of this process is: what the system counts, what we keep, what Python holds.

Long looks are cut in slices between which the loop turns. Who made an object is known only
while tracemalloc is on, which slows everything down and so ends by itself.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from meshproxy.control.memory import Memory
from meshproxy.control.view import View
from meshproxy.core.report import Sampled
from meshproxy.telemetry.bugs import short_path

TOP = 30
SLICE, TRACES = 2000, 100
"""Objects, and traces of tracemalloc, that are looked at in one turn of the loop: 1 ms at most.

Listing them takes 40 ns an object and 1 us a trace, in one go: 2 ms for the objects of a sidecar
with 10,000 connections.
"""
FRAMES = 1

_STATUS = Path("/proc/self/status")


def process() -> dict[str, Any]:
    """As the system counts it, in bytes."""
    memory = Memory()
    lines = dict(line.partition(":")[::2] for line in _status().splitlines())
    return {
        "resident": _bytes(lines.get("VmRSS")),
        "peak": _bytes(lines.get("VmHWM")),
        "swapped": _bytes(lines.get("VmSwap")),
        "limit": memory.limit,
        "pressure": round(memory.used(), 6),
    }


def collector() -> dict[str, Any]:
    """What the garbage collector knows; `frozen` objects, those of the start, it never walks."""
    return {
        "enabled": gc.isenabled(),
        "pending": gc.get_count(),
        "thresholds": gc.get_threshold(),
        "generations": gc.get_stats(),
        "frozen": gc.get_freeze_count(),
    }


def kept(view: View) -> dict[str, Any]:
    """What the proxy keeps because of its traffic and its config, by kind."""
    endpoints = [one for each in (view.snapshot.clusters if view.snapshot else ())
                 for one in each.endpoints]  # fmt: skip
    cells = list(view.cells())
    return {
        "client_connections": view.stats().get("connections", {}),
        "upstream_connections": {
            "open": sum(one.connections for one in endpoints),
            "idle": sum(one.idling for one in endpoints),
            "dialling": sum(one.dials for one in endpoints),
            "waiting": sum(len(one.waiters) for one in endpoints),
        },
        "cells": dict(Counter(type(cell).__name__ for cell in cells).most_common()),
        "cache": {
            "bytes": _summed(cells, "meshproxy_cache_bytes"),
            "entries": _summed(cells, "meshproxy_cache_entries"),
        },
        "tasks": len(asyncio.all_tasks()),
    }


async def objects() -> dict[str, Any]:
    """By type, those that were made since the start; their own size, without what they refer to."""
    counts: Counter[type] = Counter()
    sizes: Counter[type] = Counter()
    async for some in _slices(iter(gc.get_objects()), SLICE):
        for each in some:
            kind = type(each)
            counts[kind] += 1
            sizes[kind] += sys.getsizeof(each, 0)
    return {
        "count": counts.total(),
        "bytes": sizes.total(),
        "top": [
            {
                "type": f"{kind.__module__}.{kind.__qualname__}",
                "count": count,
                "bytes": sizes[kind],
            }
            for kind, count in counts.most_common(TOP)
        ],
    }


class Tracing:
    """tracemalloc, for a while. `now` is the monotonic clock."""

    __slots__ = ("_now", "_timer", "_until")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0

    def begin(self, seconds: float) -> None:
        """Anew, if it is on already."""
        self.end()
        tracemalloc.start(FRAMES)
        self._until = self._now() + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end)

    def end(self) -> None:
        """Off; what was traced is forgotten."""
        tracemalloc.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def state(self) -> dict[str, Any]:
        """Whether it is on, and for how long still (None: for good, by PYTHONTRACEMALLOC)."""
        if not tracemalloc.is_tracing():
            return {"on": False}
        size, peak = tracemalloc.get_traced_memory()
        left = None if self._timer is None else round(self._until - self._now(), 3)
        return {"on": True, "seconds_left": left, "traced": size, "traced_peak": peak}


async def allocations() -> list[dict[str, Any]]:
    """The lines that hold most of what was made since tracemalloc is on; [] while it is off."""
    if not tracemalloc.is_tracing():
        return []
    sizes: Counter[tuple[str, int]] = Counter()
    counts: Counter[tuple[str, int]] = Counter()
    async for some in _slices(iter(tracemalloc.take_snapshot().traces), TRACES):
        for trace in some:
            frame = trace.traceback[-1]
            where = (frame.filename, frame.lineno)
            sizes[where] += trace.size
            counts[where] += 1
    return [
        {"where": f"{short_path(file)}:{line}", "bytes": size, "count": counts[file, line]}
        for (file, line), size in sizes.most_common(TOP)
    ]


async def _slices(things: Iterator[Any], most: int) -> Any:
    """So many at a time, with a turn of the loop before the next."""
    while some := list(islice(things, most)):
        yield some
        await asyncio.sleep(0)


def _summed(cells: Iterable[Any], family: str) -> int:
    return int(
        sum(
            sample.value
            for cell in cells
            if isinstance(cell, Sampled)
            for sample in cell.samples()
            if sample.family == family
        )
    )


def _status() -> str:
    try:
        return _STATUS.read_text()
    except OSError:
        return ""


def _bytes(value: str | None) -> int | None:
    """`59904 kB` as a number of bytes."""
    return int(value.split()[0]) * 1024 if value else None
