"""Two workers in one process: the board is the real one, and time is a number.

The kernel's leases belong to processes, so here one that knows who asked stands in for them;
tests/fleet/test_board.py holds the real one to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from meshproxy.core.sharing import Sharing
from meshproxy.fleet.board import Board
from meshproxy.fleet.member import Joining, Member


class Lease:
    """Held by one member at a time."""

    def __init__(self, holders: dict[Any, int], name: Any, member: int) -> None:
        self._holders = holders
        self._name = name
        self._member = member

    def take(self, number: int = 0) -> bool:
        return self._holders.setdefault((self._name, number), self._member) == self._member

    def give_back(self, number: int = 0) -> None:
        if self._holders.get((self._name, number)) == self._member:
            del self._holders[self._name, number]


class Shared(Joining):
    """A compile's sharing, with such leases."""

    def __init__(self, member: Member, holders: dict[Any, int]) -> None:
        super().__init__(member)
        self._holders = holders
        self._number = member.number

    def lease(self, name: tuple[Any, ...]) -> Any:
        return Lease(self._holders, name, self._number)


class Several:
    """Workers with one policy each, built over one board."""

    def __init__(self, count: int = 2) -> None:
        self.board = Board(count)
        self.board.width = count
        self.holders: dict[Any, int] = {}
        self.members = []
        for number in range(count):
            self.board.seats[number].pid = number + 1
            self.board.count_joined()
            self.members.append(Member(self.board, number, lambda: b""))

    def build(self, make: Callable[[Sharing], Any]) -> list[Any]:
        """What `make` builds in each worker."""
        return [self.build_one(number, make) for number in range(len(self.members))]

    def build_one(self, number: int, make: Callable[[Sharing], Any]) -> Any:
        with self.compiling(number) as sharing:
            return make(sharing)

    @contextmanager
    def compiling(self, number: int) -> Iterator[Shared]:
        sharing = Shared(self.members[number], self.holders)
        yield sharing
        self.members[number].adopt(sharing)

    def replace(self, number: int, make: Callable[[Sharing], Any]) -> Any:
        """The worker on this seat was killed, and another has taken its place."""
        self.board.seats[number].clear()
        for key in [key for key, who in self.holders.items() if who == number]:
            del self.holders[key]
        self.board.seats[number].pid = 100 + number
        self.board.count_joined()
        self.members[number] = Member(self.board, number, lambda: b"")
        return self.build_one(number, make)

    def turn(self, now: float) -> None:
        for member in self.members:
            member.turn(now)
