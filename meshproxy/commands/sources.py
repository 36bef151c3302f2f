"""Where a command's config comes from: a file, standard input, or the command line itself.

Knows no key of the config but those it writes for `run --app`. Nothing is validated here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

VARIABLE = "MESHPROXY_CONFIG"
DEFAULT = "meshproxy.yaml"
STANDARD_INPUT = "<stdin>"
COMMAND_LINE = "<command line>"
MAX_BYTES = 1024 * 1024 + 1


class UsageError(Exception):
    """The words do not go together, or name nothing; told without a traceback, exit code 2."""


def chosen(option: str | None, environment: Mapping[str, str]) -> str | None:
    """The name of the config: the option, the variable, or ./meshproxy.yaml if there is one."""
    if option is not None:
        return option
    if environment.get(VARIABLE):
        return environment[VARIABLE]
    return DEFAULT if Path(DEFAULT).is_file() else None


def required(option: str | None) -> str:
    """The same, or a UsageError that says how to name one."""
    name = chosen(option, os.environ)
    if name is None:
        raise UsageError(
            "which config? Name one with -c FILE or MESHPROXY_CONFIG, or write one with"
            " 'meshproxy init'"
        )
    return name


def read(name: str) -> tuple[bytes, str]:
    """The bytes of a config and its name for people. Raises OSError."""
    if name == "-":
        return sys.stdin.buffer.read(MAX_BYTES), STANDARD_INPUT
    with Path(name).open("rb") as file:
        return file.read(MAX_BYTES), name


def generated(
    app: str | None, services: Sequence[tuple[str, Sequence[str]]], name: str | None
) -> bytes:
    """The config that `--app` and `--to` stand for; told twice, a service has both endpoints."""
    tree: dict[str, object] = {"version": 1}
    if name is not None:
        tree["service"] = {"name": name}
    if app is not None:
        tree["inbound"] = {"app": app}
    endpoints: dict[str, list[str]] = {}
    for service, addresses in services:
        endpoints.setdefault(service, []).extend(_whole(address) for address in addresses)
    if endpoints:
        made = {service: {"endpoints": listed} for service, listed in endpoints.items()}
        tree["outbound"] = {"services": made}
    # JSON is YAML, and its quotes keep what was typed from becoming anything but text.
    return json.dumps(tree, indent=1).encode()


def _whole(address: str) -> str:
    return f"127.0.0.1{address}" if address.startswith(":") else address
