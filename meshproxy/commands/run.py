"""`run`: a config from somewhere, handed to the app.

The only command that imports the sidecar itself.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from meshproxy.commands.sources import (
    COMMAND_LINE,
    STANDARD_INPUT,
    UsageError,
    generated,
    read,
    required,
)
from meshproxy.control.reload import Source
from meshproxy.control.watch import Text, Watch


def run(options: Namespace) -> int:
    """Run until told to end; the exit code is the app's."""
    source = source_of(options)
    from meshproxy import app  # a usage error needs none of it

    return app.run(source, options.log_level, options.log_format)


def source_of(options: Namespace) -> Source:
    """A file to watch, or a text that never changes."""
    if options.app is not None or options.to:
        if options.config is not None:
            raise UsageError("either a config (-c) or --app and --to, not both")
        return Text(COMMAND_LINE, generated(options.app, options.to, options.name))
    if options.name is not None:
        raise UsageError("--name goes with --app or --to; a config says service.name")
    name = required(options.config)
    if name == "-":
        return Text(STANDARD_INPUT, read(name)[0])
    return Watch(Path(name))
