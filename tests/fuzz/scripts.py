"""Conversations from a seed: who says what, in which pieces, and what goes wrong meanwhile.

A script is plain data, so that one which finds something can be printed, pasted and shrunk. A
step is a verb and what it is about; `play` is all that gives the verbs their meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from meshproxy.dataplane.tunnel import End
from tests.fuzz.corpus import (
    ANSWERS,
    BAD_ANSWERS,
    BAD_REQUESTS,
    BIG_ANSWERS,
    BIG_REQUESTS,
    ODD_ANSWERS,
    ODD_REQUESTS,
    REQUESTS,
    SWITCHES,
    TUNNELS,
)
from tests.fuzz.mutate import below, mutated, pick
from tests.fuzz.wires import Wire
from tests.fuzz.world import World

Step = tuple[str, Any]


@dataclass(frozen=True)
class Script:
    """`plan` is the listener its clients come to, `inputs` how many messages are mutated."""

    plan: int
    steps: tuple[Step, ...]
    inputs: int = 0

    def __str__(self) -> str:
        lines = "".join(f"        {step!r},\n" for step in self.steps)
        return f"    Script({self.plan}, (\n{lines}    )),"


# ---- making one

_UPSETS = (
    "shut", "vanish", "narrow", "drain", "clog", "clear", "refuse", "finish", "broken", "join",
    "join", "other", "dial", "dial", "wait", "wait", "wait", "drop_dials", "late", "leave",
    "reload",
)  # fmt: skip
_WAITS = (0.02, 0.02, 0.06, 0.06, 0.3, 0.9, 1.2, 2.6, 3.5, 4.5, 7.0, 10.5)
_LATER = (
    b"", b"\r\n", b"hello", b"x" * 300, b"0\r\n\r\n", b"\x81\x05hello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
)  # fmt: skip


def script(rng: Random) -> Script:
    """One to four requests of a client, as many answers, and now and then an upset."""
    # The requests, the answers, both, or nothing but the course of events.
    spoil = below(rng, 4)
    count = 1 + below(rng, 2) + below(rng, 3)
    requests = [_message(rng, _ASKED, spoiled=spoil in (0, 2)) for _ in range(count)]
    more = count + below(rng, 2)
    answers = [_message(rng, _TOLD, spoiled=spoil in (1, 2)) for _ in range(more)]
    inputs = sum(spoiled for _, spoiled in (*requests, *answers))
    for at, (data, _) in enumerate(requests):
        if data[:7] == b"GET /ws" and rng.random() < 0.7:
            answers[at] = SWITCHES[0] + pick(rng, _LATER), False
    if rng.random() < 0.5:
        asked: list[tuple[Step, ...]] = [
            (("say", piece),) for piece in _cut(rng, b"".join(one for one, _ in requests))
        ]
    else:
        asked = [tuple(("say", piece) for piece in _cut(rng, one)) for one, _ in requests]
    if rng.random() < 0.25:
        asked = [(("join", None), *part) if at else part for at, part in enumerate(asked)]
    told = [tuple(("answer", piece) for piece in _cut(rng, one)) for one, _ in answers]
    steps = _mixed(rng, asked, told)
    if spoil == 3 or rng.random() < 0.5:
        steps = _upset(rng, steps)
    return Script(below(rng, 2), tuple(steps), inputs)


_ASKED = (REQUESTS, ODD_REQUESTS, TUNNELS, BAD_REQUESTS, BIG_REQUESTS)
_TOLD = (ANSWERS, ODD_ANSWERS, SWITCHES, BAD_ANSWERS, BIG_ANSWERS)


def _message(
    rng: Random, bases: tuple[tuple[bytes, ...], ...], *, spoiled: bool
) -> tuple[bytes, bool]:
    """One of the corpus, most often a sound one; with whether it was mutated."""
    sound, odd, tunnels, bad, big = bases
    chance = rng.random()
    if chance < 0.002:
        return pick(rng, big), False
    base = tunnels if chance < 0.06 else odd if chance < 0.2 else sound
    data = pick(rng, bad if spoiled and chance > 0.9 else base)
    if spoiled and rng.random() < 0.85:
        return mutated(rng, data), True
    return data, False


def _cut(rng: Random, data: bytes) -> list[bytes]:
    """In one piece, in a few, or byte by byte."""
    chance = rng.random()
    if chance < 0.4 or len(data) < 2:
        return [data]
    if chance < 0.41 and len(data) < 300:
        return [data[at : at + 1] for at in range(len(data))]
    edges = sorted(below(rng, len(data)) for _ in range(1 + below(rng, 4)))
    return [data[a:b] for a, b in zip([0, *edges], [*edges, len(data)], strict=True) if a < b]


def _mixed(rng: Random, asked: list[Any], told: list[Any]) -> list[Step]:
    """First come the requests, or each is answered in its turn, or all is shuffled together."""
    chance = rng.random()
    steps: list[Step] = []
    if chance < 0.4:
        for part in (*asked, *told):
            steps += part
        return steps
    if chance < 0.8:
        for at in range(max(len(asked), len(told))):
            for parts in (asked, told):
                if at < len(parts):
                    steps += parts[at]
        return steps
    sides = [[step for part in parts for step in part][::-1] for parts in (asked, told)]
    while sides[0] or sides[1]:
        side = sides[rng.random() < 0.5] or sides[0] or sides[1]
        steps.append(side.pop())
    return steps


def _upset(rng: Random, steps: list[Step]) -> list[Step]:
    for _ in range(1 + below(rng, 3)):
        verb = pick(rng, _UPSETS)
        about: Any = None
        if verb == "wait":
            about = pick(rng, _WAITS)
        elif verb == "late":
            about = pick(rng, _LATER)
        elif verb == "join":
            steps.append(("say", pick(rng, REQUESTS)))
        steps.insert(below(rng, len(steps) + 1), (verb, about))
    return steps


# ---- playing one


def play(world: World, script: Script) -> None:
    """Do each step, and let the proxy react before the next."""
    player = _Player(world, script.plan)
    for verb, about in script.steps:
        getattr(player, verb)(about)
        if world.losing or world.ready:
            world.turn()


class _Player:
    """The verbs. `client` is the client who is speaking now."""

    def __init__(self, world: World, plan: int) -> None:
        self.world = world
        self.plan = plan
        self.client = world.join(plan)

    # of clients

    def say(self, data: bytes) -> None:
        if data:
            self.client.tell(data)

    def shut(self, _: None) -> None:
        self.client.tell(None)

    def vanish(self, _: None) -> None:
        if not self.client.closed:
            self.client.lose(ConnectionResetError())

    def narrow(self, _: None) -> None:
        """The client stops reading, which the next write notices."""
        self.client.narrow = True

    def drain(self, _: None) -> None:
        self.client.take_all()

    def join(self, _: None) -> None:
        self.client = self.world.join(self.plan)

    def other(self, _: None) -> None:
        clients = self.world.clients
        self.client = clients[(clients.index(self.client) + 1) % len(clients)]

    # of upstreams

    def _wire(self) -> Wire | None:
        """Who is asked something, else who can be dialled, else the newest that is open."""
        world = self.world
        still = [wire for wire in world.wires if not wire.lost]
        for wire in still:
            if wire.owner._exchange is not None or isinstance(wire.protocol, End):
                return wire
        if world.dials:
            wire = world.connect()
            world.turn()
            return wire
        return still[-1] if still else None

    def answer(self, data: bytes) -> None:
        wire = self._wire()
        if wire is not None and data:
            wire.tell(data)

    def late(self, data: bytes) -> None:
        """The newest connection says something, asked or not."""
        if self.world.wires and data:
            self.world.wires[-1].tell(data)

    def dial(self, _: None) -> None:
        if self.world.dials:
            self.world.connect()

    def refuse(self, _: None) -> None:
        if self.world.dials:
            self.world.refuse()

    def drop_dials(self, _: None) -> None:
        while self.world.dials:
            self.world.refuse()

    def finish(self, _: None) -> None:
        wire = self._wire()
        if wire is not None:
            wire.tell(None)

    def broken(self, _: None) -> None:
        wire = self._wire()
        if wire is not None and not wire.closed:
            wire.lose(ConnectionResetError())

    def clog(self, _: None) -> None:
        """Newer upstreams do not read any more."""
        for wire in self.world.wires[-2:]:
            wire.narrow = True

    def clear(self, _: None) -> None:
        for wire in self.world.wires:
            wire.take_all()

    # of both

    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    def leave(self, _: None) -> None:
        """The sidecar begins to drain."""
        for listener in self.world.listeners:
            listener.drain()
            for client in tuple(listener.clients):
                client.dismiss()

    def reload(self, _: None) -> None:
        self.world.reload()
