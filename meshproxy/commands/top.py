"""`top`: what the running sidecar does, as a table that is drawn anew with each event of /live.

On a terminal it takes the whole screen until it is interrupted; elsewhere it writes one table
after the other, or the events themselves.
"""

from __future__ import annotations

import json
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Generator
from io import TextIOWrapper
from itertools import chain
from shutil import get_terminal_size
from typing import Any, TypeAlias

from meshproxy.commands.events import events
from meshproxy.commands.remote import admin_address, spelled

Stream: TypeAlias = Generator[dict[str, Any], None, None]

PLAIN_WIDTH = 140
"""Columns where the output is no terminal and COLUMNS says nothing."""


def top(options: Namespace) -> int:
    """Show events until there is none; 0 if it was told to stop."""
    address = admin_address(options)
    every, seconds = options.every
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not know what cuts a name
    stream = events(address, f"/live?every={every}", seconds + options.timeout)
    try:
        if options.once:
            stream = _second(stream)
        if options.format == "json":
            for event in stream:
                print(json.dumps(event, separators=(",", ":")), flush=True)
        elif options.once or not sys.stdout.isatty():
            _tables(stream, spelled(address), options)
        else:
            _screen(stream, spelled(address), options)
    except KeyboardInterrupt:
        pass
    finally:
        stream.close()
    return 0


def _second(stream: Stream) -> Stream:
    """The first is about all the time since the start; the second about one interval."""
    next(stream)
    yield next(stream)
    stream.close()


def _tables(stream: Stream, where: str, options: Namespace) -> None:
    """One after the other."""
    first = next(stream)  # that there is none is told without rich
    from meshproxy.commands.screen import Wanted, console, page

    width = get_terminal_size((PLAIN_WIDTH, 0)).columns
    out, wanted = console(width), Wanted(options.sort, options.limit)
    for number, event in enumerate(chain((first,), stream)):
        if number:
            out.print()
        out.print(page(event, where, wanted, width))
        sys.stdout.flush()


def _screen(stream: Stream, where: str, options: Namespace) -> None:
    """The whole screen."""
    event = next(stream)
    from rich.live import Live

    from meshproxy.commands.screen import Wanted, console, page

    out = console()

    def show() -> None:
        width, height = out.size
        wanted = Wanted(options.sort, options.limit, height)
        live.update(page(event, where, wanted, width), refresh=True)

    drawing = Drawing(show)
    with Live(console=out, screen=True, auto_refresh=False) as live:
        # A window that changes its size is filled anew at once.
        signal.signal(signal.SIGWINCH, lambda *_: drawing.draw())
        drawing.draw()
        for event in stream:  # noqa: B007  # `show` shows it
            drawing.draw()


class Drawing:
    """Draws one thing at a time, though a signal may ask for it in the middle of another."""

    __slots__ = ("_again", "_busy", "_show")

    def __init__(self, show: Callable[[], None]) -> None:
        self._show = show
        self._busy = self._again = False

    def draw(self) -> None:
        self._again = True
        if self._busy:
            return
        self._busy = True
        while self._again:
            self._again = False
            self._show()
        self._busy = False
