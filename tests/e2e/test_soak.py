"""A soak, shrunk: after many requests and faults of all kinds nothing is left. `make soak` is the
whole, which also looks at memory: that takes millions."""

from __future__ import annotations

import os

import pytest

from loadtests import soak, tools
from loadtests.processes import cores
from loadtests.soak_report import BACK

REQUESTS = 40_000
WRKS = 2


@pytest.mark.skipif(len(cores()) < 2, reason="needs two cores: the sidecar has one to itself")
def test_f57_descriptors_tasks_and_timers_are_back_after_a_soak() -> None:
    before = os.sched_getaffinity(0)
    try:
        found = soak.run(REQUESTS, WRKS)
    except tools.MissingError as missing:
        pytest.skip(str(missing))
    finally:
        os.sched_setaffinity(0, before)  # it keeps to one core
    assert found.problems == []
    assert sum(found.codes.values()) >= REQUESTS
    assert any(code >= "499" for code in found.codes), "faults were among them"
    left = {
        name: (found.base.counts[name], found.end.counts[name])
        for name in BACK
        if found.end.counts[name] > found.base.counts[name]
    }
    assert left == {}, "more than before the load"
