"""Keyed state that outlives a reload: get or make, and keep only what is still named.

A key holds everything that gives the cell meaning (a limit: listener, route, name; a
circuit: cluster, address). The ledger knows nothing of what it keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Ledger:
    """The memory of traffic, shared by one generation of config and the next."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells: dict[Hashable, Any] = {}

    def open(self) -> Draft:
        """A view to compile against: what it makes is kept only after `keep`."""
        return Draft(self._cells)

    def keep(self, draft: Draft) -> list[Any]:
        """Adopt what `draft` used or made, forget the rest, and return what was forgotten."""
        gone = [cell for key, cell in self._cells.items() if key not in draft.used]
        self._cells = draft.used
        return gone

    def cells(self) -> Iterator[tuple[Hashable, Any]]:
        """Every kept cell with its key, in the order in which the config named them."""
        return iter(tuple(self._cells.items()))


class Draft:
    """One compile's view of a ledger: existing cells are found, new ones stay in the draft."""

    __slots__ = ("_live", "used")

    def __init__(self, live: dict[Hashable, Any]) -> None:
        self._live = live
        self.used: dict[Hashable, Any] = {}

    def state(self, key: Hashable, make: Callable[[], T]) -> T:
        """The cell under `key`, made now if nothing has it yet."""
        cell = self.used.get(key)
        if cell is None:
            cell = self._live.get(key)
            if cell is None:
                cell = make()
            self.used[key] = cell
        return cell
