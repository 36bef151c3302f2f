"""Where a value comes from: the place in the file that says it, or that it is a default.

Answers in words for people, `outbound.defaults.timeout (f.yaml:12)`; inheritance is settled
already, and what a value means is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from meshproxy.settings.errors import Path, nearest, spell
from meshproxy.settings.validate import Settings

_PART = re.compile(r"\[([0-9]+)\]|[^.\[\]]+")


def rule(settings: Settings, path: Path) -> str:
    """The place of a rule: its path, and file and line of it or of the nearest thing around."""
    return f"{spell(path)} ({settings.document.rule(path)})"


def origin(settings: Settings, path: Path) -> str:
    """The place that a settled value was written at; `(default)` where no place says it."""
    at = settings.inherited.origin(path)
    return rule(settings, at) if settings.says(at) else f"{spell(at)} (default)"


def values(settings: Settings, dotted: str) -> Iterator[tuple[str, Any, str]]:
    """(path, value, origin) of each plain value at or below `outbound.services.payments.retry`.

    As they are in force, with every default, and secrets as `***`. Raises ValueError with a
    sentence where there is no such path.
    """
    tree: Any = settings.effective()
    path: Path = ()
    for part in _parts(tree, dotted):
        tree = tree[part]
        path = (*path, part)
    yield from _leaves(settings, tree, path)


def _parts(tree: Any, dotted: str) -> Iterator[str | int]:
    """Names of services may have dots in them: the longest key that fits is meant."""
    rest = dotted
    while rest:
        part, rest = _first(tree, rest)
        tree = tree[part]
        yield part


def _first(tree: Any, rest: str) -> tuple[str | int, str]:
    if isinstance(tree, dict):
        fitting = [key for key in tree if rest == key or rest.startswith((f"{key}.", f"{key}["))]
        if fitting:
            key = max(fitting, key=len)
            return key, rest[len(key) :].removeprefix(".")
    found = _PART.match(rest)
    if isinstance(tree, list) and found and found[1] and int(found[1]) < len(tree):
        return int(found[1]), rest[found.end() :].removeprefix(".")
    word = found[0] if found else rest
    known = nearest(word, tree) if isinstance(tree, dict) else ", nothing is below it"
    raise ValueError(f"nothing is called {word!r} here{known}")


def _leaves(settings: Settings, tree: Any, path: Path) -> Iterator[tuple[str, Any, str]]:
    inner: list[tuple[str | int, Any]] = list(tree.items()) if isinstance(tree, dict) else []
    if isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        inner = list(enumerate(tree))
    if not inner:
        yield spell(path), tree, origin(settings, path)
    for key, value in inner:
        yield from _leaves(settings, value, (*path, key))
