"""Opens connections to endpoints: one task per dial, and none per request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from meshproxy.core.verdict import Failure
from meshproxy.dataplane.upstream import Upstream

Settle = Callable[[Upstream, "Failure | None"], None]


class Dialer:
    """Called with an unconnected Upstream and a time limit in seconds (0.0: none)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.settle: Settle = None  # type: ignore[assignment]  # set once, by its maker
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, upstream: Upstream, seconds: float) -> None:
        task = self._loop.create_task(self._connect(upstream, seconds))
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, upstream: Upstream, seconds: float) -> None:
        endpoint = upstream.endpoint
        failure: Failure | None = None
        try:
            async with asyncio.timeout(seconds or None):
                await self._loop.create_connection(lambda: upstream, endpoint.host, endpoint.port)
        except TimeoutError:
            failure = Failure.CONNECT_TIMEOUT
        except OSError:
            failure = Failure.CONNECT
        self.settle(upstream, failure)

    async def close(self) -> None:
        """End the dials under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
