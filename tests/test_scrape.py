"""The measurement of a scrape reaches the real page, and ends with a row for each size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("options", [[], ["--text"], ["--istio"]])
def test_it_prints_a_row_for_each_size(options: list[str]) -> None:
    argv = [sys.executable, "-m", "loadtests.scrape", "--series", "200", "400", "--scrapes", "2"]
    run = subprocess.run([*argv, *options], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    rows = [line.split() for line in run.stdout.splitlines()[2:]]
    assert [len(row) for row in rows] == [7, 7]
    assert 100 < int(rows[0][0]) < int(rows[1][0])
