"""Opens connections to endpoints: one task per dial, and none per request.

Where a client chose the host, its name is resolved here, once per dial, and the addresses
that the endpoint's guard lets pass are the ones that are dialled: a second look at the name
could bring another answer.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Any, cast

from meshproxy.core.route import Endpoint, Guard
from meshproxy.core.verdict import Failure
from meshproxy.dataplane.conductor import loud
from meshproxy.dataplane.upstream import Upstream

Settle = Callable[[Upstream, "Failure | None"], None]
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""A name and a port to IP addresses, the best one first; raises OSError."""

LOOKUPS = 2
"""Names of a client's choice that are looked up at once: libuv has four threads for all names,
and slow ones must leave some to those of the file."""


class Dialer:
    """Called with an unconnected Upstream and a time limit in seconds (0.0: none)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        resolve: Resolve | None = None,
        tell_bug: Callable[[Exception], None] = loud,
    ) -> None:
        self.settle: Settle = None  # type: ignore[assignment]  # set once, by its maker
        self._tell_bug = tell_bug
        self._loop = loop
        self._resolve = resolve or self._look_up
        self._free = asyncio.Semaphore(LOOKUPS)
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, upstream: Upstream, seconds: float) -> None:
        task = self._loop.create_task(self._dial(upstream, seconds))
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, upstream: Upstream, seconds: float) -> None:
        endpoint = upstream.endpoint
        failure: Failure | None = None
        task = cast("asyncio.Task[None]", asyncio.current_task())
        timer = self._loop.call_later(seconds, self._expire, upstream, task) if seconds else None
        try:
            if endpoint.guard is None:
                await self._connect(upstream, endpoint.host)
            else:
                failure = await self._connect_guarded(upstream, endpoint, endpoint.guard)
        except (OSError, UnicodeError):  # the latter: a name that IDNA has no form for
            failure = Failure.CONNECT
        except Exception as error:  # noqa: BLE001  # whoever waits for it must hear of its end
            self._tell_bug(error)
            failure = Failure.BUG
        finally:
            if timer is not None:
                timer.cancel()
        self.settle(upstream, failure)

    def _expire(self, upstream: Upstream, task: asyncio.Task[None]) -> None:
        """The time is over, unless the connection is here and only its task does not know yet.

        A task that is cancelled then would have uvloop close a connection that is in use, without
        a word to anybody. One that comes in the same turn of the loop finds itself settled.
        """
        if not upstream.settled:
            self.settle(upstream, Failure.CONNECT_TIMEOUT)
            task.cancel()

    async def _connect(self, upstream: Upstream, host: str) -> None:
        await self._loop.create_connection(lambda: upstream, host, upstream.endpoint.port)

    async def _connect_guarded(
        self, upstream: Upstream, endpoint: Endpoint, guard: Guard
    ) -> Failure | None:
        """Dial what may be dialled of all that the name leads to, one after the other."""
        failure = Failure.CONNECT
        allowed = []
        for ip in await self._resolve(endpoint.host, endpoint.port):
            why_not = guard.why_not(ip, endpoint.port, is_ours)
            if why_not is None:
                allowed.append(ip)
            else:
                failure, endpoint.why_not = Failure.FORBIDDEN, why_not
        for ip in allowed:
            failure = Failure.CONNECT
            try:
                await self._connect(upstream, ip)
            except OSError:
                continue
            return None
        return failure

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        if _is_literal(host):
            return (host,)
        await self._free.acquire()
        asked = self._loop.create_task(self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        asked.add_done_callback(self._looked_up)
        # Whoever gives up does not free the thread: only the answer does.
        found = await asyncio.shield(asked)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))

    def _looked_up(self, asked: asyncio.Task[Any]) -> None:
        self._free.release()
        if not asked.cancelled():
            asked.exception()  # seen, also where nobody waits for it any more

    async def close(self) -> None:
        """End the dials under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_ours(ip: str) -> bool:
    """Whether an address is one of this machine: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL  # in doubt it is
    return True
