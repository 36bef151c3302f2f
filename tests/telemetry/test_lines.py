"""Lines are written in batches, and neither a slow reader nor a full disk stops anyone."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproxy.telemetry.lines import BATCH, ROOM, Lines

LINE = b"x" * 99 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    yield read_end, write_end
    os.close(read_end)
    os.close(write_end)


def everything(fd: int) -> bytes:
    pieces = []
    try:
        while piece := os.read(fd, 65536):
            pieces.append(piece)
    except BlockingIOError:
        pass
    return b"".join(pieces)


def test_lines_wait_until_a_batch_is_full(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        lines = Lines(file.fileno())
        for _ in range(BATCH // len(LINE)):
            lines.write(LINE)
        assert path.stat().st_size == 0
        lines.write(LINE)
        assert path.stat().st_size == (BATCH // len(LINE) + 1) * len(LINE)


def test_a_reader_that_does_not_read_costs_lines_and_no_time(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    lines = Lines(write_end)
    count = 3 * ROOM // len(LINE)
    for _ in range(count):
        lines.write(LINE)
    assert lines.dropped > 0
    got = everything(read_end)
    while True:
        lines.flush()
        more = everything(read_end)
        if not more:
            break
        got += more
    assert got == LINE * (count - lines.dropped)
    lines.write(LINE)
    lines.flush()
    assert everything(read_end) == LINE


def test_lines_longer_than_a_pipe_takes_at_once_arrive_whole(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    lines = Lines(write_end)
    sent = [bytes([65 + number]) * 9000 + b"\n" for number in range(20)]
    for line in sent:
        lines.write(line)
    got = b""
    for _ in range(100):
        lines.flush()
        got += everything(read_end)
    assert got == b"".join(sent)
    assert lines.dropped == 0


def test_a_line_that_can_never_fit_is_dropped(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[1])
    lines.write(b"x" * (ROOM + 1))
    assert lines.dropped == 1


def test_a_reader_that_left_is_no_error() -> None:
    read_end, write_end = os.pipe()
    try:
        lines = Lines(write_end)
        os.close(read_end)
        lines.write(LINE)
        lines.flush()
        assert lines.dropped == 1
    finally:
        os.close(write_end)


def test_a_full_disk_is_no_error() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        lines = Lines(fd)
        lines.write(LINE)
        lines.write(LINE)
        lines.flush()
        assert lines.dropped == 2
    finally:
        os.close(fd)


def test_a_descriptor_that_others_made_non_blocking_is_waited_for(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    os.set_blocking(write_end, False)
    lines = Lines(write_end)
    for _ in range(3000):
        lines.write(LINE)
    got = b""
    for _ in range(20):
        lines.flush()
        got += everything(read_end)
    assert got == LINE * 3000


class Disk:
    """A file on a disk with so many bytes of room; `os.write` as the kernel does it then."""

    def __init__(self, path: Path, room: int, patch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.room = room
        self._write = os.write
        patch.setattr("meshproxy.telemetry.lines.os.write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(fd, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("cut", [0, 1, 50, 99])
@pytest.mark.parametrize("again", [1, 60, 10_000])
def test_lines_that_a_full_disk_takes_no_more_are_counted_and_spoil_none_after_them(
    tmp_path: Path, cut: int, again: int
) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file, pytest.MonkeyPatch.context() as patch:
        disk = Disk(path, 3 * len(LINE) + cut, patch)
        lines = Lines(file.fileno())
        for room in (0, 0, again, 10_000):
            disk.room += room
            for _ in range(5):
                lines.write(LINE)
            lines.flush()
    whole = [line for line in path.read_bytes().split(b"\n") if line == LINE[:-1]]
    assert len(whole) + lines.dropped == 20
    assert lines.dropped >= 6
    assert path.read_bytes().endswith(LINE * 5)


def test_a_line_of_another_thread_does_not_wait_for_those_in_the_queue(
    pipe: tuple[int, int],
) -> None:
    read_end, write_end = pipe
    lines = Lines(write_end)
    lines.write(LINE)
    lines.write_now(b"now\n")
    assert everything(read_end) == b"now\n"
    lines.flush()
    assert everything(read_end) == LINE


def test_in_the_middle_of_a_line_it_begins_a_new_one(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    lines = Lines(write_end)
    lines.write(b"x" * 200_000 + b"\n")
    lines.flush()
    everything(read_end)
    lines.write_now(b"now\n")
    assert everything(read_end) == b"\nnow\n"


def test_it_is_dropped_where_nobody_reads(pipe: tuple[int, int]) -> None:
    _, write_end = pipe
    lines = Lines(write_end)
    lines.write(b"x" * 200_000 + b"\n")
    lines.flush()
    lines.write_now(b"now\n")
    assert lines.dropped == 1
