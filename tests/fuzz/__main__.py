"""python -m tests.fuzz --inputs 1000000 [--seed N] [--seconds S] [--processes N] [--only N]

Prints the seed, how far it is, and any finding as a case ready to be pasted into `found`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.fuzz.campaign import BATCH, Found, Report, at_once, attempt, cores, in_turn, make
from tests.fuzz.scripts import Script
from tests.fuzz.shrink import shrunk
from tests.fuzz.world import World

EVERY = 5.0
"""Seconds between two lines of progress."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="mutated messages to try")
    parser.add_argument("--seed", type=int, help="default: drawn and printed")
    parser.add_argument("--seconds", type=float, default=86400.0, help="stop after this long")
    parser.add_argument("--processes", type=int, default=cores())
    parser.add_argument("--only", type=int, help="the one conversation of this number, shrunk")
    return parser.parse_args()


class Progress:
    """Sums up, and says so now and then."""

    def __init__(self, wanted: int) -> None:
        self.total = Report()
        self._wanted = wanted
        self._began = self._said = time.monotonic()

    def add(self, report: Report) -> None:
        total = self.total
        total.inputs += report.inputs
        total.scripts += report.scripts
        total.growth = max(total.growth, report.growth)
        total.found += report.found
        if time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            self.say()

    def say(self) -> None:
        total, took = self.total, time.monotonic() - self._began
        print(
            f"{total.inputs:>9,} of {self._wanted:,} inputs, {total.scripts:,} conversations, "
            f"{total.inputs / max(took, 0.001):,.0f}/s, RSS +{total.growth[0] / 2**20:.1f} MiB, "
            f"{len(total.found)} findings",
            flush=True,
        )


def show(found: Found, seed: int) -> None:
    """The finding, as small as it can be made."""
    print(f"\nFOUND by seed {seed}, conversation {found.number}: {found.kind}\n{found.detail}\n")
    if not found.script.steps:
        return
    small = shrunk(found.script, found.kind)
    if small is None:
        first = found.number // BATCH * BATCH
        print(f"# needs what conversations {first} to {found.number - 1} leave behind:")
    print(small or found.script, flush=True)


def only(seed: int, number: int) -> int:
    one: Script = make(seed, number)
    wrong = attempt(World(seed), one)
    print(one)
    if wrong is not None:
        show(Found(number, *wrong, one), seed)
    return int(wrong is not None)


def main() -> int:
    options = arguments()
    seed = options.seed if options.seed is not None else random.randrange(2**31)
    print(f"seed {seed}", flush=True)
    if options.only is not None:
        return only(seed, options.only)
    progress = Progress(options.inputs)
    if options.processes > 1:
        reports = at_once(seed, options.inputs, options.seconds, options.processes)
    else:
        reports = in_turn(seed, options.inputs, options.seconds)
    kinds: set[str] = set()
    for report in reports:
        progress.add(report)
        for found in report.found:
            if found.kind not in kinds:
                kinds.add(found.kind)
                show(found, seed)
    progress.say()
    return int(bool(kinds))


if __name__ == "__main__":
    sys.exit(main())
