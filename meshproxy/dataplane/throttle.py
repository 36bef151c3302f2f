"""A client that is answered slowly on purpose: so many bytes per second, and no more.

Stands between an exchange and its client; the upstream is held while too much is queued.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from meshproxy.core.exchange import Exchange
from meshproxy.dataplane import flow

if TYPE_CHECKING:
    from meshproxy.dataplane.sides import Client
    from meshproxy.dataplane.tunnel import Tunnel

TICK = 0.05
"""Seconds between two pieces."""


class Throttled:
    """Passes on what its exchange's client is told, at `rate` bytes per second."""

    __slots__ = (
        "_client",
        "_ended",
        "_exchange",
        "_later",
        "_queue",
        "_rate",
        "_ticking",
        "_unsent",
    )

    def __init__(self, exchange: Exchange, rate: float, later: Callable[..., Any]) -> None:
        self._exchange = exchange
        self._client: Client = exchange.client
        self._rate = rate
        self._later = later
        self._queue: deque[bytes] = deque()
        self._unsent = 0
        self._ticking = False
        self._ended: float | None = None

    def reply(self, data: bytes) -> None:
        self.relay([data], len(data))

    def relay(self, pieces: list[bytes], size: int) -> None:
        self._queue.extend(pieces)
        self._unsent += size
        if self._unsent > flow.HIGH_WATER and self._exchange.upstream is not None:
            self._exchange.upstream.hold()
        if not self._ticking:
            self._ticking = True
            self._tick()

    def _tick(self) -> None:
        room = max(1, int(self._rate * TICK))
        while self._queue and room > 0:
            piece = self._queue.popleft()
            if len(piece) > room:
                self._queue.appendleft(piece[room:])
                piece = piece[:room]
            room -= len(piece)
            self._client.reply(piece)
        self._unsent = sum(map(len, self._queue))
        if self._queue:
            self._later(TICK, self._tick)
            return
        self._ticking = False
        if self._ended is not None:
            self._client.ended(self._exchange, self._ended)
        elif self._exchange.upstream is not None:
            self._exchange.upstream.resume()

    def ended(self, exchange: Exchange, now: float) -> None:
        """The client is told when it has all of it."""
        self._ended = now
        if not self._ticking:
            self._client.ended(exchange, now)

    def cut(self, exchange: Exchange) -> None:
        self._queue.clear()
        self._client.cut(exchange)

    def reset(self) -> None:
        self._queue.clear()
        self._client.reset()

    def hold(self) -> None:
        self._client.hold()

    def resume(self) -> None:
        self._client.resume()

    def is_held(self) -> bool:
        return self._client.is_held()

    def listens(self) -> bool:
        return self._client.listens()

    def hand_over(self, tunnel: Tunnel, head: bytes) -> bytes:
        return self._client.hand_over(tunnel, head)
