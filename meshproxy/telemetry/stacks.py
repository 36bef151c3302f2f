"""Stacks as people read them: which function stands where, and nothing of what it works with.

Reads frames, tasks' coroutines and threads; takes no value out of any, so that nothing of a
request is ever in what it tells.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Sequence
from types import CodeType, FrameType
from typing import Any, NamedTuple

from meshproxy.telemetry.bugs import short_path

DEEPEST = 100
"""Calls of one stack that are told, the innermost of it."""


class Call(NamedTuple):
    """One function that was called and has not returned."""

    file: str
    line: int
    function: str

    def text(self) -> str:
        return f"{self.file}:{self.line} {self.function}"


def calls(frame: FrameType | None, most: int = DEEPEST) -> list[Call]:
    """From this frame outward, told from the outermost in."""
    found: list[Call] = []
    while frame is not None and len(found) < most:
        found.append(_call(frame.f_code, frame.f_lineno))
        frame = frame.f_back
    found.reverse()
    return found


def waits(coroutine: Any, most: int = DEEPEST) -> tuple[list[Call], str]:
    """Where a coroutine stands, down to what it waits for, and the type of that."""
    found: list[Call] = []
    while coroutine is not None and len(found) < most:
        frame = _of(coroutine, "frame")
        if frame is None:
            break
        found.append(_call(frame.f_code, frame.f_lineno or 0))
        coroutine = _of(coroutine, "await", "yieldfrom")
    on = "" if coroutine is None else type(coroutine).__qualname__
    return found, on.removesuffix("Iter")  # a Future is waited for by way of its iterator


def threads() -> list[dict[str, Any]]:
    """Every thread with its stack, the main one first; whoever asks is among them."""
    names = {thread.ident: thread for thread in threading.enumerate()}
    main = threading.main_thread().ident
    told = []
    frames = sys._current_frames()  # noqa: SLF001  # the only way to another thread's stack
    for ident, frame in sorted(frames.items(), key=lambda each: each[0] != main):
        thread = names.get(ident)
        told.append(
            {
                "name": thread.name if thread is not None else "?",
                "id": thread.native_id if thread is not None else ident,
                "daemon": thread.daemon if thread is not None else None,
                "stack": texts(calls(frame)),
            }
        )
    return told


def texts(stack: Iterable[Call]) -> list[str]:
    return [call.text() for call in stack]


def block(title: str, stack: Sequence[str]) -> str:
    """A title and its stack, one call a line, as a dump of stacks has it."""
    return "\n".join([title, *(f"    {call}" for call in stack or ("(no Python frame)",)), ""])


def named(code: CodeType) -> Call:
    """A function by where it is defined, whatever line of it runs."""
    return _call(code, code.co_firstlineno)


def _call(code: CodeType, line: int) -> Call:
    return Call(short_path(code.co_filename), line, code.co_qualname)


def _of(coroutine: Any, *names: str) -> Any:
    """An attribute of a coroutine, a generator or an asynchronous one, by any of its names."""
    for name in names:
        for prefix in ("cr_", "gi_", "ag_"):
            found = getattr(coroutine, prefix + name, None)
            if found is not None:
                return found
    return None
