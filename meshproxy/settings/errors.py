"""What is wrong with a file: every problem with its place, as one error.

Renders `file:line:col: path: message`, sorted by line. It does not know what may be wrong;
whoever finds a problem says so in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
"""The way from the top of the file to a value: keys of mappings, indexes of lists."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to repair; `line` and `column` count from 1, 0 where there is no place."""

    line: int
    column: int
    path: Path
    message: str

    def text(self, source: str) -> str:
        """`file:line:col: path: message`, without the parts that are unknown."""
        place = f"{source}:{self.line}:{self.column}" if self.line else source
        path = f"{spell(self.path)}: " if self.path else ""
        return f"{place}: {path}{self.message}"


class ConfigError(Exception):
    """A file that cannot be used. `problems` holds all of them, in the order of the file."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(sorted(set(problems), key=lambda one: (one.line, one.column)))
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line of text per problem."""
        return [problem.text(self.source) for problem in self.problems]

    def records(self) -> list[dict[str, Any]]:
        """The same for programs: file, line, column, path, message."""
        return [
            {
                "file": self.source,
                "line": problem.line,
                "column": problem.column,
                "path": spell(problem.path),
                "message": problem.message,
            }
            for problem in self.problems
        ]


def spell(path: Path) -> str:
    """A path as people write it: `inbound.routes[0].match`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'listen'?`, or what there is to choose from if nothing is near."""
    names = sorted(known)
    from difflib import get_close_matches  # only for who is mistaken

    close = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f", did you mean {close[0]!r}?"
    return f", known here: {', '.join(names)}" if names else ""
