"""The end of a sidecar, step by step: what `logic.drain` decides is done here.

New callers come for a moment longer and are told to come no more; then nobody is let in, and the
app may be stopped; its own calls go out until it is gone. Who the app is (a child, an address,
or another process's child) is the `Charge`'s to know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from meshproxy.control.presence import Presence
from meshproxy.dataplane.front import Front
from meshproxy.logic.drain import Drain, Scene
from meshproxy.settings.schema import File

LOOK = 0.02
"""Seconds between two looks at what is left."""

SETTLED = 0.25
"""Seconds after the listeners have closed: who was let in at the last moment is known only a turn
of the loop later, and has not asked yet."""

HEARD = 2.0
"""Seconds for the app to end by the Ctrl-C that it has heard itself."""

INBOUND = "inbound"


class Charge(Protocol):
    """The app, as far as its sidecar's end goes. `ours` to stop, and waited for in haste too."""

    ours: bool

    def gone(self) -> bool | None:
        """Whether it has ended; None where there is none, or nobody can tell."""

    def dismiss(self) -> None:
        """Nobody asks it anything any more: called once."""

    def end(self) -> None:
        """The time is over."""


class Nobody:
    """No app that is worth waiting for."""

    ours = False

    def gone(self) -> bool | None:
        return None

    def dismiss(self) -> None: ...

    def end(self) -> None: ...


def charge_of(file: File | None) -> Charge:
    """Whose calls are waited for: those of an app that has somewhere to call."""
    if file is None or file.inbound is None or file.outbound is None:
        return Nobody()
    return Presence(file.inbound.app.host, file.inbound.app.port)


class Leaving:
    """`run` does it. `in_haste` for somebody who waits at a terminal, or where nobody is left to
    ask; `handed_over` where others hold the listening sockets, and go on."""

    def __init__(
        self, front: Front, tell: Callable[..., None], *, in_haste: bool, handed_over: bool
    ) -> None:
        self.in_haste = in_haste
        self.handed_over = handed_over
        self._front = front
        self._tell = tell

    async def run(self, seconds: float, charge: Charge) -> None:
        """All of it; at the end nobody is connected any more."""
        front = self._front
        # Who was told to come no more before that need not be waited for.
        comes = self.handed_over or (bool(front.of(INBOUND)) and not front.draining)
        drain = Drain(time.monotonic(), seconds, self.in_haste, comes)
        self._tell("draining", seconds=seconds, connections=front.clients)
        if self.handed_over:
            # Who waits in the kernel's queue is let in by the others.
            front.close()
        mine = "" if self.handed_over else INBOUND
        front.drain(mine)
        waiting = True
        closes = drain.began if self.handed_over else drain.welcomes_until
        settles = min(closes + SETTLED, drain.ends)
        closed = False
        # A terminal's Ctrl-C has reached the app as well: it is not to hear two signals at once.
        heard = drain.began + (HEARD if self.in_haste else 0.0)
        while True:
            now = time.monotonic()
            settled = now >= settles or (self.in_haste and not self.handed_over)
            if now >= drain.welcomes_until and (settled or not closed):
                closed = True
                front.dismiss(mine)
            callers = sum(len(one.clients) for one in front.of(mine))
            finished = closed and settled and not callers and now >= heard
            if waiting and (finished or now >= drain.dismisses_at):
                waiting = False
                charge.dismiss()
            if self.handed_over and settled and not callers:
                break
            calls = 0 if mine == "" else sum(one.busy for one in front.of("outbound"))
            gone = charge.gone()
            stays = charge.ours and gone is False and now < drain.ends
            if settled and not stays and drain.may_leave(Scene(callers, calls, gone), now):
                break
            await asyncio.sleep(LOOK)
        charge.end()
        cut = sum(one.busy for one in front.of(""))
        front.cut_off()
        while front.clients and time.monotonic() < drain.ends + 1.0:  # noqa: ASYNC110  # they are closed, and tell it soon
            await asyncio.sleep(0)
        self._tell("stopped", connections_cut=cut)
