"""Errors of the proxy itself: each told once with its trace, then counted, and never a flood.

A bug is known by its fingerprint: the type of what was raised and the functions that it came
through. Lines are left out, so that it stays the same bug after an edit above it, and words,
because they often hold data; two mistakes in one function with one type are taken for one.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from meshproxy.core.report import Sample

KINDS = 50
"""Bugs told apart; what comes after them is counted as one."""
RETELL = 60.0
"""Seconds between two lines about the same bug."""
LINES = 60
"""Lines of a trace that are kept: its beginning and its end."""
CAUSES = 5
WORDS = 300
"""Characters of an error's own words."""
OTHER = "__other__"

_PLAIN = (AttributeError, ImportError, NameError, TypeError)
"""Their words are the interpreter's and hold names of the code, not data."""
_QUOTED = re.compile(r"""b?(["'])(?:\\.|(?!\1).)*\1""", re.DOTALL)

Tell = Callable[..., None]


@dataclass(slots=True)
class Bug:
    """One kind of error; `count` of them since `first`, `untold` of which no line tells yet."""

    fingerprint: str
    error: str
    where: str
    trace: list[str]
    first: float
    last: float
    retold: float
    count: int = 0
    untold: int = 0
    about: dict[str, Any] = field(default_factory=dict)


class Bugs:
    """All that were caught since the start. `wall` dates them, `now` is the monotonic clock."""

    __slots__ = ("_found", "_now", "_tell", "_untold", "_wall")

    def __init__(self, tell: Tell, wall: Callable[[], float], now: Callable[[], float]) -> None:
        self._tell = tell
        self._wall = wall
        self._now = now
        self._found: dict[str, Bug] = {}
        self._untold = False

    def caught(self, what: BaseException | str, **fields: Any) -> None:
        """Count it, and write a line if it is the first of its kind; `fields` go with that line.

        `what` is a sentence where a library says that something is wrong and raises nothing.
        """
        mark = fingerprint(what)
        bug = self._found.get(mark)
        if bug is None:
            if len(self._found) >= KINDS:
                mark = OTHER
                bug = self._found.get(OTHER)
            bug = bug or self._new(mark, what, fields)
        bug.last = self._wall()
        bug.count += 1
        if bug.count > 1:
            bug.untold += 1
            self._untold = True

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear of what nobody catches: in the loop, in a thread, or where Python cannot raise."""

        def in_the_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            message = context.get("message", "")
            self.caught(context.get("exception") or message, detail=message)

        def elsewhere(what: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.caught, what.exc_value or what.exc_type())

        loop.set_exception_handler(in_the_loop)
        sys.unraisablehook = threading.excepthook = elsewhere

    def _new(self, mark: str, what: BaseException | str, fields: dict[str, Any]) -> Bug:
        wall = self._wall()
        bug = Bug(
            mark, words(what), where(what), trace(what), wall, wall, self._now(), 0, 0, fields
        )
        self._found[mark] = bug
        self._tell(
            "bug", level="error", fingerprint=mark, error=bug.error, where=bug.where, **fields,
            trace=bug.trace,
        )  # fmt: skip
        return bug

    def sweep(self, now: float) -> None:
        """Tell how often what was told before has happened again; called now and then."""
        if not self._untold:
            return
        self._untold = False
        for bug in self._found.values():
            if bug.untold and now - bug.retold >= RETELL:
                self._tell(
                    "bug_again", level="error", fingerprint=bug.fingerprint, error=bug.error,
                    times=bug.untold, count=bug.count,
                )  # fmt: skip
                bug.retold, bug.untold = now, 0
            self._untold = self._untold or bug.untold > 0

    def samples(self) -> Iterator[Sample]:
        """Each kind; the one for all others is there from the start, so that there is a zero."""
        if OTHER not in self._found:
            yield Sample("meshproxy_bugs_total", (("fingerprint", OTHER),), 0.0)
        for bug in self._found.values():
            labels = (("fingerprint", bug.fingerprint),)
            yield Sample("meshproxy_bugs_total", labels, float(bug.count))

    def report(self) -> list[Bug]:
        """Each kind, the most frequent first."""
        return sorted(self._found.values(), key=lambda bug: -bug.count)


def fingerprint(what: BaseException | str) -> str:
    """Twelve hexadecimal digits; a sentence without its numbers is one of its own."""
    if isinstance(what, str):
        parts = [re.sub(r"0x[0-9a-f]+|\d+", "#", what)]
    else:
        parts = [f"{type(what).__module__}.{type(what).__qualname__}"]
        parts += [type(each).__qualname__ for each in _causes(what)]
        # Who calls itself is met once: a recursion ends at no certain depth.
        parts += dict.fromkeys(_frames(what.__traceback__))
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def words(what: BaseException | str) -> str:
    """The type and what it says, without the quoted values in it: those may be a caller's."""
    if isinstance(what, str):
        return what[:WORDS]
    said = str(what)
    if not isinstance(what, _PLAIN):
        said = _QUOTED.sub("'***'", said)
    name = type(what).__qualname__
    return f"{name}: {said}"[:WORDS] if said else name


def where(what: BaseException | str) -> str:
    """The function that raised it, with its file and line; "" if nothing was raised."""
    if isinstance(what, str) or what.__traceback__ is None:
        return ""
    frame = traceback.extract_tb(what.__traceback__)[-1]
    return f"{short_path(frame.filename)}:{frame.lineno} {frame.name}"


def trace(what: BaseException | str) -> list[str]:
    """Innermost last, as Python tells it, but of the values in it only those of the code."""
    if isinstance(what, str):
        return []
    lines: list[str] = []
    for each in (*reversed(list(_causes(what))), what):
        if lines:
            lines.append("which led to:")
        for entry in traceback.format_tb(each.__traceback__):
            lines += entry.rstrip("\n").split("\n")
        lines.append(words(each))
    if len(lines) > LINES:
        half = LINES // 2
        lines[half:-half] = [f"({len(lines) - 2 * half} more lines)"]
    return lines


def short_path(path: str) -> str:
    """From the package on; the same on every machine."""
    parts = Path(path).parts
    for root in ("meshproxy", "site-packages", "dist-packages"):
        if root in parts[:-1]:
            at = len(parts) - 1 - parts[::-1].index(root)
            return "/".join(parts[at if root == "meshproxy" else at + 1 :])
    return "/".join(parts[-2:])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What it was raised from or while handling, nearest first."""
    for _ in range(CAUSES):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            return
        yield cause
        error = cause


def _frames(walked: TracebackType | None) -> Iterator[str]:
    while walked is not None:
        code = walked.tb_frame.f_code
        yield f"{short_path(code.co_filename)} {code.co_qualname}"
        walked = walked.tb_next
