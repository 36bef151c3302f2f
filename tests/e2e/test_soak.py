"""A soak, shrunk: after many requests and faults of all kinds nothing is left. `make soak` is the
whole, which also looks at memory: that takes millions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtests.processes import cores
from loadtests.soak_report import BACK

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = 40_000
SOAK = f"""
import json
from loadtests.soak import run
found = run({REQUESTS}, 1)
print(json.dumps([found.problems, found.codes, found.base.counts, found.end.counts]))
"""


@pytest.mark.skipif(len(cores()) < 2, reason="needs two cores: the sidecar has one to itself")
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing: apt-get install wrk")
def test_f57_descriptors_tasks_and_timers_are_back_after_a_soak() -> None:
    # It takes all that it can get of both cores: no other test is to wait for that.
    nicely = ["nice", "-n", "19", sys.executable, "-c", SOAK]
    done = subprocess.run(
        nicely, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done
    told: list[Any] = json.loads(done.stdout.splitlines()[-1])
    problems, codes, base, end = told
    assert problems == []
    assert sum(codes.values()) >= REQUESTS
    assert any(code >= "499" for code in codes), "faults were among them"
    left = {name: (base[name], end[name]) for name in BACK if end[name] > base[name]}
    assert left == {}, "more than before the load"
