"""Upgrade in place: the same command once more, as a new process on the same listening sockets.

The kernel's queue of a socket belongs to all who hold it, so nobody who connects meanwhile is
lost: the old process stops accepting only when the new one has told that it is ready. If that
does not happen in time the new one is ended, and nothing has changed.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from meshproxy.control.sockets import READY, SOCKETS, Sockets

PATIENCE = 30.0
"""Seconds for the new one to become ready."""


class Successor:
    """The new process. `pipe` becomes readable when there is something to `hear`."""

    def __init__(self, sockets: Sockets) -> None:
        """Start it. Raises OSError."""
        handed = [(sock.fileno(), place) for place, sock in sockets.open()]
        self.pipe, theirs = os.pipe()
        os.set_blocking(self.pipe, False)
        environment = {key: text for key, text in os.environ.items() if key != "WATCHDOG_PID"}
        environment[SOCKETS] = ",".join(f"{fd}={host}:{port}" for fd, (host, port) in handed)
        environment[READY] = str(theirs)
        numbers = [fd for fd, _ in handed]
        try:
            self._process = subprocess.Popen(  # noqa: S603  # what has started us
                [sys.executable, *sys.orig_argv[1:]], env=environment, pass_fds=[*numbers, theirs]
            )
        except OSError:
            os.close(self.pipe)
            raise
        finally:
            os.close(theirs)

    @property
    def pid(self) -> int:
        return self._process.pid

    def hear(self) -> str:
        """Why it has failed; empty if it is ready."""
        with suppress(BlockingIOError):
            if os.read(self.pipe, 1):
                return ""
        return self.give_up(f"ended with exit code {self._process.wait()}")

    def give_up(self, why: str) -> str:
        """End it; the sentence that tells why."""
        self._process.kill()
        self._process.wait()
        goes_on = "" if why is UNWANTED else "; this one goes on"
        return f"the new process {self.pid} {why}{goes_on}"

    def close(self) -> None:
        os.close(self.pipe)


UNDER_WAY = "an upgrade is under way"
LEAVING = "this process is draining"
UNWANTED = "is not wanted any more: this process ends"
LATE = f"was not ready within {PATIENCE:.0f} s"


def why_not(source: str, *, has_command: bool) -> str:
    """What forbids an upgrade of this process; empty if nothing does."""
    if os.getpid() == 1:
        return "this is PID 1 of a container: its orchestrator replaces it, with a new image"
    if has_command:
        return "the app is a child of this process (run -- COMMAND) and cannot change its parent"
    if source.startswith("<stdin"):
        return "the config came by standard input, which cannot be read again"
    return ""


class Succession:
    """Upgrades on an event loop. `forbidden` says why there can be none, `over` gets the pid."""

    def __init__(
        self, sockets: Sockets, forbidden: Callable[[], str], tell: Callable[..., None],
        over: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._sockets = sockets
        self._forbidden = forbidden
        self._tell = tell
        self._over = over
        self._heard: asyncio.Future[str] | None = None

    @property
    def under_way(self) -> bool:
        return self._heard is not None

    async def run(self) -> str:
        """Start a successor and leave to it; why not, if it did not come to that."""
        why = self._forbidden() or (UNDER_WAY if self._heard else "")
        if not why:
            self._heard = asyncio.get_running_loop().create_future()
            try:
                why = await self._hand_over(self._heard)
            finally:
                self._heard = None
        if why:
            self._tell("upgrade_failed", level="error", detail=why)
        return why

    def abort(self) -> None:
        """This process ends: so must one that was to follow it."""
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(UNWANTED)

    async def _hand_over(self, heard: asyncio.Future[str]) -> str:
        loop = asyncio.get_running_loop()
        try:
            successor = Successor(self._sockets)
        except OSError as error:
            return f"it could not be started: {error}"
        self._tell("upgrade_started", successor=successor.pid)
        loop.add_reader(successor.pipe, _settle, heard, "")
        timer = loop.call_later(PATIENCE, _settle, heard, LATE)
        try:
            said = await heard
        finally:
            timer.cancel()
            loop.remove_reader(successor.pipe)
        why = successor.give_up(said) if said else successor.hear()
        successor.close()
        if not why:
            self._tell("upgrade_handed_over", successor=successor.pid)
            self._over(successor.pid)
        return why


def _settle(heard: asyncio.Future[str], said: str) -> None:
    if not heard.done():
        heard.set_result(said)


class Watched:
    """Upgrades without an event loop. `over` gets the pid; each one's `done` hears how it went."""

    def __init__(
        self, sockets: Sockets, selector: selectors.BaseSelector, tell: Callable[..., None],
        over: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._sockets = sockets
        self._selector = selector
        self._tell = tell
        self._over = over
        self._successor: Successor | None = None
        self._ends = 0.0
        self._done: Callable[[str], None] = lambda _: None

    @property
    def under_way(self) -> bool:
        return self._successor is not None

    def start(self, forbidden: str, now: float, done: Callable[[str], None]) -> None:
        """Start a successor, unless something forbids it."""
        why = forbidden or (UNDER_WAY if self._successor is not None else "")
        if why:
            self._failed(why, done)
            return
        try:
            successor = Successor(self._sockets)
        except OSError as error:
            self._failed(f"it could not be started: {error}", done)
            return
        self._successor, self._ends, self._done = successor, now + PATIENCE, done
        self._selector.register(successor.pipe, selectors.EVENT_READ, ("successor", None))
        self._tell("upgrade_started", successor=successor.pid)

    def heard(self, failure: str = "") -> None:
        """It is ready, has ended, or (`failure`) is given up."""
        successor, self._successor = self._successor, None
        if successor is None:
            return
        self._selector.unregister(successor.pipe)
        why = successor.give_up(failure) if failure else successor.hear()
        successor.close()
        if why:
            self._failed(why, self._done)
            return
        self._tell("upgrade_handed_over", successor=successor.pid)
        self._done("")
        self._over(successor.pid)

    def look(self, now: float) -> None:
        """Now and then: it may be late."""
        if self._successor is not None and now >= self._ends:
            self.heard(LATE)

    def abort(self) -> None:
        """This process ends: so must one that was to follow it."""
        self.heard(UNWANTED)

    def _failed(self, why: str, done: Callable[[str], None]) -> None:
        self._tell("upgrade_failed", level="error", detail=why)
        done(why)
