"""Room for clients: counted over all listeners, and less than the descriptors that there are."""

from __future__ import annotations

import resource

from meshproxy.dataplane.room import RESERVED, Room, descriptors


def test_half_of_the_descriptors_are_for_clients() -> None:
    assert Room(1024).most == (1024 - RESERVED) // 2


def test_there_is_always_room_for_one() -> None:
    assert Room(10).most == 1


def test_clients_are_counted_by_their_address() -> None:
    room = Room(1024)
    assert [room.enter("a"), room.enter("b"), room.enter("a")] == [1, 1, 2]
    room.leave("a")
    assert room.enter("a") == 2
    assert room.clients == 3


def test_addresses_that_left_are_forgotten() -> None:
    room = Room(1024)
    for number in range(1000):
        room.enter(str(number))
        room.leave(str(number))
    assert room.clients == 0
    assert room._of == {}


def test_a_process_gets_all_the_descriptors_that_it_may_have() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert descriptors() >= before[0]
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == descriptors()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0], before[1]))
