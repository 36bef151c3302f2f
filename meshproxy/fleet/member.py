"""One worker's side of the board: it beats, says, hears, shows and publishes.

`turn` is called by the worker's loop 40 times a second. What is shared is collected by a
`Joining` for each compile of the config and counts from `adopt` on, so a compile that fails
leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshproxy.core.sharing import Hear, Say
from meshproxy.fleet.board import Board, Leases, Record, Seat, name_of

EVERY = 1.0
"""Seconds between two dumps that nobody asked for: so much a killed worker's counts may lack."""


RETRIES = 8
"""Looks at the dumps of the others until none of them dies meanwhile."""


class Member:
    """Sits on one seat. `dump` makes the plain data that the others add to their own."""

    def __init__(self, board: Board, number: int, dump: Callable[[], bytes]) -> None:
        self.board = board
        self.number = number
        self.seat = board.seats[number]
        self._dump = dump
        self._hears: dict[int, Hear] = {}
        self._looks: tuple[Callable[[float], None], ...] = ()
        self._greets: tuple[Callable[[float], None], ...] = ()
        self._asked = board.asked
        self.asked = False  # whether somebody waits for what is published now
        self._published = 0.0
        self._joined = board.joined
        self.others: list[Seat] = []
        self._heard: list[int] = []
        self._meet()
        self._caught_up = False

    def _meet(self) -> None:
        """Those whose words are read from now on; who is new has said nothing before."""
        known = dict(zip(self.others, self._heard, strict=True))
        seats = self.board.seats[: self.board.width]
        self.others = [seat for seat in seats if seat is not self.seat]
        self._heard = [known.get(seat, 0) for seat in self.others]

    def joining(self) -> Joining:
        """What a compile shares; give it to `adopt` when that is in force."""
        return Joining(self)

    def adopt(self, joining: Joining) -> None:
        self._hears = joining.hears
        self._looks = tuple(joining.looks)
        self._greets = tuple(joining.greets)
        if not self._caught_up:
            self._caught_up = True
            self._catch_up()

    def _catch_up(self) -> None:
        """Hear all that is still written, in the order in which it happened.

        What this seat's last worker said is part of it: a limit that it had used up is used up.
        """
        self._heard = [seat.written for seat in self.others]
        told = [record for seat in (*self.others, self.seat) for record in seat.read(0)]
        for at, name, count, key in sorted(told):
            hear = self._hears.get(name)
            if hear is not None:
                hear(count, key, at)

    def turn(self, now: float) -> None:
        """The loop has turned."""
        self.seat.beat = now
        self.listen()
        for look in self._looks:
            look(now)
        if self.board.joined != self._joined:
            self._joined = self.board.joined
            self._meet()
            for greet in self._greets:
                greet(now)
        if self.board.asked != self._asked or now >= self._published + EVERY:
            self.publish(now)

    def publish(self, now: float) -> None:
        """Put what this worker has counted on the board."""
        self.asked = self.board.asked != self._asked
        self._asked = self.board.asked
        self._published = now
        self.seat.publish(self._dump())

    def listen(self) -> None:
        """Hear what the others have said since the last time."""
        heard = self._heard
        for index, seat in enumerate(self.others):
            since = heard[index]
            if seat.written != since:
                heard[index] = seat.written
                for at, name, count, key in seat.read(since):
                    hear = self._hears.get(name)
                    if hear is not None:
                        hear(count, key, at)

    def dumps(self) -> list[bytes]:
        """The latest pages of the other workers, and of all that are gone."""
        for _ in range(RETRIES):
            moved = self.board.moved
            found = [seat.dump() for seat in (*self.others, self.board.ours) if seat.pid]
            if moved % 2 == 0 and moved == self.board.moved:
                break  # else one has just died: it might be in there twice, or not at all
        return found


class Joining:
    """The `core.sharing.Sharing` of one compile."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self.hears: dict[int, Hear] = {}
        self.looks: list[Callable[[float], None]] = []
        self.greets: list[Callable[[float], None]] = []

    def talk(self, name: tuple[Any, ...], hear: Hear) -> Say:
        number = name_of(*name)
        self.hears[number] = hear
        write = self._member.seat.write

        def say(count: int, key: bytes, now: float) -> None:
            write(Record(now, number, count, key))

        return say

    def listen(self) -> None:
        self._member.listen()

    def gauge(self, name: tuple[Any, ...]) -> Shown:
        return Shown(self._member, self._member.board.place(name_of(*name)))

    def lease(self, name: tuple[Any, ...]) -> Leased:
        return Leased(self._member.board.leases, name_of(*name))

    def each_turn(self, look: Callable[[float], None]) -> None:
        self.looks.append(look)

    def greet(self, tell: Callable[[float], None]) -> None:
        self.greets.append(tell)


class Shown:
    """A gauge under one name."""

    __slots__ = ("_gauges", "_member", "_place")

    def __init__(self, member: Member, place: int) -> None:
        self._member = member
        self._gauges = member.seat.gauges
        self._place = place

    def show(self, value: int) -> None:
        self._gauges[self._place] = value

    def others(self) -> int:
        place = self._place
        return sum([seat.gauges[place] for seat in self._member.others])


class Leased:
    """A lease under one name."""

    __slots__ = ("_leases", "_name")

    def __init__(self, leases: Leases, name: int) -> None:
        self._leases = leases
        self._name = name

    def take(self, number: int = 0) -> bool:
        return self._leases.take(self._name, number)

    def give_back(self, number: int = 0) -> None:
        self._leases.give_back(self._name, number)
