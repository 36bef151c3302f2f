"""Whether the app is still there, asked while its sidecar drains: who refuses connections is gone.

One connection now and then, closed at once; anything but a refusal leaves the app there.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

EACH = 0.5
"""Seconds between two questions, and for each of them."""


class Presence:
    """Of an app at an address; nothing is asked before the first `gone`."""

    __slots__ = ("_gone", "_host", "_port", "_task")
    ours = False

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._gone = False
        self._task: asyncio.Task[None] | None = None

    def gone(self) -> bool:
        """What is known by now; the first call begins to ask."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._ask())
        return self._gone

    def dismiss(self) -> None:
        """It is somebody else's to stop."""

    def end(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    async def _ask(self) -> None:
        while not self._gone:
            self._gone = await refused(self._host, self._port)
            if not self._gone:
                await asyncio.sleep(EACH)


async def refused(host: str, port: int) -> bool:
    """Whether nothing listens there."""
    try:
        async with asyncio.timeout(EACH):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    except OSError:  # a name that is not found now, no route, or no answer in time
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return False
