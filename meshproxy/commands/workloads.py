"""Where the pods are in what Kubernetes reads, and each document with the sidecar in it.

Knows the kinds that make pods; what a pod is given is `pods`'s to know. A document of any
other kind comes back as the same object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshproxy.commands import pods
from meshproxy.commands.pods import Sidecar
from meshproxy.commands.shapes import Path, Tree, mapping, metadata_misshapen

TEMPLATE: Path = ("spec", "template")
POD: dict[str, Path] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "Deployment": TEMPLATE,
    "StatefulSet": TEMPLATE,
    "DaemonSet": TEMPLATE,
    "ReplicaSet": TEMPLATE,
    "ReplicationController": TEMPLATE,
    "Job": TEMPLATE,
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where the metadata and the spec of a kind's pods stand."""

ENDS = {"Job", "CronJob"}
"""Done when all of their containers are, and a classic sidecar never is."""


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of one document (or of one item of a List): where they are and whose.

    `owner` is the document's own metadata, as it came, and `home` the path of the document.
    """

    path: Path
    home: Path
    owner: Any
    kind: str
    name: str
    template: Tree

    @property
    def label(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else self.kind


@dataclass(slots=True)
class Injected:
    """Documents with sidecars in them, and what there is to say about it.

    `wrong` has the document, the path in it and a sentence; nothing may be used of `documents`
    while there is any. `present` are pods that were left alone because they have this sidecar.
    """

    documents: list[Any] = field(default_factory=list)
    wrong: list[tuple[int, Path, str]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def inject(documents: Sequence[Any], sidecar: Sidecar) -> Injected:
    """Add the sidecar to every pod of these documents."""
    done = Injected()
    taken: list[Pods] = []
    for index, document in enumerate(documents):
        given = document
        for found in find(document):
            problems = list(_wrong(found, sidecar))
            done.wrong += [(index, path, f"{found.label}: {text}") for path, text in problems]
            if problems:
                continue
            taken.append(found)
            if pods.present(found.template["spec"], sidecar):
                done.present.append(found.label)
                done.notes += _other_config(found, sidecar)
                continue
            given = _replaced(given, found.path, _with_sidecar(found, sidecar))
            done.added.append(found.label)
        done.documents.append(given)
    done.notes += _bypasses(documents, taken, sidecar)
    return done


def find(document: Any, path: Path = (), default: str = "") -> Iterator[Pods]:
    """The pods of a document, or of every item of a List; `default` is a kind for where none is."""
    if not isinstance(document, dict):
        return
    kind = str(document.get("kind", default))
    items = document.get("items")
    if kind.endswith("List") and isinstance(items, list):
        for index, item in enumerate(items):
            # The items of a DeploymentList may leave out what the list's kind says.
            yield from find(item, (*path, "items", index), kind.removesuffix("List"))
        return
    if kind not in POD:
        return
    where = POD[kind]
    template: Any = document
    for key in where:
        template = template.get(key) if isinstance(template, dict) else None
    metadata = document.get("metadata")
    yield Pods((*path, *where), path, metadata, kind, _name(metadata), mapping(template))


def _wrong(found: Pods, sidecar: Sidecar) -> Iterator[tuple[Path, str]]:
    for path, text in pods.wrong(found.template.get("spec"), sidecar):
        yield (*found.path, "spec", *path), text
    for path, text in metadata_misshapen(found.owner):
        yield (*found.home, "metadata", *path), text
    if found.path != found.home:
        for path, text in metadata_misshapen(found.template.get("metadata")):
            yield (*found.path, "metadata", *path), text
    if found.kind in ENDS and not sidecar.native:
        yield (
            found.path,
            "it would never end: a classic sidecar goes on after the app; leave out --classic",
        )


def _other_config(found: Pods, sidecar: Sidecar) -> Iterator[str]:
    there, asked = pods.config_map(found.template["spec"]), sidecar.config_map
    if asked is not None and there != asked:
        reads = f"the ConfigMap {there}" if there else "no ConfigMap"
        yield f"{found.label}: its sidecar reads {reads}, not {asked}: inject into the original"


def _with_sidecar(found: Pods, sidecar: Sidecar) -> Tree:
    metadata = found.template.get("metadata") or {}
    told = {**metadata, "annotations": pods.scraped(metadata.get("annotations"))}
    spec = pods.add(found.template["spec"], sidecar, found.name or "app")
    # A template without metadata gets it where people look for it: before the spec.
    first = {} if "metadata" in found.template else {"metadata": told}
    return {**first, **found.template, "metadata": told, "spec": spec}


def _replaced(tree: Any, path: Path, value: Any) -> Any:
    """The tree with another value at `path`; everything beside the way there is shared."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(tree, list) and isinstance(key, int):
        return [*tree[:key], _replaced(tree[key], rest, value), *tree[key + 1 :]]
    return {**tree, key: _replaced(tree[key], rest, value)}


def _bypasses(documents: Sequence[Any], taken: Sequence[Pods], sidecar: Sidecar) -> list[str]:
    """A sentence for each Service of these documents that goes past a sidecar."""
    notes = []
    for service in documents:
        if not isinstance(service, dict) or service.get("kind") != "Service":
            continue
        for found in taken:
            labels = (found.template.get("metadata") or {}).get("labels") or {}
            past = pods.bypassed(service, labels, found.template["spec"], sidecar)
            notes += [
                f"Service/{_name(service.get('metadata'))}: targetPort {port} goes past the"
                f" sidecar of {found.label}; write targetPort: {pods.INBOUND}"
                for port in past
            ]
    return notes


def _name(metadata: Any) -> str:
    inside = mapping(metadata)
    return str(inside.get("name") or str(inside.get("generateName") or "").rstrip("-"))
