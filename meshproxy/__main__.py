"""The command line: which command, and from which file its code is loaded.

Nothing but the chosen command is imported, and a user's error is a line on standard error
and an exit code (1 it failed, 2 it was asked wrongly), never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from meshproxy import __version__

if TYPE_CHECKING:
    from argparse import Namespace

COMMANDS = {
    "run": "run",
    "check": "check",
    "explain": "explain",
    "schema": "starter",
    "init": "starter",
    "reload": "remote",
    "drain": "remote",
    "upgrade": "remote",
    "tap": "tap",
    "healthcheck": "remote",
    "inject": "inject",
    "top": "top",
}
"""The file in `commands` that has the function of a command's name."""

LEAN = ("PYDANTIC_DISABLE_PLUGINS", "FROZENLIST_NO_EXTENSIONS")
"""Variables that keep libraries small, each read when the library is first imported.

Our models want no plug-ins, and to look for some in every installed package takes 20 ms. What
aiohttp freezes are a few lists at start; their faster form brings the C++ library, 1 MiB.
"""

INTERRUPTED = 130

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""Names in `sys` of the descriptors 0, 1 and 2, and what is done with each."""

LASTING = ("run", "tap", "top")
"""Commands that go on until they are told to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    typed = sys.argv[1:] if arguments is None else arguments
    _fill_descriptors()
    _end_when_told(typed)
    from meshproxy.commands.arguments import parser, parted  # nothing at import

    words = parser()
    ours, child = parted(typed)
    options = words.parse_args(ours)
    if child is not None:
        options.child = child
    if options.version or options.command == "version":
        print(f"meshproxy {__version__} (Python {'.'.join(map(str, sys.version_info[:3]))})")
        return 0
    if options.command is None:
        words.print_help(sys.stderr)
        return 2
    options.lean = _lean()
    del words  # what it takes would be kept for as long as a sidecar runs
    return _guarded(options)


def _fill_descriptors() -> None:
    """Where one of the standard descriptors is closed, have /dev/null there.

    Else the next socket takes its number: what is printed goes to a peer, and libuv aborts when
    it is closed. Python has no stream for what was closed when it started.
    """
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one, as those below it are open.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  # for good


def _end_when_told(words: Sequence[str]) -> None:
    """As PID 1: end at once when told to, until the command listens itself.

    The kernel keeps from PID 1 what it has no handler for, so a container that is stopped while it
    starts would go on until it is killed. Ctrl-C is heard already, and of `tap` and `top` it is
    the ordinary end.
    """
    if os.getpid() != 1 or not words or words[0] not in LASTING:
        return
    import signal  # nobody else needs it this early

    numbers = (signal.SIGTERM, signal.SIGINT) if words[0] == "run" else (signal.SIGTERM,)
    for number in numbers:
        signal.signal(number, lambda number, _frame: os._exit(128 + number))


def _guarded(options: Namespace) -> int:
    from meshproxy.commands.sources import UsageError

    try:
        return _command(options.command)(options)
    except UsageError as error:
        print(f"meshproxy {options.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has seen enough (`| head`); there is no one left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"meshproxy {options.command}: {_told(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _told(error: OSError) -> str:
    """For people: of which file, else at what call, such as one that is forbidden here."""
    if error.filename:
        return f"{error.filename}: {error.strerror or error}"
    if not error.strerror:
        return str(error)  # in words already
    import traceback  # nobody who has no trouble needs it

    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{error.strerror}, at {last.line or last.name}"


def _lean() -> frozenset[str]:
    """Set what is not set yet; returned is what an app that we start must not inherit."""
    added = frozenset(LEAN).difference(os.environ)
    os.environ.update(dict.fromkeys(added, "1"))
    return added


def _command(name: str) -> Callable[[Namespace], int]:
    found: Callable[[Namespace], int] = getattr(
        import_module(f"meshproxy.commands.{COMMANDS[name]}"), name
    )
    return found


if __name__ == "__main__":
    sys.exit(main())
