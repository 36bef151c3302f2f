"""All listeners together: which addresses are open, and what changes when the config does.

A reload first binds what is new, so that a taken port refuses the reload instead of half of
it; then every plan is swapped at once. Addresses that are named no more stop accepting, and
their clients leave after the answer they wait for.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping

from meshproxy.core.route import Plan
from meshproxy.dataplane import flow, relief
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.listener import Bind, Listener
from meshproxy.dataplane.room import Room

Place = tuple[str, int]

CROWD = 512
"""Connections that are read from in one turn of the loop, before anything can be freed."""

LEAST = 1024 * 1024
"""Bytes that come in between two looks at memory, however little is left."""


class BindError(OSError):
    """An address of the config cannot be listened on; says which and why."""


class Front:
    """Owns the listening sockets, which `bind` makes; the only one who opens or closes them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        conductor: Conductor,
        clock: Callable[[], float],
        room: Room,
        tell: Callable[..., None],
        bind: Bind,
    ) -> None:
        self._draining: set[str] = set()
        self._bind = bind
        self._room = room
        self._tell = tell
        self._loop = loop
        self._conductor = conductor
        self._clock = clock
        self._open: dict[Place, Listener] = {}
        self._leaving: set[Listener] = set()
        self._refused: dict[str, int] = {}

    @property
    def listeners(self) -> Iterable[Listener]:
        """Those that accept, and those whose last clients are leaving."""
        return (*self._open.values(), *self._leaving)

    def accepts(self, plan: Plan) -> bool:
        """Whether the address of this plan is open."""
        listener = self._open.get((plan.host, plan.port))
        return listener is not None and listener.is_open

    def prepare(self, plans: Mapping[str, Plan]) -> dict[Place, socket.socket]:
        """Bind every address that is not open yet. Raises BindError and leaves nothing open."""
        made: dict[Place, socket.socket] = {}
        for key, plan in plans.items():
            place = (plan.host, plan.port)
            if place in self._open or place in made:
                continue
            try:
                made[place] = self._bind(*place)
            except OSError as error:
                for sock in made.values():
                    sock.close()
                raise BindError(f"{key}: cannot listen on {_spell(place)}: {error}") from error
        return made

    def swap(
        self, plans: Mapping[str, Plan], made: Mapping[Place, socket.socket]
    ) -> list[Listener]:
        """Put the new plans in force at once; returns the listeners that `open` must start."""
        wanted = {(plan.host, plan.port): plan for plan in plans.values()}
        for place in [place for place in self._open if place not in wanted]:
            leaving = self._open.pop(place)
            leaving.drain()
            leaving.dismiss()
            self._leaving.add(leaving)
        fresh = []
        for place, plan in wanted.items():
            known = self._open.get(place)
            if known is not None:
                known.plan = plan
            else:
                listener = Listener(
                    made[place], plan, self._conductor, self._clock, self._room, self._tell
                )
                listener.draining = plan.direction in self._draining
                self._open[place] = listener
                fresh.append(listener)
        return fresh

    async def open(self, listeners: Iterable[Listener]) -> None:
        """Begin to accept on new listeners."""
        for listener in listeners:
            await listener.open(self._loop)

    def sweep(self, now: float, turns: int) -> None:
        """Let some connections look at their clocks: each of them once in so many calls."""
        for listener in self._open.values():
            listener.sweep(now, turns)
        for listener in tuple(self._leaving):
            listener.sweep(now, turns)
            if not listener.clients:
                self._leaving.discard(listener)
                self._count_refused(self._refused, listener)

    def relieve(self, wanted: int, now: float, tell: Callable[[str, str], None]) -> int:
        """End the exchanges that hold most, until so many bytes are free; returns how many.

        Below 0 it is how many are left: a part of them may come in before the next look, and
        CROWD connections at once may not bring more. Else nobody new is let in.
        """
        self._room.shut = wanted >= 0
        self._conductor.intake.allow(max(LEAST, -wanted // 4))
        flow.read_at_most(-wanted // CROWD)
        if wanted < 0:
            return 0
        clients = [client for one in self.listeners for client in one.clients]
        ended = relief.relieve(clients, wanted, now, tell)
        if ended:
            self._tell("memory_relieved", level="warning", once_per=1.0, ended=ended)
        return ended

    def of(self, direction: str) -> list[Listener]:
        """The listeners whose clients come from there; of all directions if it is empty."""
        return [one for one in self.listeners if direction in ("", one.plan.direction)]

    @property
    def draining(self) -> bool:
        """Whether callers of some direction have been told to come no more."""
        return bool(self._draining)

    def drain(self, direction: str = "") -> None:
        """Keep accepting, and answer with `connection: close`."""
        self._draining |= {direction} if direction else {"inbound", "outbound"}
        for listener in self.of(direction):
            listener.drain()

    def dismiss(self, direction: str = "") -> None:
        """Stop accepting, and close what is idle."""
        for listener in self.of(direction):
            listener.dismiss()

    def close(self) -> None:
        """Stop accepting everywhere."""
        for listener in self.listeners:
            listener.close()

    def cut_off(self) -> None:
        """Close whatever is left."""
        for listener in self.listeners:
            listener.cut_off()

    def refused(self) -> dict[str, int]:
        """Connections turned away for lack of room, by direction, since the start."""
        counts = dict(self._refused)
        for listener in self.listeners:
            self._count_refused(counts, listener)
        return counts

    def _count_refused(self, counts: dict[str, int], listener: Listener) -> None:
        direction = listener.plan.direction
        counts[direction] = counts.get(direction, 0) + listener.refused

    @property
    def clients(self) -> int:
        return sum(len(listener.clients) for listener in self.listeners)


def _spell(place: Place) -> str:
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
