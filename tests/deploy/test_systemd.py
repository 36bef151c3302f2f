"""The unit: systemd takes every word of it, and it leaves little open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meshproxy.control.rulebook import MOST
from meshproxy.settings.schema import File

from .tools import CONFIG, run, tool

UNIT = CONFIG / "systemd/meshproxy.service"
TEXT = UNIT.read_text()
MOST_EXPOSED = 2.0
"""Of 10, where 10 is a service without a single restriction."""

THREADS, MEMORY = 6, 53
"""Of one worker: its own, the one that watches it and four that look up names; MiB when idle."""


def said(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", TEXT, re.MULTILINE)


@pytest.mark.server("systemd-analyze")
def test_systemd_takes_every_word_of_it(tmp_path: Path) -> None:
    # The program need not be installed where the tests run, and systemd looks for it.
    unit = tmp_path / UNIT.name
    unit.write_text(TEXT.replace("/opt/meshproxy/bin/meshproxy", "/bin/true"))
    run(tool("systemd-analyze"), "verify", "--recursive-errors=yes", "--man=no", str(unit))
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHouse="))
    with pytest.raises(AssertionError, match="ProtectHouse"):
        run(tool("systemd-analyze"), "verify", "--recursive-errors=yes", "--man=no", str(unit))


@pytest.mark.server("systemd-analyze")
def test_little_is_exposed() -> None:
    told = run(tool("systemd-analyze"), "security", "--offline=true", "--no-pager", str(UNIT))
    level = re.search(r"exposure level for [\w.]+: ([0-9.]+)", told)
    assert level is not None
    assert float(level[1]) <= MOST_EXPOSED, told


def test_it_reloads_by_hup_and_is_given_time_to_drain() -> None:
    assert said("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert (
        int(said("TimeoutStopSec")[0])
        > File.model_fields["shutdown"].get_default(call_default_factory=True).drain
    )


def test_what_it_may_take_is_enough_for_a_worker_on_each_processor() -> None:
    """And for those of an upgrade beside them, on a machine with 1 GiB for each processor."""
    assert int(said("TasksMax")[0]) >= 2 * (MOST * THREADS + 1), "workers and who watches them"
    share = re.fullmatch(r"(\d+)%", said("MemoryMax")[0])
    assert share is not None, "a fixed limit holds so many workers and no more"
    assert 1024 * int(share[1]) / 100 >= 2 * MEMORY


def test_a_broken_config_is_told_before_it_starts_and_not_tried_for_ever() -> None:
    assert said("ExecStartPre")[0].endswith("check -c /etc/meshproxy/meshproxy.yaml")
    assert said("Restart") == ["on-failure"]
    assert int(said("StartLimitBurst")[0]) * float(said("RestartSec")[0]) < int(
        said("StartLimitIntervalSec")[0]
    )
