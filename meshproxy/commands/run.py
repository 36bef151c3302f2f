"""`run`: a config from somewhere, handed to the app.

The only command that imports the sidecar itself.
"""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

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
from meshproxy.settings.errors import ConfigError

if TYPE_CHECKING:
    from meshproxy.control.given import Given


def run(options: Namespace) -> int:
    """Run until told to end; the exit code is the app's."""
    source = source_of(options)
    given = given_by(options)
    if wants_workers(source):
        from meshproxy import supervisor

        return supervisor.run(source, options.log_level, options.log_format, given)
    from meshproxy import app  # a usage error needs none of it

    return app.run(source, options.log_level, options.log_format, given)


def given_by(options: Namespace) -> Given | None:
    """The command after --, if there is one."""
    if options.child is None:
        if options.inject_env:
            raise UsageError("--inject-env is for the command that follows --, and none does")
        return None
    if not options.child:
        raise UsageError("after -- comes the command that is to be run")
    from meshproxy.control.given import Given
    from meshproxy.control.terminal import hold

    hold()
    return Given(options.child, options.inject_env, options.lean)


def wants_workers(source: Source) -> bool:
    """Whether the file asks for several; one that cannot be read is told of by who runs it."""
    if isinstance(source, Watch) and not source.path.is_file():
        return False  # a pipe can be read once
    try:
        data = source.read()
        if b"workers" not in data:
            return False
        from meshproxy.control.rulebook import counted
        from meshproxy.settings.validate import validate

        return counted(validate(data, source.name, os.environ).file.workers) != 1
    except (ConfigError, OSError):
        return False


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
