"""Makes what was found small: fewer steps, then fewer bytes, as long as it still goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.fuzz.campaign import attempt
from tests.fuzz.scripts import Script, Step
from tests.fuzz.world import World

SECONDS = 10.0

Fails = Callable[[Script], bool]


def shrunk(one: Script, kind: str, seconds: float = SECONDS) -> Script | None:
    """The smallest that was found in this time; None if it does not fail in a world of its own."""
    until = time.monotonic() + seconds

    def fails(candidate: Script) -> bool:
        wrong = attempt(World(), candidate)
        return wrong is not None and wrong[0] == kind

    if not fails(one):
        return None
    smaller = True
    while smaller and time.monotonic() < until:
        smaller = False
        for candidate in _smaller(one):
            if time.monotonic() > until:
                break
            if fails(candidate):
                one, smaller = candidate, True
                break
    return one


def _smaller(one: Script) -> Iterator[Script]:
    """Scripts with less in them, the boldest cuts first."""
    steps = one.steps
    size = len(steps) // 2
    while size:
        for at in range(0, len(steps), size):
            yield replace(one, steps=steps[:at] + steps[at + size :])
        size //= 2
    for at in range(len(steps) - 1):
        (verb, data), (next_verb, more) = steps[at : at + 2]
        if verb == next_verb and isinstance(data, bytes):
            joined: Step = (verb, data + more)
            yield replace(one, steps=(*steps[:at], joined, *steps[at + 2 :]))
    for at, (verb, data) in enumerate(steps):
        if isinstance(data, bytes):
            for less in _shorter(data):
                yield replace(one, steps=(*steps[:at], (verb, less), *steps[at + 1 :]))


def _shorter(data: bytes) -> Iterator[bytes]:
    size = len(data) // 2
    while size:
        for at in range(0, len(data), size):
            yield data[:at] + data[at + size :]
        size //= 2
