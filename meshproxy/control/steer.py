"""What a person may hold otherwise than the file says, until the next reload.

Finds the one piece of state that a command names, or says in a sentence why there is none and
what there is. What an order does is known to the state alone, which no line here names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from meshproxy.core.report import Sample, Steerable

AUTO = "auto"
"""The word that gives it back to its rule."""
MOST = 20
"""Pieces of state that an error lists."""


class Section(NamedTuple):
    """One kind of state: what one is called, the word that carries the order, the line's event."""

    noun: str
    verb: str
    event: str


SECTIONS = {
    "breakers": Section("breaker", "force", "breaker_forced"),
    "rate-limits": Section("rate limit", "mode", "rate_limit_forced"),
}


class WrongOrderError(Exception):
    """An order that cannot be meant; the text is a sentence for who gave it."""


def steer(
    section: str, cells: Iterable[Any], asked: Mapping[str, str], now: float
) -> dict[str, Any]:
    """Carry out one order and say what it changed. Raises WrongOrderError."""
    cell, order = _meant(section, _steerable(section, cells), asked)
    before = cell.forced or AUTO
    cell.steer("" if order == AUTO else order, now)
    return {**cell.names, "before": before, SECTIONS[section].verb: order}


def release(cells: Iterable[Any], now: float) -> list[str]:
    """End every order; says which there were."""
    ended, cells = [], list(cells)
    for section in SECTIONS:
        for cell in _steerable(section, cells):
            if cell.forced:
                ended.append(f"{_spelled(cell.names)}&{SECTIONS[section].verb}={cell.forced}")
                cell.steer("", now)
    return ended


def samples(cells: Iterable[Any]) -> Iterator[Sample]:
    """How many orders hold, so that an alert can tell of one that was forgotten."""
    cells = list(cells)
    for section in SECTIONS:
        held = sum(bool(cell.forced) for cell in _steerable(section, cells))
        yield Sample("meshproxy_overrides", (("section", section),), float(held))


def _steerable(section: str, cells: Iterable[Any]) -> list[Steerable]:
    return [
        cell
        for cell in cells
        if isinstance(cell, Steerable) and cell.section == section and cell.orders
    ]


def _meant(section: str, cells: list[Steerable], asked: Mapping[str, str]) -> tuple[Steerable, str]:
    noun, verb, _ = SECTIONS[section]
    if not cells:
        raise WrongOrderError(f"no {noun} is in force, so there is none to tell anything")
    names, words = tuple(cells[0].names), (*cells[0].orders, AUTO)
    usage = f"POST /{section}?{'&'.join(f'{name}=...' for name in names)}&{verb}={'|'.join(words)}"
    unknown = [key for key in asked if key not in (*names, verb)]
    if unknown:
        raise WrongOrderError(f"{unknown[0]} means nothing here: {usage}")
    if names[0] not in asked:
        raise WrongOrderError(f"say which {noun}: {usage}")
    if asked.get(verb) not in words:
        found = f", not {asked[verb]!r}" if verb in asked else ""
        raise WrongOrderError(f"{verb} is one of {', '.join(words)}{found}: {usage}")
    wanted = {key: value for key, value in asked.items() if key != verb}
    fitting = [cell for cell in cells if wanted.items() <= cell.names.items()]
    if len(fitting) == 1:
        return fitting[0], asked[verb]
    there = _listed(fitting or cells)
    if fitting:
        raise WrongOrderError(f"{len(fitting)} {noun}s are meant by {_spelled(wanted)}: {there}")
    raise WrongOrderError(f"no {noun} is called {_spelled(wanted)}; there are {there}")


def _listed(cells: list[Steerable]) -> str:
    more = f" and {len(cells) - MOST} more" if len(cells) > MOST else ""
    return "; ".join(_spelled(cell.names) for cell in cells[:MOST]) + more


def _spelled(names: Mapping[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in names.items())
