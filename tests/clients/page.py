"""RESULTS.md: what came of each suite, and what differs with the sidecar in the way."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meshproxy import __version__
from tests.clients.suites import Difference

PAGE = Path(__file__).with_name("RESULTS.md")
_TITLES = {
    "direct": "without it",
    "inbound": "through inbound",
    "outbound": "through outbound, in absolute form",
}
_HEAD = """# The test suites of real clients, through the sidecar

Written by `make clients`; run it to have your own. Each suite runs as its authors ship it, against
the same server with and without the sidecar in the way, and the outcomes are compared test by test.
A test that fails without the sidecar (no network, a locale) says nothing of it.
"""


@dataclass
class Part:
    """One suite: outcomes by mode, what differs and must not, what differs and must."""

    title: str
    outcomes: dict[str, Mapping[str, str]]
    broken: dict[str, Sequence[str]] = field(default_factory=dict)
    differs: Sequence[Difference] = ()
    note: str = ""

    @property
    def fine(self) -> bool:
        return not any(self.broken.values())


def write(parts: Sequence[Part]) -> str:
    """The whole page, put in its place."""
    day = time.strftime("%d %B %Y", time.gmtime())
    python = platform.python_version()
    lines = [_HEAD, f"{day}, meshproxy {__version__}, Python {python}.\n"]
    for part in parts:
        lines += [*section(part), ""]
    text = "\n".join(lines).rstrip() + "\n"
    PAGE.write_text(text)
    return text


def section(part: Part) -> list[str]:
    kinds = sorted({kind for each in part.outcomes.values() for kind in each.values()})
    lines = [f"## {part.title}", ""]
    if part.outcomes:
        lines += [
            "| | tests | " + " | ".join(kinds) + " |",
            "|---|" + "---:|" * (len(kinds) + 1),
        ]
    for mode, each in part.outcomes.items():
        counts = Counter(each.values())
        row = " | ".join(str(counts[kind]) for kind in kinds)
        lines.append(f"| {_TITLES.get(mode, mode)} | {len(each)} | {row} |")
    if part.outcomes:
        lines.append("")
    for mode, names in part.broken.items():
        lines += [f"- **fails only {_TITLES.get(mode, mode)}**: `{name}`" for name in names]
    for one in part.differs:
        where = " and ".join(_TITLES[mode] for mode in one.modes)
        lines.append(f"- fails, and must, {where}: `{one.test}`: {one.why}")
    if part.fine and part.outcomes and not part.differs:
        lines.append("Nothing fails only through the sidecar.")
    return [*lines, "", part.note] if part.note else lines
