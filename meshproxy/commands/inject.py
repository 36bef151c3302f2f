"""`inject`: reads Kubernetes documents, adds the sidecar to their pods, and prints them.

Asks no cluster and changes no file: what it prints is for `kubectl apply -f -`. What a pod
gets is `pods`'s to say; how a text is changed without losing its comments, `edits`'s.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from meshproxy.commands.documents import Text, read
from meshproxy.commands.edits import written
from meshproxy.commands.pods import Sidecar
from meshproxy.commands.sources import STANDARD_INPUT, UsageError
from meshproxy.commands.workloads import inject as injected
from meshproxy.settings.errors import ConfigError, Problem

MAX_BYTES = 16 * 1024 * 1024
UNRENDERED = (
    "; if this is a Helm template, render it first: helm template ... | meshproxy inject -f -"
)
ANEW = "written anew, without its comments: an alias or a merge stands for what changes"


def inject(options: Namespace) -> int:
    """Print the documents with sidecars, or every reason why not; 0 or 1."""
    asked = sidecar(options)
    shown: list[str] = []
    failed = False
    found = 0
    for name in options.file:
        try:
            text = _read(name)
            done = injected(text.documents, asked)
            problems = [text.problem(*one) for one in done.wrong]
            if problems:
                raise ConfigError(text.source, problems)
            put, lost = written(text, done.documents)
        except ConfigError as error:
            failed = True
            print("\n".join(error.lines()), file=sys.stderr)
            continue
        shown.append(put)
        found += len(done.added) + len(done.present)
        notes = [f"{label}: has this sidecar already" for label in done.present] + done.notes
        for note in notes:
            print(f"{text.source}: {note}", file=sys.stderr)
        for index in lost:
            print(text.problem(index, (), ANEW).text(text.source), file=sys.stderr)
    if failed:
        return 1
    if not found:
        print("nothing here makes pods; printed as it was", file=sys.stderr)
    sys.stdout.write(_joined(shown))
    return 0


def sidecar(options: Namespace) -> Sidecar:
    """What the words of the command line ask for; a UsageError where they do not go together."""
    if options.config_map is not None and options.to:
        raise UsageError("either --config-map or --to, not both: the config says its services")
    if options.inject_env and options.config_map is None and not options.to:
        raise UsageError(
            "--inject-env sends the app's calls to the sidecar, which needs to know of some:"
            " name them with --to or --config-map"
        )
    return Sidecar(
        image=options.image,
        native=options.native,
        config_map=options.config_map,
        app_port=options.port,
        targets=tuple(f"{name}={','.join(addresses)}" for name, addresses in options.to),
        proxy_env=options.inject_env,
        drain=options.drain,
    )


def _read(name: str) -> Text:
    source = STANDARD_INPUT if name == "-" else name
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror or os.strerror(0)}") from None
    if len(data) > MAX_BYTES:
        why = f"more than {MAX_BYTES >> 20} MiB: give it in several files"
        raise ConfigError(source, [Problem(0, 0, (), why)])
    try:
        return read(data, source)
    except ConfigError as error:
        if b"{{" not in data:
            raise
        problems = [replace(one, message=one.message + UNRENDERED) for one in error.problems]
        raise ConfigError(source, problems) from None


def _joined(texts: list[str]) -> str:
    """Texts of several files as one stream."""
    whole = ""
    for text in texts:
        if whole and not whole.endswith("\n"):
            whole += "\n"
        whole += text if not whole or text.startswith("---") else f"---\n{text}"
    return whole
