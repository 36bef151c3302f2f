"""What the process takes is read from /proc, and nothing breaks where there is none."""

from __future__ import annotations

import os
from pathlib import Path

from meshproxy.control.process import PAGE, Process


def test_memory_and_files_are_those_of_this_process() -> None:
    process = Process()
    assert process.rss() > 1024 * 1024
    before = process.open_files()
    read, write = os.pipe()
    try:
        assert process.open_files() == before + 2
    finally:
        os.close(read)
        os.close(write)
    assert process.cpu() > 0


def test_files_are_listed_where_the_kernel_does_not_count_them(tmp_path: Path) -> None:
    """An older kernel says 0 of the folder's size; this one's size is none of a count."""

    class Folder(type(tmp_path)):  # type: ignore[misc]  # Path has no public base for this
        def stat(self, **more: bool) -> os.stat_result:
            return os.stat_result((*super().stat(**more)[:6], 0, 0, 0, 0))

    (tmp_path / "fd").mkdir()
    for number in range(3):
        (tmp_path / "fd" / str(number)).touch()
    assert Process(Folder(tmp_path)).open_files() == 3


def test_the_second_number_of_statm_is_resident_pages(tmp_path: Path) -> None:
    (tmp_path / "statm").write_text("1000 30 20 1 0 5 0\n")
    assert Process(tmp_path).rss() == 30 * PAGE


def test_without_proc_there_are_zeros(tmp_path: Path) -> None:
    process = Process(tmp_path / "nothing")
    assert (process.rss(), process.open_files()) == (0, 0)
    (tmp_path / "statm").write_text("")
    assert Process(tmp_path).rss() == 0
