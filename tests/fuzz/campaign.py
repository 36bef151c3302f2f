"""Many scripts in a row, as many at once as there are cores, and what they found.

A script is made from the seed and its number alone. A world serves a batch of them, so that
what one leaves behind can trouble the next, as in a process that lives long.
"""

from __future__ import annotations

import gc
import os
import resource
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from random import Random

from tests.fuzz import cuts
from tests.fuzz.cuts import Pair
from tests.fuzz.oracle import Finding, judge
from tests.fuzz.scripts import Script, play, script
from tests.fuzz.world import World

BATCH = 1000
WARM_UP = 10 * BATCH
"""Scripts of a process before its memory is held against it."""

MOST_GROWTH = 20 * 1024 * 1024
"""Bytes of RSS, and the objects of Python, by which a process may grow after that."""
MOST_OBJECTS = 20_000


@dataclass(frozen=True)
class Found:
    """A failure: which script of the seed, what went wrong, and how it showed."""

    number: int
    kind: str
    detail: str
    script: Script


@dataclass
class Memory:
    """What a process holds, judged against what it held when it was warm."""

    scripts: int = 0
    warm: tuple[int, int] | None = None
    growth: tuple[int, int] = (0, 0)

    def look(self, scripts: int) -> str | None:
        """Count so many more scripts; a sentence if memory has grown without an end."""
        self.scripts += scripts
        if self.scripts < WARM_UP:
            return None
        gc.collect()
        now = resident(), len(gc.get_objects())
        self.warm = self.warm or now
        self.growth = now[0] - self.warm[0], now[1] - self.warm[1]
        if self.growth[0] > MOST_GROWTH or self.growth[1] > MOST_OBJECTS:
            return f"{self.growth[0]} bytes and {self.growth[1]} objects more than when warm"
        return None


@dataclass
class Report:
    """What a batch brought."""

    scripts: int = 0
    inputs: int = 0
    growth: tuple[int, int] = (0, 0)
    found: list[Found] = field(default_factory=list)


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


def make(seed: int, number: int) -> Script:
    """The script of this number."""
    return script(Random(seed * 0x1_0000_0000 + number))


EACH_CUT = 16
"""One in so many conversations is also played with its requests cut in other places."""


def attempt(world: World, one: Script) -> tuple[str, str] | None:
    """Play and judge; the kind and the detail of what went wrong, if anything did."""

    def played() -> None:
        play(world, one)
        judge(world)
        world.forget()

    return _tried(played)


def compared(pair: Pair, number: int, one: Script) -> tuple[str, str] | None:
    """Play it whole and cut."""
    whole = cuts.whole(one)
    return _tried(lambda: pair.compare(whole, cuts.cut(whole, Random(number))))


def _tried(act: Callable[[], None]) -> tuple[str, str] | None:
    try:
        act()
    except Finding as finding:
        return finding.kind, str(finding)
    except Exception as error:  # noqa: BLE001  # any at all is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].name}"
        return f"{type(error).__name__} in {place}", "".join(traceback.format_exception(error))
    return None


_memory = Memory()


def batch(seed: int, first: int, until: float) -> Report:
    """Scripts of one world; ends at the first finding, or when time is up."""
    report = Report()
    world, pair = World(seed), Pair()
    for number in range(first, first + BATCH):
        if time.monotonic() > until:
            break
        one = make(seed, number)
        report.scripts += 1
        report.inputs += one.inputs
        wrong = attempt(world, one)
        if wrong is None and number % EACH_CUT == 0:
            wrong = compared(pair, number, one)
        if wrong is not None:
            report.found.append(Found(number, *wrong, one))
            break
    grown = _memory.look(report.scripts)
    report.growth = _memory.growth
    if grown is not None:
        report.found.append(Found(first, "memory grows", grown, Script(0, ())))
    return report


def in_turn(seed: int, inputs: int, seconds: float) -> Iterator[Report]:
    """Batches in this process, until there were as many inputs or time is up."""
    until = time.monotonic() + seconds
    for first in count(0, BATCH):
        if inputs <= 0 or time.monotonic() > until:
            return
        report = batch(seed, first, until)
        inputs -= report.inputs
        yield report


def at_once(seed: int, inputs: int, seconds: float, processes: int) -> Iterator[Report]:
    """The same in several processes."""
    until = time.monotonic() + seconds
    starts = count(0, BATCH)
    running: set[Future[Report]] = set()
    with ProcessPoolExecutor(processes) as pool:
        while True:
            while len(running) < 2 * processes and inputs > 0 and time.monotonic() < until:
                running.add(pool.submit(batch, seed, next(starts), until))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                inputs -= one.result().inputs
                yield one.result()


def cores() -> int:
    return len(os.sched_getaffinity(0))
