"""Inheritance settled on the raw tree: the nearest place wins, key by key.

`inbound` passes its policies on to its routes, `outbound.defaults` to services, services to
their routes. Lists that add up (`rate_limits`) are not merged; each place keeps its own. Of
keys that exclude each other the nearest place's stands alone. It judges nothing: what is
malformed is passed over and left for validation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from meshproxy.settings.errors import Path


@dataclass(slots=True)
class Inherited:
    """The settled tree, and from where in the file each inherited part of it came."""

    tree: dict[str, Any]
    origins: dict[Path, Path] = field(default_factory=dict)

    def origin(self, path: Path) -> Path:
        """Where in the file the value under `path` of the settled tree was written."""
        for end in range(len(path), 0, -1):
            found = self.origins.get(path[:end])
            if found is not None:
                # What a place inherited whole may hold parts that it had inherited itself.
                return self.origin(found + path[end:])
        return path


def settle(
    tree: dict[str, Any],
    keys: Collection[str],
    either: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Inherited:
    """Give every place what it inherits of `keys`; the given tree stays as it is.

    `either` has by key what of its own keys exclude each other.
    """
    result = Inherited(_copy(tree))
    for outer, inner in places(result.tree):
        _pass_on(result, outer, inner, keys, either)
    return result


def places(tree: dict[str, Any]) -> Iterator[tuple[Path, Path]]:
    """Pairs of a place and one right inside it, outermost first."""
    yield from _routes(tree, ("inbound",))
    services = at_path(tree, ("outbound", "services"))
    if isinstance(services, dict):
        for name in services:
            yield ("outbound", "defaults"), ("outbound", "services", name)
            yield from _routes(tree, ("outbound", "services", name))


def _routes(tree: dict[str, Any], place: Path) -> Iterator[tuple[Path, Path]]:
    routes = at_path(tree, (*place, "routes"))
    if isinstance(routes, list):
        for index in range(len(routes)):
            yield place, (*place, "routes", index)


def _pass_on(
    result: Inherited,
    outer: Path,
    inner: Path,
    keys: Collection[str],
    either: Mapping[str, Collection[str]],
) -> None:
    source, target = at_path(result.tree, outer), at_path(result.tree, inner)
    if not isinstance(source, dict) or not isinstance(target, dict):
        return
    for key in keys:
        if key in source:
            _merge(result, source, target, (*outer, key), (*inner, key), either.get(key, ()))


def _merge(
    result: Inherited,
    source: dict[str, Any],
    target: dict[str, Any],
    come: Path,
    go: Path,
    either: Collection[str] = (),
) -> None:
    key = str(come[-1])
    theirs, ours = source[key], target.get(key)
    if key not in target:
        target[key] = _copy(theirs)
        result.origins[go] = come
    elif isinstance(theirs, dict) and isinstance(ours, dict):
        chosen = [name for name in either if name in ours]
        for name in theirs:
            if chosen and name in either and name not in chosen:
                continue
            _merge(result, theirs, ours, (*come, name), (*go, name))


def at_path(tree: Any, path: Path) -> Any:
    """The value under `path`, or None."""
    for part in path:
        if isinstance(tree, dict):
            tree = tree.get(part)
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            return None
    return tree


def _copy(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_copy(value) for value in tree]
    return tree
