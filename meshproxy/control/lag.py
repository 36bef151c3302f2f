"""Who holds the event loop: a thread that looks whether it still turns, and where it stands if not.

The app's sweep leaves a stamp every 25 ms. When that grows older than the limit, the stack of
the loop's thread is written down, which that thread itself could only do when it is over. Where
this thread has overslept as well and no processor time was used, nobody ran: the process was
stopped or had no processor, and no callback is to blame.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from meshproxy.core.report import Sample
from meshproxy.telemetry.stacks import calls, texts

LOOKS = 4
"""Looks of the thread in the time of the limit: 20 a second, which take 0.1 % of a processor."""
RAN = 0.25
"""Of a processor, while nothing was heard of any thread: less of it, and nobody ran. Some code
lets no other thread run, and does so on a machine that is busy with others, too."""
DEEPEST = 24
"""Calls of a stack that are told, so that the line is one that a pipe takes whole."""
MOST = 6
PER = 60.0
"""Lines in so many seconds; the next one says how many were left out."""

Stack = Callable[[], list[str]]


def stack_of_this_thread() -> Stack:
    """Where the thread that asks now will stand, for whoever asks later."""
    ident = threading.get_ident()

    def stack() -> list[str]:
        frame = sys._current_frames().get(ident)  # noqa: SLF001  # the only way to it
        return texts(calls(frame, DEEPEST))

    return stack


class Watchdog:
    """Counts and tells what holds the loop. `beat` is the loop's side, `look` the thread's.

    `tell` writes a line from another thread. `clock` is monotonic; `cpu` is the processor time
    of the process.
    """

    __slots__ = (
        "_beat_at", "_blocked_since", "_blocked_stamp", "_clock", "_cpu", "_cpu_at", "_due",
        "_left_out", "_limit", "_lines", "_since", "_stack", "_stop", "_tell", "_thread", "_wait",
        "blocks", "pauses", "seconds",
    )  # fmt: skip

    def __init__(
        self,
        tell: Callable[..., None],
        stack: Stack,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._tell = tell
        self._stack = stack
        self._clock = clock
        self._cpu = cpu
        self._limit = 0.0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lines: deque[float] = deque()
        self._left_out = 0
        # Written by the loop, and by it alone.
        self._beat_at = 0.0
        self.seconds = 0.0
        # Written by the thread.
        self._due = self._wait = 0.0
        self._cpu_at = 0.0
        self._since = 0.0
        self._blocked_stamp = -1.0
        self._blocked_since = 0.0
        self.blocks = 0
        self.pauses = 0

    # ---- the loop's side

    def follow(self, limit: float) -> None:
        """From now on this is too long, in seconds; 0.0: nobody looks, and no thread is there."""
        self._limit = limit
        if not limit:
            self.close()
        elif self._thread is None:
            self.begin()
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._watch, args=(self._stop,), name="watchdog", daemon=True
            )
            self._thread.start()

    def beat(self, now: float) -> None:
        """The loop turns; if it was held, it now is known for how long."""
        stamp, self._beat_at = self._beat_at, now
        if stamp == self._blocked_stamp:
            self.seconds += now - self._blocked_since

    def close(self) -> None:
        """No more looks."""
        self._stop.set()
        self._thread = None

    def samples(self) -> Iterator[Sample]:
        yield Sample("meshproxy_event_loop_blocked_total", (), self.blocks)
        yield Sample("meshproxy_event_loop_blocked_seconds_total", (), round(self.seconds, 6))
        yield Sample("meshproxy_process_paused_total", (), self.pauses)

    # ---- the thread's

    def _watch(self, stop: threading.Event) -> None:
        pause = 0.0
        while not stop.wait(pause):
            pause = self.look()

    def begin(self) -> None:
        """What was before the first look is not looked at."""
        self._since = self._due = self._clock()
        self._cpu_at = self._cpu()

    def look(self) -> float:
        """Whether the loop turns; returns the seconds until the next look."""
        now, cpu, limit = self._clock(), self._cpu(), self._limit
        if not limit:
            return PER
        overslept = now - self._due
        # All that was used before it was due may have been used in good order.
        used = cpu - self._cpu_at - self._wait
        if overslept > limit / 2 and used < overslept * RAN:
            self._since = now
            self.pauses += 1
            self._say(now, "process_paused", overslept, [])
        stamp = self._beat_at
        since = max(stamp, self._since)
        left = since + limit - now
        if stamp and left <= 0.0 and stamp != self._blocked_stamp:
            self._blocked_since = since
            self._blocked_stamp = stamp
            self.blocks += 1
            self._say(now, "event_loop_blocked", now - since, self._stack())
        wait = limit / LOOKS
        if 0.0 < left < wait:
            wait = left
        self._wait, self._due, self._cpu_at = wait, now + wait, cpu
        return wait

    def _say(self, now: float, event: str, seconds: float, stack: list[str]) -> None:
        lines = self._lines
        while lines and now - lines[0] >= PER:
            lines.popleft()
        if len(lines) >= MOST:
            self._left_out += 1
            return
        lines.append(now)
        more = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        stacks = {"stack": stack} if stack else {}
        self._tell(event, level="warning", seconds=round(seconds, 3), **stacks, **more)
