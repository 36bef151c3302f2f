"""Figures of the stall trials: each with its target, its floor and its verdict; and their page.

A target is what we aim for, a floor is what blocks a release. Starts nothing.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass

from loadtests.report import machine, table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing, the smaller the better; without a target it is told, not judged."""

    trial: str
    name: str
    value: float
    unit: str = ""
    target: float | None = None
    floor: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.target is None:
            return "-"
        if self.value <= self.target:
            return "met"
        floor = self.target if self.floor is None else self.floor
        return "above target" if self.value <= floor else "MISSED"

    def cells(self) -> list[str]:
        return [
            self.trial,
            self.name,
            spell(self.value, self.unit),
            spell(self.target, self.unit),
            spell(self.target if self.floor is None else self.floor, self.unit),
            self.verdict,
        ]


def spell(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    whole = f"{value:,.0f}" if value == int(value) else f"{value:.2f}"
    return f"{whole} {unit}".rstrip()


HEAD = ["trial", "figure", "measured", "target", "floor", "verdict"]


def screen(figures: Iterable[Figure]) -> str:
    """What the terminal shows at the end."""
    return table(HEAD, (one.cells() for one in figures))


def page(figures: list[Figure], date: str, versions: dict[str, str]) -> str:
    """The page of the day, as Markdown."""
    listed = "\n".join(f"- {name}: {text}" for name, text in versions.items())
    notes = "\n".join(f"- {one.trial}, {one.name}: {one.note}" for one in figures if one.note)
    return f"""# Limits and stalls, measured on {date}

Written by `make stalls`; do not edit.

- machine: {machine()}
- Python {platform.python_version()}
{listed}

Every trial has a sidecar of its own, with the limits' defaults unless a note says otherwise. A
bystander asks for two bytes, 200 times a second, half of the times on a new connection; its p99
under attack is divided by its p99 in the six seconds before. Times begin when
a request was due: one that waits makes those behind it late. All processes share the machine's
cores; slowhttptest alone takes more than half of one, which a bystander of a sidecar that is not
attacked feels as well (1.5 times its p99 on two cores). `RSS each` is what the sidecar's resident
memory grew, divided by the number of attacking connections.

{table(HEAD, (one.cells() for one in figures), markdown=True)}

Notes:

{notes}
"""
