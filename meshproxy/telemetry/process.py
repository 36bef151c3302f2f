"""What the kernel says of this process: CPU, memory and descriptors, under Prometheus' own names.

Not prometheus_client's collector, because that lists every descriptor to count them: 13 ms of
the event loop for 20,000 connections. Linux since 6.2 says the number at once; before that they
are counted a few at a time, which is why the samples come in groups.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from meshproxy.core.report import Sample
from meshproxy.telemetry.exposition import Groups

AT_ONCE = 250
"""Descriptors that are counted in one go."""

PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def samples(proc: Path = PROC) -> Groups:
    """All that can be known; where there is no /proc, nothing."""
    own = proc / "self"
    try:
        yield _counters(own, proc)
    except (OSError, ValueError, IndexError):
        return
    try:
        yield _most_descriptors(own)
        count = (own / "fd").stat().st_size
        if not count:
            with os.scandir(own / "fd") as entries:
                while some := sum(1 for _ in islice(entries, AT_ONCE)):
                    count += some
                    yield ()
            count -= 1  # the one by which they were counted
        yield (_sample("open_fds", count),)
    except OSError:
        return  # a process that may not look at itself


def _counters(own: Path, proc: Path) -> list[Sample]:
    # The name of the program may hold anything, blanks and parentheses too: it ends at the last.
    fields = (own / "stat").read_bytes().rpartition(b")")[2].split()
    user, system, started, virtual, pages = (int(fields[at]) for at in (11, 12, 19, 20, 21))
    return [
        _sample("cpu_seconds_total", (user + system) / _TICK),
        _sample("resident_memory_bytes", pages * _PAGE),
        _sample("virtual_memory_bytes", virtual),
        _sample("start_time_seconds", _boot_time(proc) + started / _TICK),
    ]


def _boot_time(proc: Path) -> int:
    with (proc / "stat").open("rb") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(b"btime "))


def _most_descriptors(own: Path) -> list[Sample]:
    for line in (own / "limits").read_bytes().splitlines():
        if line.startswith(b"Max open files"):
            soft = line.split()[3]
            return [_sample("max_fds", float("inf") if soft == b"unlimited" else float(soft))]
    return []


def _sample(name: str, value: float) -> Sample:
    return Sample(f"process_{name}", (), float(value))
