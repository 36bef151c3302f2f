"""Looks many times a second at what the event loop's thread does: a timer and a signal.

Not a thread that looks at it from outside: uvloop gives up the interpreter's lock only between
two callbacks, so such a thread would find the loop idle however busy it is (284 of 284 samples
in a loop at full load). A signal's handler runs within what it interrupts.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from asyncio import runners
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, NamedTuple

from meshproxy.telemetry.profile import Stack
from meshproxy.telemetry.stacks import Call, named

DEEPEST = 128
CROWDED = 100
SLOW = 1.0
"""A signal leaves a byte in the loop's wake-up socket, which the loop empties when it turns and
which has room for 278; were it full, SIGTERM could be lost. After so many samples in one callback
the next come once a second, and each counts for the time since the one before."""
RELIEF = 0.05
"""Seconds between two moments at which the loop is known to turn."""

GOLDEN = 0.618034
NEAR, SPREAD = 0.6, 0.8
"""Of a period, from one sample to the next: never even, or it would keep step with the loop's own
timers and find all of them always."""

IDLE = Call("", 0, "(waiting, or in C code of the loop)")
_RUN = runners.Runner.run.__code__


class Clock(NamedTuple):
    """What sets the pace: time that passes, or processor time that the process uses."""

    signal: signal.Signals
    timer: int
    now: Callable[[], float]


CLOCKS = {
    "wall": Clock(signal.SIGALRM, signal.ITIMER_REAL, time.monotonic),
    "cpu": Clock(signal.SIGPROF, signal.ITIMER_PROF, time.process_time),
}

Key = tuple[int, ...]
"""Whose thread, then the calls from the innermost out, by the identity of their code."""


class Sampler:
    """Samples of the main thread, or of all; `taken` so far, each of `period` seconds."""

    def __init__(self, clock: Clock, hz: int, *, everyone: bool = False) -> None:
        self.period = 1.0 / hz
        self._clock = clock
        self._everyone = everyone
        self._main = threading.main_thread().ident or 0
        self._names: dict[int, str] = {}
        self._counts: dict[Key, int] = {}
        self._codes: dict[Key, list[CodeType]] = {}
        self._last = 0.0
        self._phase = 0.0
        self._crowd = 0
        self.taken = 0

    async def run(self, seconds: float) -> None:
        """Sample for so long; whatever ends it, the timer is off afterwards."""
        end = time.monotonic() + seconds
        with self.running():
            while (left := end - time.monotonic()) > 0.0:
                await asyncio.sleep(min(RELIEF, left))
                self.relieve()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Between these two moments; only the main thread may ask for it."""
        number, timer, now = self._clock
        self._learn_names()
        before = signal.signal(number, self._take)
        signal.siginterrupt(number, False)  # system calls go on by themselves
        self._last = now()
        delay, interval = signal.getitimer(timer)
        self._arm()
        try:
            yield
        finally:
            signal.setitimer(timer, 0.0)
            signal.signal(number, before)
            if delay:
                signal.setitimer(timer, delay, interval)

    def relieve(self) -> None:
        """The loop has turned."""
        crowded, self._crowd = self._crowd >= CROWDED, 0
        if crowded:
            self._arm()

    def stacks(self) -> dict[Stack, int]:
        """What was seen, and how often."""
        self._learn_names()
        found: dict[Stack, int] = {}
        for key, count in list(self._counts.items()):
            codes = self._codes[key]
            stack = [named(code) for code in codes[: _inside(codes)]]
            if len(stack) < len(codes) and not stack:
                stack.append(IDLE)
            if self._everyone:
                name = self._names.get(key[0], "?")
                stack.append(Call("", 0, f"thread {name}"))
            whole = tuple(reversed(stack))
            found[whole] = found.get(whole, 0) + count
        return found

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # a handler
        """In the middle of whatever runs: it must be short, take no lock, and not raise."""
        now = self._clock.now()
        weight = max(1, round((now - self._last) / self.period))
        self._last = now
        self.taken += weight
        self._count(self._main, _before(frame), weight)
        if self._everyone:
            others: dict[int, Any] = sys._current_frames()  # noqa: SLF001  # the only way to them
            for ident, other in others.items():
                if ident != self._main:
                    self._count(ident, other, weight)
        self._crowd += 1
        self._arm()

    def _arm(self) -> None:
        self._phase = (self._phase + GOLDEN) % 1.0
        delay = self.period * (NEAR + SPREAD * self._phase)
        signal.setitimer(self._clock.timer, SLOW if self._crowd >= CROWDED else delay)

    def _count(self, ident: int, frame: FrameType | None, weight: int) -> None:
        codes: list[CodeType] = []
        while frame is not None and len(codes) < DEEPEST:
            codes.append(frame.f_code)
            frame = frame.f_back
        key = (ident, *map(id, codes))
        if key in self._counts:
            self._counts[key] += weight
            return
        self._counts[key] = weight
        self._codes[key] = codes  # kept, so that no other code gets their identities

    def _learn_names(self) -> None:
        """Before and after: it takes a lock, which what a handler interrupts may hold."""
        self._names |= {each.ident or 0: each.name for each in threading.enumerate()}


def _before(frame: FrameType | None) -> FrameType | None:
    """Where the signal came: one that came in the loop's own code is heard by the next callback,
    before that has done anything.
    """
    if frame is not None and frame.f_lineno == frame.f_code.co_firstlineno:
        caller = frame.f_back
        if caller is not None and caller.f_code is _RUN:
            return caller
    return frame


def _inside(codes: list[CodeType]) -> int:
    """How many of the calls are within the loop; what runs the loop is of no interest."""
    return codes.index(_RUN) if _RUN in codes else len(codes)
