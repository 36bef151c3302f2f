"""Shared memory: one writer for each cell, and readers that never see half of anything."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshproxy.fleet.board import DUMP, KEY, NAMES, RECORDS, Board, FullError, Record, name_of


@pytest.fixture
def board() -> Board:
    return Board(3)


def test_a_record_is_read_as_it_was_written(board: Board) -> None:
    seat = board.seats[1]
    written = [Record(1.5, 7, 1, b"a"), Record(2.5, -9, -1, b""), Record(3.5, 8, 127, b"k" * KEY)]
    for record in written:
        seat.write(record)
    assert list(seat.read(0)) == written
    assert list(seat.read(2)) == written[2:]
    assert list(board.seats[0].read(0)) == []


def test_who_reads_too_late_gets_what_is_left(board: Board) -> None:
    seat = board.seats[0]
    for number in range(RECORDS + 100):
        seat.write(Record(float(number), 1, 1, b""))
    found = [record.at for record in seat.read(0)]
    assert found == [float(number) for number in range(101, RECORDS + 100)]


def test_names_mean_the_same_place_to_everyone(board: Board) -> None:
    names = [name_of("places", number) for number in range(50)]
    places = [board.place(name) for name in names]
    assert len(set(places)) == 50
    assert [board.place(name) for name in names] == places


def test_a_directory_that_is_full_says_so(board: Board) -> None:
    for number in range(NAMES):
        board.place(name_of(number))
    with pytest.raises(FullError):
        board.place(name_of("one more"))


@given(parts=some.lists(some.one_of(some.text(), some.integers(), some.none()), max_size=4))
def test_a_name_is_the_same_in_every_process_and_never_nothing(parts: list[object]) -> None:
    assert name_of(*parts) == name_of(*parts) != 0
    assert -(2**63) <= name_of(*parts) < 2**63


def test_a_dump_replaces_the_one_before(board: Board) -> None:
    seat = board.seats[0]
    assert seat.dump() == b""
    assert seat.publish(b"one")
    assert seat.publish(b"the second")
    assert seat.dump() == b"the second"
    assert not seat.publish(b"x" * (DUMP + 1))
    assert seat.dump() == b"the second"


def test_who_leaves_holds_nothing_and_what_it_said_stays(board: Board) -> None:
    seat = board.seats[0]
    seat.pid, seat.beat = 42, 10.0
    seat.gauges[5] = 3
    seat.write(Record(1.0, 1, 1, b""))
    seat.publish(b"counts")
    seat.clear()
    assert (seat.pid, seat.beat, seat.gauges[5]) == (0, 0.0, 0)
    assert len(list(seat.read(0))) == 1


def test_what_the_dead_counted_is_never_there_twice(board: Board) -> None:
    seat = board.seats[0]
    seat.pid = 42
    seat.publish(b"counts")
    before = board.moved
    board.bury(seat, seat.dump())
    assert (seat.dump(), board.ours.dump()) == (b"", b"counts")
    assert board.moved == before + 2
    seat.pid = 43  # the next one has sat down, and not told anything yet
    assert seat.dump() == b""


def child(board: Board) -> int:
    """A process that writes without a pause: a gauge, a record and a dump of the same number."""
    pid = os.fork()
    if pid:
        return pid
    seat = board.seats[0]
    number = seat.gauges[0]
    while True:
        number += 1
        seat.gauges[0] = number
        seat.write(Record(float(number), number, 1, b"%d" % number))
        seat.publish(b"%d " % number * 50)


def test_f51_a_writer_that_is_killed_leaves_nothing_torn_and_nothing_locked(board: Board) -> None:
    seat, draw = board.seats[0], random.Random(1)
    for _ in range(1000):
        before = seat.gauges[0]
        pid = child(board)
        spins = draw.randrange(2, 30)
        while seat.gauges[0] < before + spins:
            time.sleep(0)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        number = seat.gauges[0]
        dump = seat.dump()
        told = int(dump.split()[0])
        assert dump == b"%d " % told * 50
        *_, last = seat.read(max(0, seat.written - 2))
        assert last.key == b"%d" % last.name == b"%d" % int(last.at)
        # Three cells, written one after the other: each is at most one behind.
        assert number - 1 <= last.name <= number
        assert number - 1 <= told <= number


def test_a_lease_is_one_process_s_until_it_dies(board: Board) -> None:
    read, write = os.pipe()
    name = name_of("probe")
    pid = os.fork()
    if pid == 0:
        os.write(write, b"y" if board.leases.take(name) else b"n")
        signal.pause()
    assert os.read(read, 1) == b"y"
    assert not board.leases.take(name)
    assert board.leases.take(name, 1), "another number is another lease"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert board.leases.take(name)
    board.leases.give_back(name)
    os.close(read)
    os.close(write)
