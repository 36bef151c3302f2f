"""How hard this process is pressed, and how much it must refuse: a level that climbs and falls.

It climbs while the event loop is late or memory is short, and falls, more slowly, once both are
well below their bounds; between the two it stays. Memory can be used up in less time than that
takes: `stop` is for then. So one long pause sheds nothing, and what
relieved the pressure is not undone at once. Up to 1.0 nobody is refused; then more and more of
the low priority, from 2.0 on of the normal one, and never of the high.
"""

from __future__ import annotations

from dataclasses import dataclass

CLIMB, FALL = 5.0, 1.0
"""Levels per second: pressed for 0.6 s everything but the high priority is shed."""
CALM = 0.8
"""Share of the bounds below which it falls."""
LONGEST = 0.1
"""Seconds that one look counts for at most: a pause is late once, however long it was."""
CLOSING = 0.5
"""From here on connections of clients are closed after their answer."""
TOP = 3.0


@dataclass(frozen=True, slots=True)
class Most:
    """Seconds that the loop may be late, and the share of memory in use; 0.0 for no bound.

    Where it is not `enforced` nothing is done about it but to count.
    """

    loop_lag: float = 0.1
    memory: float = 0.9
    enforced: bool = True

    def over(self, memory: float) -> float:
        """How far beyond the last stop memory is, as a share of all; below 0.0, what is left.

        That stop is half way from the bound to the end: from the bound on less is let in, which
        may be enough; beyond the stop what is here already must leave.
        """
        if not (self.enforced and self.memory):
            return -1.0
        return memory - (min(1.0, self.memory) + 1.0) / 2


class Pressure:
    """The level, why it climbed last, and how much of each class is owed to be shed."""

    __slots__ = ("_owed", "level", "why")

    def __init__(self) -> None:
        self.level = 0.0
        self.why = ""
        self._owed = [0.0, 0.0]

    def look(self, most: Most, lag: float, memory: float, elapsed: float) -> None:
        """So late was the loop, so much memory is used, so long ago was the look before."""
        late = lag / most.loop_lag if most.loop_lag else 0.0
        full = memory / most.memory if most.memory else 0.0
        if max(late, full) >= 1.0:
            self.why = "memory" if full >= late else "loop_lag"
            self.level = min(TOP, self.level + CLIMB * min(elapsed, LONGEST))
        elif max(late, full) < CALM:
            self.level = max(0.0, self.level - FALL * min(elapsed, LONGEST))

    def stop(self) -> None:
        """Memory is all but used up: from now on nobody is let in but the high priority."""
        self.why = "memory"
        self.level = TOP

    def closes(self) -> bool:
        return self.level >= CLOSING

    def sheds(self, rank: int) -> bool:
        """Whether the next of this rank (0 high, 1 normal, 2 low) is one of those to refuse.

        A share of 30 % is every third or fourth one, in turn and not by chance.
        """
        share = self.share(rank)
        if share <= 0.0:
            return False
        slot = 0 if rank == 1 else 1
        owed = self._owed[slot] + share
        self._owed[slot] = owed - 1.0 if owed >= 1.0 else owed
        return owed >= 1.0

    def would_shed(self, rank: int, asked: int = 0) -> bool:
        """What `sheds` would answer after `asked` more of this rank; nothing is owed for it."""
        owed = self._owed[:]
        answers = [self.sheds(rank) for _ in range(asked + 1)]
        self._owed = owed
        return answers[-1]

    def share(self, rank: int) -> float:
        """How much of this rank is refused, 0.0 to 1.0."""
        if rank <= 0:
            return 0.0
        return min(1.0, max(0.0, self.level - (2.0 if rank == 1 else 1.0)))
