"""The last reloads: when, why, how each went, and what it changed line by line.

Keeps the effective configs small and compares two only when somebody asks. They come with
their secrets hidden already; what a line means is not known here.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

import orjson

from meshproxy.control.reload import Outcome
from meshproxy.control.spelled import spelled

KEPT = 10
"""Reloads that are remembered, the start among them."""
LARGEST = 2 * 1024 * 1024
"""Bytes of a config that is kept for comparison."""
AROUND = 3
"""Lines of context around a change."""
TOO_MANY = 4000
"""Lines between the first and the last change that are still compared."""
MOST = 600
"""Lines of a diff that are told."""


@dataclass(frozen=True)
class Entry:
    """One reload, counted from the start.

    `packed` is the config in force after it, `before` the entry that came before it.
    """

    number: int
    outcome: Outcome
    at: float
    packed: bytes
    before: Entry | None

    @cached_property
    def diff(self) -> list[str]:
        """What changed, as a unified diff; empty for a refused or an idle reload."""
        if self.before is None or self.packed is self.before.packed:
            return []
        if not self.packed or not self.before.packed:
            return ["the config is too large to be compared"]
        return unified(self.before.lines(), self.lines())

    def lines(self) -> list[str]:
        return spelled(orjson.loads(zlib.decompress(self.packed)))


class History:
    """The latest KEPT reloads, the newest last."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)

    def add(self, outcome: Outcome, at: float, config: Any) -> None:
        """Remember one, and `config`, the plain data that is in force after it."""
        latest = self._entries[-1] if self._entries else None
        if latest is not None and latest.outcome.generation == outcome.generation:
            packed = latest.packed
        else:
            text = orjson.dumps(config, default=str)
            packed = zlib.compress(text, 1) if len(text) <= LARGEST else b""
        # Only one step back is kept alive by an entry: who is forgotten must not be held.
        number = latest.number + 1 if latest else 1
        before = latest and Entry(latest.number, latest.outcome, latest.at, latest.packed, None)
        self._entries.append(Entry(number, outcome, at, packed, before))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)


def unified(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """A unified diff without file names, at most MOST lines of it."""
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    first = max(0, start - AROUND)
    before = old[first : len(old) - max(0, end - AROUND)]
    after = new[first : len(new) - max(0, end - AROUND)]
    if max(len(before), len(after)) > TOO_MANY:
        return [f"{len(before)} lines became {len(after)} others: too many to be compared"]
    lines: list[str] = []
    for group in SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(AROUND):
        lines.append(_place(group, first))
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                lines += [f" {line}" for line in before[old_from:old_to]]
                continue
            lines += [f"-{line}" for line in before[old_from:old_to]]
            lines += [f"+{line}" for line in after[new_from:new_to]]
    if len(lines) > MOST:
        lines[MOST:] = [f"and {len(lines) - MOST} lines more"]
    return lines


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines both begin with."""
    for count, (mine, yours) in enumerate(zip(one, other, strict=False)):
        if mine != yours:
            return count
    return min(len(one), len(other))


def _place(group: Sequence[tuple[str, int, int, int, int]], first: int) -> str:
    """`@@ -from,count +from,count @@`, counted from one."""
    old_from, old_to = group[0][1], group[-1][2]
    new_from, new_to = group[0][3], group[-1][4]
    return (
        f"@@ -{first + old_from + 1},{old_to - old_from}"
        f" +{first + new_from + 1},{new_to - new_from} @@"
    )
