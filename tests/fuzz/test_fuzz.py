"""A stretch of fuzzing with a new seed each time, and everything that was ever found.

`python -m tests.fuzz --seed N` with the seed that a failure names goes the same way again.
"""

from __future__ import annotations

import random

import pytest

from tests.fuzz.campaign import Report, attempt, in_turn
from tests.fuzz.found import FOUND, OPEN
from tests.fuzz.scripts import Script
from tests.fuzz.world import World

INPUTS = 200_000
SECONDS = 60.0
FEWEST = 2_000
"""Mutated messages that even a slow machine gets through in that time."""


def _replayed() -> list[object]:
    return [
        pytest.param(
            one,
            id=name,
            marks=[pytest.mark.xfail(strict=True, reason=OPEN[name])] if name in OPEN else [],
        )
        for name, one in FOUND.items()
    ]


@pytest.mark.slow
def test_whatever_either_side_sends_nothing_breaks_hangs_or_stays() -> None:
    seed = random.randrange(2**31)
    total = Report()
    for report in in_turn(seed, INPUTS, SECONDS):
        total.inputs += report.inputs
        for found in report.found:
            pytest.fail(f"seed {seed}, conversation {found.number}: {found.detail}\n{found.script}")
    print(f"seed {seed}, {total.inputs} inputs")
    assert total.inputs >= FEWEST


@pytest.mark.parametrize("one", _replayed())
def test_what_was_found_once_does_not_come_back(one: Script) -> None:
    assert attempt(World(), one) is None


def test_what_is_open_is_in_the_list() -> None:
    assert set(OPEN) <= set(FOUND)
