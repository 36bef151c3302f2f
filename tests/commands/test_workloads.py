"""Where the pods are, in every kind that has them, and what becomes of each document."""

from __future__ import annotations

from typing import Any

import pytest

from meshproxy.commands.pods import NAME, Sidecar
from meshproxy.commands.workloads import POD, find, inject

NATIVE = Sidecar("mesh:1")
SPEC: dict[str, Any] = {"containers": [{"name": "app", "ports": [{"containerPort": 80}]}]}


def workload(kind: str, template: Any) -> dict[str, Any]:
    """A document of a kind with this pod template where the kind has it."""
    inside: Any = template
    for key in reversed(POD[kind]):
        inside = {key: inside}
    return {"kind": kind, "metadata": {"name": "orders"}, **inside}


@pytest.mark.parametrize("kind", POD)
def test_every_kind_that_makes_pods_gets_the_sidecar(kind: str) -> None:
    document = workload(kind, {"metadata": {"name": "orders"}, "spec": SPEC})
    done = inject([document], NATIVE)
    assert done.wrong == []
    assert done.added == [f"{kind}/orders"]
    (found,) = find(done.documents[0])
    assert found.path == POD[kind]
    assert found.template["spec"]["initContainers"][0]["name"] == NAME
    assert found.template["metadata"]["annotations"]["prometheus.io/scrape"] == "true"


@pytest.mark.parametrize(
    "document",
    [None, "text", 7, [], {}, {"kind": "Service"}, {"kind": "Role"}, {"kind": "List"}, {"kind": 1}],
)
def test_what_makes_no_pods_comes_back_as_the_same_object(document: Any) -> None:
    done = inject([document], NATIVE)
    assert done.documents[0] is document
    assert (done.added, done.wrong) == ([], [])


@pytest.mark.parametrize("kind", ["List", "PodList"])
def test_a_list_is_looked_through_and_its_other_items_are_the_same(kind: str) -> None:
    other = {"kind": "ConfigMap"} if kind == "List" else {"spec": SPEC}
    pod = {"kind": "Pod", "metadata": {"name": "a"}, "spec": SPEC}
    done = inject([{"kind": kind, "items": [other, pod, None]}], NATIVE)
    items = done.documents[0]["items"]
    assert NAME in str(items[1])
    assert (items[0] is other) == (kind == "List")
    assert ("kind" in items[0]) == (kind == "List")


def test_metadata_that_was_missing_stands_before_the_spec() -> None:
    done = inject([workload("Deployment", {"spec": SPEC})], NATIVE)
    assert list(done.documents[0]["spec"]["template"]) == ["metadata", "spec"]


def test_a_generated_name_is_a_name() -> None:
    pod = {"kind": "Pod", "metadata": {"generateName": "import-"}, "spec": SPEC}
    done = inject([pod], NATIVE)
    assert done.added == ["Pod/import"]
    assert "import" in done.documents[0]["spec"]["initContainers"][0]["args"]


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_what_ends_gets_no_sidecar_that_does_not(kind: str) -> None:
    document = workload(kind, {"spec": SPEC})
    done = inject([document], Sidecar("mesh:1", native=False))
    ((index, path, text),) = done.wrong
    assert (index, path) == (0, POD[kind])
    assert "would never end" in text
    assert inject([document], NATIVE).wrong == []


@pytest.mark.parametrize(
    "template", [None, "text", {}, {"spec": SPEC, "metadata": {"annotations": "x"}}]
)
def test_a_template_that_is_none_is_told_with_its_place(template: Any) -> None:
    ((index, path, text),) = inject([workload("Deployment", template)], NATIVE).wrong
    assert index == 0
    assert path[:2] == ("spec", "template")
    assert text.startswith("Deployment/orders: ")


def test_what_has_it_already_is_left_as_it_is() -> None:
    once = inject([workload("Deployment", {"spec": SPEC})], NATIVE)
    twice = inject(once.documents, NATIVE)
    assert twice.documents[0] is once.documents[0]
    assert (twice.added, twice.present) == ([], ["Deployment/orders"])


def test_a_config_map_that_was_asked_for_in_vain_is_named() -> None:
    first, second = (Sidecar("mesh:1", config_map=name) for name in ("one", "two"))
    once = inject([workload("Deployment", {"spec": SPEC})], first)
    assert inject(once.documents, first).notes == []
    assert inject(once.documents, NATIVE).notes == []
    (note,) = inject(once.documents, second).notes
    assert note.startswith("Deployment/orders: its sidecar reads the ConfigMap one, not two: ")
    bare = inject([workload("Deployment", {"spec": SPEC})], NATIVE)
    assert "reads no ConfigMap, not two" in inject(bare.documents, second).notes[0]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"kind": "Pod", "metadata": {"generateName": 5}, "spec": SPEC},
         ("metadata", "generateName")),
        ({"kind": "Pod", "metadata": [], "spec": SPEC}, ("metadata",)),
        ({"kind": "Deployment", "metadata": {"name": True},
          "spec": {"template": {"spec": SPEC}}}, ("metadata", "name")),
        (workload("Deployment", {"spec": SPEC, "metadata": {"labels": ["a"]}}),
         ("spec", "template", "metadata", "labels")),
        ({"kind": "List", "items": [{"kind": "Pod", "metadata": {"name": 5}, "spec": SPEC}]},
         ("items", 0, "metadata", "name")),
    ],
)  # fmt: skip
def test_metadata_that_kubernetes_could_not_read_is_told(
    document: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    ((index, told, text),) = inject([document], NATIVE).wrong
    assert (index, told) == (0, path)
    assert "must be " in text


@pytest.mark.parametrize(
    "service",
    [{"spec": []}, {"spec": {"selector": "ab"}}, {"metadata": "x", "spec": None},
     {"metadata": {"generateName": 5}, "spec": {"selector": {"a": "b"}, "ports": [8080]}}],
)  # fmt: skip
def test_a_service_that_is_none_is_left_alone(service: dict[str, Any]) -> None:
    pods = workload("Deployment", {"metadata": {"labels": {"a": "b"}}, "spec": SPEC})
    service = {"kind": "Service", **service}
    done = inject([service, pods], NATIVE)
    assert done.documents[0] is service
    assert (done.wrong, done.notes, len(done.added)) == ([], [], 1)
