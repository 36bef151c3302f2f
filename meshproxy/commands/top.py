"""`top`: what the running sidecar does, as a table that is drawn anew with each event of /live.

On a terminal it takes the whole screen until it is interrupted; elsewhere it writes one table
after the other, or the events themselves.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Generator
from itertools import chain
from typing import Any, TypeAlias

from meshproxy.commands.events import events
from meshproxy.commands.remote import admin_address, spelled

Stream: TypeAlias = Generator[dict[str, Any], None, None]

PLAIN_WIDTH = 140
"""Columns where the output is no terminal and nobody says."""


def top(options: Namespace) -> int:
    """Show events until there is none; 0 if it was told to stop."""
    address = admin_address(options)
    every, seconds = options.every
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

    width = int(os.environ.get("COLUMNS") or PLAIN_WIDTH)
    out, wanted = console(width), Wanted(options.sort, options.limit)
    for number, event in enumerate(chain((first,), stream)):
        if number:
            out.print()
        out.print(page(event, where, wanted, width))
        sys.stdout.flush()


def _screen(stream: Stream, where: str, options: Namespace) -> None:
    """The whole screen; a window that changes its size is filled anew at once."""
    event = next(stream)
    from rich.live import Live

    from meshproxy.commands.screen import Wanted, console, page

    out = console()
    drawing = False

    def draw(*_: Any) -> None:
        nonlocal drawing
        if drawing:
            return  # the window's signal came in the middle of it; the next event is not far
        drawing = True
        width, height = out.size
        wanted = Wanted(options.sort, options.limit, height)
        live.update(page(event, where, wanted, width), refresh=True)
        drawing = False

    with Live(console=out, screen=True, auto_refresh=False) as live:
        signal.signal(signal.SIGWINCH, draw)
        draw()
        for event in stream:  # noqa: B007  # draw shows it
            draw()
