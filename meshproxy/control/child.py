"""The app as a child of its sidecar: `meshproxy run -- CMD`.

Starts it, passes signals on, hears of its end: on an event loop (`Child`), or by the selector of
who looks after several workers (`Ward`). What both stand on is `command`.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import sys
from collections.abc import Callable

from meshproxy.control.command import FORWARDED, Command, CommandError, reap

LAST = 2.0
"""Seconds for the kernel to end what was killed."""


class Child:
    """`over` is called once it has ended, or could not be started."""

    ours = True

    def __init__(
        self, command: Command, loop: asyncio.AbstractEventLoop,
        tell: Callable[..., None], over: Callable[[], None],
    ) -> None:  # fmt: skip
        self._command = command
        self._loop = loop
        self._tell = tell
        self._over = over
        self._failed: int | None = None
        self._reaps = os.getpid() == 1

    def start(self) -> None:
        """Now that the sidecar is ready."""
        for number in FORWARDED:
            self._loop.add_signal_handler(number, self._command.signal, number)
        try:
            self._command.start()
        except CommandError as error:
            print(f"meshproxy run: {error}", file=sys.stderr)  # noqa: T201  # a person waits for it
            self._failed = error.code
            self._over()
            return
        self._tell("app_started", pid=self._command.pid, command=self._command.name)
        self._loop.add_reader(self._command.pidfd, self._ended)
        if self._command.scaling >= 0:
            self._loop.add_reader(self._command.scaling, self._command.scale)

    def gone(self) -> bool:
        return not self._command.runs

    def dismiss(self) -> None:
        """Nobody asks it anything any more: it may end."""
        self._command.signal(signal.SIGTERM)

    def end(self) -> None:
        """Its time is over."""
        if self._command.runs:
            self._tell("app_killed", level="warning", pid=self._command.pid)
            self._command.signal(signal.SIGKILL)

    def turn(self) -> None:
        """Now and then: take leave of orphans, where they are ours."""
        if self._reaps:
            reap(frozenset({self._command.pid}))

    async def code(self) -> int:
        """Its exit code; waits for who has just been killed."""
        try:
            async with asyncio.timeout(LAST):
                while self._command.runs:
                    self._ended()
                    await asyncio.sleep(0.005)
        except TimeoutError:
            return 128 + signal.SIGKILL
        return self._failed if self._command.code is None else self._command.code  # type: ignore[return-value]

    def _ended(self) -> None:
        numbers = self._command.pidfd, self._command.scaling
        if self._command.runs and self._command.ended():
            for number in numbers:
                if number >= 0:
                    self._loop.remove_reader(number)
            self._tell("app_ended", code=self._command.code)
            self._over()


class Ward:
    """The child of a supervisor; `over` is called once it has ended, or could not be started."""

    def __init__(
        self, command: Command, selector: selectors.BaseSelector,
        tell: Callable[..., None], over: Callable[[], None],
    ) -> None:  # fmt: skip
        self._command = command
        self._selector = selector
        self._tell = tell
        self._over = over
        self._dismissed = False
        self.code: int | None = None

    def start(self) -> None:
        """Now that all workers are ready."""
        try:
            self._command.start()
        except CommandError as error:
            print(f"meshproxy run: {error}", file=sys.stderr)  # noqa: T201  # a person waits for it
            self.code = error.code
            self._over()
            return
        self._tell("app_started", pid=self.pid, command=self._command.name)
        for number in (self._command.pidfd, self._command.scaling):
            if number >= 0:
                self._selector.register(number, selectors.EVENT_READ, ("child", None))

    @property
    def pid(self) -> int:
        return self._command.pid

    @property
    def runs(self) -> bool:
        return self._command.runs

    def signal(self, number: int) -> None:
        """Tell it, unless it has ended already."""
        self._command.signal(number)

    def dismiss(self) -> None:
        """Nobody asks it anything any more: it may end. Told once."""
        if not self._dismissed:
            self._dismissed = True
            self.signal(signal.SIGTERM)

    def end(self) -> None:
        """Its time is over."""
        if self.runs:
            self._tell("app_killed", level="warning", pid=self.pid)
            self.signal(signal.SIGKILL)

    def heard(self) -> None:
        """One of its descriptors has become readable: it has ended, or is to be told something."""
        self._command.scale()
        numbers = self._command.pidfd, self._command.scaling
        if self._command.runs and self._command.ended():
            for number in numbers:
                if number >= 0:
                    self._selector.unregister(number)
            self.code = self._command.code
            self._tell("app_ended", code=self.code)
            self._over()
