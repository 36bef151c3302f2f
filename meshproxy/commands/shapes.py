"""The shape of what Kubernetes reads, as far as a sidecar's injection looks into it.

Says what is not of that shape and with which path, so that whoever looks into a tree after
that need not ask again. Whether a pod may have a sidecar is not its to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

Tree: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]
Wrong: TypeAlias = tuple[Path, str]
"""A reason why a pod gets no sidecar: the path in what was asked about, and a sentence."""

GRACE = "terminationGracePeriodSeconds"


def misshapen(spec: Any) -> Iterator[Wrong]:
    """Where a pod's spec is not what Kubernetes could read."""
    if not isinstance(spec, dict):
        yield (), f"a pod's spec must be a mapping, not {_kind(spec)}"
        return
    if not spec.get("containers"):
        yield ("containers",), "a pod needs at least one container"
    for key in ("initContainers", "containers"):
        for path, one in _named(spec, key):
            yield from _container(one, path)
    for path, volume in _named(spec, "volumes"):
        yield from _mapping(volume.get("configMap"), (*path, "configMap"))
    for key in ("initContainers", "containers", "volumes"):
        yield from _unnamed(spec.get(key), (key,))
    yield from _mapping(spec.get("os"), ("os",))
    grace = spec.get(GRACE)
    if grace is not None and not _whole(grace):
        yield (GRACE,), f"must be a number of seconds, not {grace!r}"


def metadata_misshapen(metadata: Any) -> Iterator[Wrong]:
    """Where metadata, of a workload or of its pods, is not what Kubernetes could read."""
    yield from _mapping(metadata, ())
    inside = mapping(metadata)
    for key in ("annotations", "labels"):
        yield from _mapping(inside.get(key), (key,))
    for key in ("name", "generateName"):
        yield from _text(inside.get(key), (key,))


def mapping(value: Any) -> Tree:
    """This, if it is a mapping, else an empty one: of documents that nobody has looked at."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Tree]:
    """The mappings of a list, if it is one."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _container(one: Tree, path: Path) -> Iterator[Wrong]:
    yield from _unnamed(one.get("env"), (*path, "env"))
    ports = one.get("ports")
    yield from _list(ports, (*path, "ports"))
    for index, port in enumerate(ports if isinstance(ports, list) else ()):
        place = (*path, "ports", index)
        if not isinstance(port, dict) or not _whole(port.get("containerPort")):
            yield place, "must be a mapping with a containerPort"
            continue
        for key in ("name", "protocol"):
            yield from _text(port.get(key), (*place, key))


def _named(spec: Tree, key: str) -> Iterator[tuple[Path, Tree]]:
    listed = spec.get(key)
    for index, one in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(one, dict):
            yield (key, index), one


def _unnamed(listed: Any, path: Path) -> Iterator[Wrong]:
    yield from _list(listed, path)
    for index, one in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            yield (*path, index), "must be a mapping with a name"


def _list(value: Any, path: Path) -> Iterator[Wrong]:
    if value is not None and not isinstance(value, list):
        yield path, f"must be a list, not {_kind(value)}"


def _mapping(value: Any, path: Path) -> Iterator[Wrong]:
    if value is not None and not isinstance(value, dict):
        yield path, f"must be a mapping, not {_kind(value)}"


def _text(value: Any, path: Path) -> Iterator[Wrong]:
    if value is not None and not isinstance(value, str):
        yield path, f"must be text, not {_kind(value)}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    words = {"NoneType": "nothing", "dict": "a mapping", "list": "a list"}
    return words.get(type(value).__name__, repr(value))
