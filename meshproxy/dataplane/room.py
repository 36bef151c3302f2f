"""How many clients there is room for, over all listeners together, and how many each address has.

A client may cost two descriptors, its own and that of an upstream connection. Where they run
out nothing can be answered any more, not even the probes; so the last of them are never given
to clients, whatever the config allows.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

RESERVED = 32
"""Descriptors for everything that is no client: listeners, the admin port, files, DNS."""


class Room:
    """Counts clients in and out. `most` is how many this process can have at once; where memory
    is used up it is `shut` to all who are not in yet, since each would take some."""

    __slots__ = ("_of", "clients", "most", "shut")

    def __init__(self, descriptors: int) -> None:
        self.most = max(1, (descriptors - RESERVED) // 2)
        self.clients = 0
        self.shut = False
        self._of: dict[str, int] = {}

    def enter(self, address: str) -> int:
        """One more client; returns how many its address now has."""
        self.clients += 1
        self._of[address] = count = self._of.get(address, 0) + 1
        return count

    def leave(self, address: str) -> None:
        """One less."""
        self.clients -= 1
        left = self._of.get(address, 1) - 1
        if left:
            self._of[address] = left
        else:
            self._of.pop(address, None)


def say_capped(tell: Callable[..., None], wanted: int, most: int) -> None:
    """The config may ask for more clients than this process has descriptors for."""
    if wanted > most:
        tell(
            "connections_capped", level="warning", wanted=wanted, most=most,
            why="each may need two file descriptors: raise the limit of open files",
        )  # fmt: skip


def descriptors() -> int:
    """How many files this process may have open, after asking for all that it can get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft if soft != resource.RLIM_INFINITY else MANY
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, MANY)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


MANY = 1 << 20
"""What stands for no limit: the most that a Linux process gets unless somebody raised it."""
