"""Two workers in one process: what one says the other hears, in its own time."""

from __future__ import annotations

import pytest

from meshproxy.fleet.board import Board
from meshproxy.fleet.member import EVERY, Joining, Member


def seated(board: Board, number: int, dump: bytes = b"") -> Member:
    board.width = max(board.width, number + 1)
    board.seats[number].pid = 100 + number
    board.count_joined()
    return Member(board, number, lambda: dump)


class Pair:
    """Two members that share one compile each."""

    def __init__(self) -> None:
        self.board = Board(4)
        self.members = [seated(self.board, number) for number in range(2)]
        for member in self.members:
            member.turn(0.0)
        self.shared = [member.joining() for member in self.members]

    def adopt(self) -> list[Joining]:
        for member, joining in zip(self.members, self.shared, strict=True):
            member.adopt(joining)
        return self.shared


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_what_one_says_the_other_hears_once(pair: Pair) -> None:
    heard: list[tuple[int, bytes, float]] = []
    say = pair.shared[0].talk(("limit", "a"), lambda *_: pytest.fail("its own word"))
    pair.shared[1].talk(("limit", "a"), lambda *said: heard.append(said))
    pair.adopt()
    say(1, b"key", 5.0)
    pair.members[0].turn(5.1)
    assert heard == []
    pair.shared[1].listen()
    pair.members[1].turn(5.1)
    assert heard == [(1, b"key", 5.0)]


def test_a_name_that_nobody_knows_is_passed_over(pair: Pair) -> None:
    say = pair.shared[0].talk(("old",), lambda *_: None)
    pair.adopt()
    say(1, b"", 1.0)
    pair.members[1].turn(2.0)


def test_a_compile_that_is_not_adopted_changes_nothing(pair: Pair) -> None:
    heard: list[int] = []
    say = pair.shared[0].talk(("a",), lambda *_: None)
    pair.shared[1].talk(("a",), lambda count, *_: heard.append(count))
    pair.adopt()
    pair.members[1].joining().talk(("a",), lambda *_: pytest.fail("never in force"))
    say(3, b"", 1.0)
    pair.members[1].turn(2.0)
    assert heard == [3]


def test_who_joins_late_hears_what_happened_in_its_order_and_its_own_past(pair: Pair) -> None:
    says = [one.talk(("a",), lambda *_: None) for one in pair.shared]
    pair.adopt()
    says[0](1, b"", 1.0)
    says[1](2, b"", 2.0)
    says[0](3, b"", 3.0)
    heard: list[int] = []
    successor = seated(pair.board, 1)
    joining = successor.joining()
    joining.talk(("a",), lambda count, *_: heard.append(count))
    successor.adopt(joining)
    successor.turn(4.0)
    assert heard == [1, 2, 3]


def test_those_who_are_there_greet_the_new_one(pair: Pair) -> None:
    greeted: list[float] = []
    pair.shared[0].greet(greeted.append)
    say = pair.shared[0].talk(("a",), lambda *_: None)
    pair.adopt()
    pair.members[0].turn(1.0)
    heard: list[bytes] = []
    third = seated(pair.board, 2)
    joining = third.joining()
    joining.talk(("a",), lambda _, key, __: heard.append(key))
    third.adopt(joining)
    pair.members[0].turn(2.0)
    assert greeted == [2.0]
    say(1, b"hello", 2.0)
    third.turn(2.1)
    assert heard == [b"hello"]


def test_a_gauge_shows_the_sum_of_the_others(pair: Pair) -> None:
    one, other = (joining.gauge(("places", "x")) for joining in pair.shared)
    one.show(3)
    other.show(4)
    assert (one.others(), other.others()) == (4, 3)
    pair.board.seats[0].clear()
    assert other.others() == 0


def test_each_turn_beats_and_looks(pair: Pair) -> None:
    looked: list[float] = []
    pair.shared[0].each_turn(looked.append)
    pair.adopt()
    pair.members[0].turn(7.0)
    assert looked == [7.0]
    assert pair.board.seats[0].beat == 7.0


def test_a_dump_is_published_each_second_and_when_asked() -> None:
    board = Board(2)
    counts = iter(range(100))
    board.width = 2
    board.seats[0].pid = 1
    member = Member(board, 0, lambda: b"%d" % next(counts))
    reader = seated(board, 1)
    member.turn(10.0)
    member.turn(10.0 + EVERY / 2)
    assert reader.dumps() == [b"0"]
    board.ask()
    member.turn(10.0 + EVERY / 2)
    assert reader.dumps() == [b"1"]
    member.turn(10.0 + 2 * EVERY)
    assert reader.dumps() == [b"2"]
