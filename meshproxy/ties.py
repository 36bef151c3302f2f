"""What an app hears of others: what ties it to other workers, and that it is to end."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Protocol

from meshproxy.control.view import Company

if TYPE_CHECKING:
    from meshproxy.control.followed import Followed
    from meshproxy.core.sharing import Sharing
    from meshproxy.leaving import Charge
    from meshproxy.telemetry.metrics import Telemetry


class Ties(Company, Protocol):
    """What ties the app to the other workers of its sidecar; `worker` has it."""

    @property
    def began(self) -> float:
        """When the sidecar did, by the monotonic clock."""

    def bind(self, host: str, port: int) -> socket.socket: ...
    def follow(self, app: Any, load: Any, adopt: Any) -> Followed[Any]: ...
    def joining(self) -> Sharing: ...
    def adopted(self) -> None: ...
    def open(self) -> None: ...
    def turn(self, now: float) -> None: ...
    def drain(self) -> None: ...
    def leave(self) -> None: ...
    async def upgrade(self) -> str: ...
    def charge(self) -> Charge | None: ...
    def close(self) -> None: ...
    def counted(self) -> Telemetry: ...


class Ending:
    """That the sidecar is to leave: asked for once. `in_haste` for somebody who waits at a
    terminal, or where nobody is left to ask; `handed_over` where others let in who comes now."""

    __slots__ = ("_told", "asked", "handed_over", "in_haste")

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.in_haste = False
        self.handed_over = False
        self._told = False

    def ask(self, *, in_haste: bool = False, handed_over: bool = False) -> None:
        """Begin to leave."""
        if not self.asked.is_set():
            self.in_haste, self.handed_over = in_haste, handed_over
            self.asked.set()

    def told_again(self) -> bool:
        """A signal says so: whether it is the second, whatever else has begun the end."""
        again, self._told = self._told, True
        return again
