"""`check`: is this config valid, and if not, everything that is wrong with it.

The judgement is `settings.validate`'s, the same that start and reload ask.
"""

from __future__ import annotations

import json
import os
from argparse import Namespace

from meshproxy.commands.sources import UsageError, read, required
from meshproxy.settings.errors import ConfigError
from meshproxy.settings.schema import File
from meshproxy.settings.validate import validate
from meshproxy.settings.views import listeners


def check(options: Namespace) -> int:
    """Print `ok: ...`, or one line per problem on standard output; 0 or 1."""
    name = required(options.config)
    try:
        data, name = read(name)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror or error}") from None
    try:
        settings = validate(data, name, os.environ)
    except ConfigError as error:
        if options.format == "json":
            print(json.dumps({"ok": False, "errors": error.records()}, indent=2))
        else:
            print("\n".join(error.lines()))
        return 1
    if options.format == "json":
        print(json.dumps({"ok": True, "errors": [], "digest": settings.digest}, indent=2))
    else:
        print(f"ok: {name}: {summary(settings.file)}")
    return 0


def summary(file: File) -> str:
    """What a valid config amounts to, in a line."""
    services = file.outbound.services if file.outbound else {}
    routes = sum(len(service.routes) for service in services.values())
    routes += len(file.inbound.routes) if file.inbound else 0
    counts = (
        (len(list(listeners(file))), "listener"),
        (len(services), "service"),
        (routes, "route"),
    )
    return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
