"""Samples of stacks, folded: a tree of where the time went, and the formats that tools read.

Pure: a profile is how often each whole stack was seen, outermost call first. What took the
samples, and what one of them stands for, is the caller's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshproxy.telemetry.stacks import Call

Stack = tuple[Call, ...]
Stacks = Mapping[Stack, int]

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


@dataclass(slots=True)
class Node:
    """A call in its place: samples in which it stood there, and those in which it was innermost."""

    call: Call
    total: int = 0
    own: int = 0
    inner: dict[Call, Node] = field(default_factory=dict)

    def depth(self) -> int:
        """Calls from this one in, itself included."""
        return 1 + max((node.depth() for node in self.inner.values()), default=0)

    def sorted(self) -> list[Node]:
        """The calls within, in an order that does not change from one profile to the next."""
        return [node for _, node in sorted(self.inner.items())]


def tree(stacks: Stacks, title: str = "all") -> Node:
    """All of it below one root."""
    root = Node(Call("", 0, title))
    for stack, count in stacks.items():
        node = root
        node.total += count
        for call in stack:
            found = node.inner.get(call)
            if found is None:
                found = node.inner[call] = Node(call)
            node = found
            node.total += count
        node.own += count
    return root


def collapsed(stacks: Stacks) -> str:
    """One line per stack, as flamegraph.pl and its like take it."""
    lines: dict[str, int] = {}
    for stack, count in stacks.items():
        line = ";".join(_word(call) for call in stack)
        lines[line] = lines.get(line, 0) + count
    return "".join(f"{line} {count}\n" for line, count in sorted(lines.items()))


def speedscope(stacks: Stacks, title: str, period: float, exporter: str) -> dict[str, Any]:
    """The file that speedscope opens: one sampled profile; `period` is seconds per sample."""
    numbers: dict[Call, int] = {}
    samples = [
        [numbers.setdefault(call, len(numbers)) for call in stack] for stack in sorted(stacks)
    ]
    weights = [round(stacks[stack] * period, 6) for stack in sorted(stacks)]
    return {
        "$schema": SCHEMA,
        "name": title,
        "exporter": exporter,
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(call) for call in numbers]},
        "profiles": [
            {
                "type": "sampled",
                "name": title,
                "unit": "seconds",
                "startValue": 0,
                "endValue": round(sum(weights), 6),
                "samples": samples,
                "weights": weights,
            }
        ],
    }


def _frame(call: Call) -> dict[str, Any]:
    place = {"file": call.file, "line": call.line} if call.file else {}
    return {"name": call.function, **place}


def _word(call: Call) -> str:
    """No semicolon and no line's end in it: those part the calls and the stacks."""
    where = f" ({call.file}:{call.line})" if call.file else ""
    return f"{call.function}{where}".replace(";", ",").replace("\n", " ")
