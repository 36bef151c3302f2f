"""The fullest of the limits around this process counts; the files are those of a kernel, faked."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproxy.control.memory import Memory, trim

MIB = 1024 * 1024
NONE = 9223372036854771712
"""What the first version says where there is no limit."""


class Machine:
    """A root folder with the files that are read; 1000 MiB in all, 50 MiB of it resident here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/meminfo", f"MemTotal:       {1000 * 1024} kB\nMemFree: 1 kB\n")
        self.write("proc/self/statm", f"99999 {50 * MIB // 4096} 1 1 0 1 0\n")

    def write(self, path: str, text: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def second(self, group: str, limit: object, usage: int, inactive: int = 0) -> None:
        folder = f"sys/fs/cgroup{group}"
        self.write(f"{folder}/memory.max", limit)
        self.write(f"{folder}/memory.current", usage * MIB)
        self.write(f"{folder}/memory.stat", f"anon 1\ninactive_file {inactive * MIB}")

    def first(self, group: str, limit: int, usage: int, inactive: int = 0) -> None:
        folder = f"sys/fs/cgroup/memory{group}"
        self.write(f"{folder}/memory.limit_in_bytes", limit)
        self.write(f"{folder}/memory.usage_in_bytes", usage * MIB)
        self.write(
            f"{folder}/memory.stat", f"inactive_file 1\ntotal_inactive_file {inactive * MIB}"
        )

    def used(self) -> float:
        return Memory(self.root).used()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_a_limit_it_is_this_process_of_all_there_is(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/")
    machine.second("", "max", 900)
    assert machine.used() == pytest.approx(0.05)


def test_a_limit_of_the_second_version_counts_without_what_can_be_dropped(
    machine: Machine,
) -> None:
    machine.write("proc/self/cgroup", "0::/pod/me")
    machine.second("/pod/me", 200 * MIB, 150, inactive=50)
    assert machine.used() == pytest.approx(0.5)


def test_the_fullest_of_the_groups_around_counts(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/pod/me")
    machine.second("/pod/me", 200 * MIB, 50)
    machine.second("/pod", 400 * MIB, 360)
    machine.second("", "max", 999)
    assert machine.used() == pytest.approx(0.9)


def test_a_limit_of_the_first_version_counts_too(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/docker/x\n0::/")
    machine.first("/docker/x", 128 * MIB, 96, inactive=32)
    machine.first("", NONE, 999)
    assert machine.used() == pytest.approx(0.5)


def test_in_a_container_the_mount_itself_is_the_group(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "4:memory:/docker/unseen")
    machine.first("", 128 * MIB, 64)
    assert machine.used() == pytest.approx(0.5)


def test_a_limit_above_all_there_is_is_none(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/")
    machine.second("", 5000 * MIB, 999)
    assert machine.used() == pytest.approx(0.05)


def test_usage_is_read_anew_each_time(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/")
    machine.second("", 100 * MIB, 10)
    memory = Memory(machine.root)
    assert memory.used() == pytest.approx(0.1)
    machine.second("", 100 * MIB, 90)
    assert memory.used() == pytest.approx(0.9)


def test_where_nothing_can_be_read_nothing_presses(tmp_path: Path) -> None:
    assert Memory(tmp_path).used() == 0.0


def test_here_it_says_something() -> None:
    assert 0.0 < Memory().used() < 1.5


def test_giving_back_says_how_long_it_took() -> None:
    assert trim() >= 0.0


def test_the_lowest_limit_is_told_and_without_one_all_there_is(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/pod/me")
    assert Memory(machine.root).limit == 1000 * MIB
    machine.second("/pod", 300 * MIB, 1)
    machine.second("/pod/me", 200 * MIB, 1)
    assert Memory(machine.root).limit == 200 * MIB


def test_where_nothing_can_be_read_there_is_no_limit(tmp_path: Path) -> None:
    assert Memory(tmp_path).limit == 0
