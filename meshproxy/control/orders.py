"""What an operator may have the sidecar do besides reloading and ending: one word each.

The admin port carries an order out here and has the other workers do the same; none of them
knows who gave it. What an order does to a piece of state is that state's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from meshproxy.control.steer import SECTIONS, WrongOrderError, steer
from meshproxy.control.view import LEVELS
from meshproxy.core.report import Purgeable

DRAIN_INBOUND = "drain/inbound"
"""Callers are to go elsewhere, because the app is about to end; the sidecar stays."""


class Ordered(Protocol):
    """Of a view, what an order needs."""

    def cells(self) -> Iterable[Any]: ...
    def now(self) -> float: ...
    def set_level(self, level: str) -> None: ...
    def drain_inbound(self) -> None: ...
    def tell(self, event: str, /, *, level: str = "info", **fields: Any) -> None: ...


def at_terminal() -> bool:
    """Whether an operator may be typing."""
    return any(os.isatty(number) for number in range(3))


def obey(view: Ordered, order: str, words: Mapping[str, str]) -> dict[str, Any]:
    """Carry an order out; what was done. Raises WrongOrderError."""
    return ORDERS[order](view, words)


def _logging(view: Ordered, words: Mapping[str, str]) -> dict[str, Any]:
    level = words.get("level", "").lower()
    if level not in LEVELS:
        message = f"level: one of {', '.join(LEVELS)}, as in /logging?level=debug"
        raise WrongOrderError(message)
    view.set_level(level)
    return {"level": level}


def _drain_inbound(view: Ordered, words: Mapping[str, str]) -> dict[str, Any]:
    if words:
        raise WrongOrderError(f"{DRAIN_INBOUND} takes no words")
    view.drain_inbound()
    return {"draining": "inbound"}


def _purge(view: Ordered, words: Mapping[str, str]) -> dict[str, Any]:
    if words.keys() - {"route", "prefix"}:
        # A word that is read wrongly would purge more than was meant.
        raise WrongOrderError("cache/purge takes route=NAME and prefix=/PATH, or neither")
    route, prefix = words.get("route", ""), words.get("prefix", "")
    caches = [cell for cell in view.cells() if isinstance(cell, Purgeable)]
    return {"purged": sum(one.purge(route, prefix, view.now()) for one in caches)}


def _steering(section: str) -> Callable[[Ordered, Mapping[str, str]], dict[str, Any]]:
    def order(view: Ordered, words: Mapping[str, str]) -> dict[str, Any]:
        done = steer(section, view.cells(), words, view.now())
        view.tell(SECTIONS[section].event, level="warning", **done)
        return {**done, "until": "the next reload"}

    return order


ORDERS: dict[str, Callable[[Ordered, Mapping[str, str]], dict[str, Any]]] = {
    "logging": _logging,
    DRAIN_INBOUND: _drain_inbound,
    "cache/purge": _purge,
    **{section: _steering(section) for section in SECTIONS},
}
