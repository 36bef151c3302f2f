"""How much of bodies may come in before somebody looks at how much memory is left.

Time alone is no measure: in one turn of the loop hundreds of connections may bring 100 KiB each,
and all of it stays if the other side takes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

ALL = 1 << 62
"""Bytes that never come: nobody wants to know."""


def _nobody() -> None:
    """Until somebody wants to."""


class Intake:
    """`look` is called, from where no exchange is half way through a step, and allows more."""

    __slots__ = ("_left", "look")

    def __init__(self) -> None:
        self._left = ALL
        self.look: Callable[[], None] = _nobody

    def allow(self, size: int) -> None:
        """So many bytes until the next look."""
        self._left = size

    def took(self, size: int) -> None:
        """So many came."""
        self._left -= size
        if self._left < 0:
            self._left = ALL
            self.look()
