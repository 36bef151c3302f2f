"""What is told of the process is what the kernel, and Prometheus' own client, say of it."""

from __future__ import annotations

import os
import time
from itertools import chain
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from meshproxy.telemetry import process
from meshproxy.telemetry.families import PROCESS


def told(proc: Path = Path("/proc")) -> dict[str, float]:
    return {sample.family: sample.value for sample in chain.from_iterable(process.samples(proc))}


def test_the_numbers_are_those_of_prometheus_own_client() -> None:
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    others = {each.name: each.value for family in registry.collect() for each in family.samples}
    ours = told()
    assert ours.keys() == others.keys() == {family.name for family in PROCESS}
    assert ours["process_start_time_seconds"] == others["process_start_time_seconds"]
    assert ours["process_max_fds"] == others["process_max_fds"]
    assert ours["process_cpu_seconds_total"] == pytest.approx(
        others["process_cpu_seconds_total"], abs=1.0
    )
    for name in ("process_virtual_memory_bytes", "process_resident_memory_bytes"):
        assert ours[name] == pytest.approx(others[name], rel=0.1)
    assert abs(time.time() - ours["process_start_time_seconds"]) < 24 * 3600


def test_open_descriptors_are_counted() -> None:
    before = told()["process_open_fds"]
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    try:
        assert told()["process_open_fds"] == before + 20
    finally:
        for fd in opened:
            os.close(fd)


def old_kernel(folder: Path, descriptors: int, name: str = "python") -> Path:
    """A /proc whose `fd` does not say how many there are."""
    own = folder / "self"
    (own / "fd").mkdir(parents=True)
    for number in range(descriptors):
        (own / "fd" / str(number)).touch()
    fields = ["S", *map(str, range(1, 50))]
    (own / "stat").write_text(f"1 ({name}) {' '.join(fields)}")
    (own / "limits").write_text("Limit  Soft  Hard\nMax open files  unlimited  5  files\n")
    (folder / "stat").write_text("cpu 1\nbtime 1000\n")
    return folder


def test_on_an_old_kernel_they_are_counted_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3 * process.AT_ONCE + 1
    proc = old_kernel(tmp_path, count)

    class Unsized:
        st_size = 0

    monkeypatch.setattr(Path, "stat", lambda self, **_: Unsized())
    groups = [list(group) for group in process.samples(proc)]
    assert groups[-1][0].value == count - 1
    assert len([group for group in groups if not group]) == 4


def test_a_name_with_a_parenthesis_moves_no_field(tmp_path: Path) -> None:
    found = told(old_kernel(tmp_path, 1, name="a) b (c"))
    ticks = os.sysconf("SC_CLK_TCK")
    assert found["process_cpu_seconds_total"] == (11 + 12) / ticks
    assert found["process_virtual_memory_bytes"] == 20
    assert found["process_start_time_seconds"] == 1000 + 19 / ticks
    assert found["process_max_fds"] == float("inf")


def test_where_there_is_no_proc_nothing_is_told(tmp_path: Path) -> None:
    assert told(tmp_path) == {}
