"""What Kubernetes could not read is told with its path."""

from __future__ import annotations

from typing import Any

import pytest

from meshproxy.commands.shapes import mapping, mappings, metadata_misshapen, misshapen

APP: dict[str, Any] = {"name": "app", "ports": [{"containerPort": 8080}]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"os": "linux"}, (("os",), "must be a mapping, not 'linux'")),
        ({"volumes": [{"name": "x", "configMap": "foo"}]},
         (("volumes", 0, "configMap"), "must be a mapping, not 'foo'")),
        ({"containers": [{"name": "a", "ports": [{"containerPort": 1, "name": ["h"]}]}]},
         (("containers", 0, "ports", 0, "name"), "must be text, not a list")),
        ({"containers": [{"name": "a", "ports": [{"containerPort": 1, "protocol": 6}]}]},
         (("containers", 0, "ports", 0, "protocol"), "must be text, not 6")),
        ({"initContainers": [{"name": "a", "ports": [80]}]},
         (("initContainers", 0, "ports", 0), "must be a mapping with a containerPort")),
        ({"initContainers": [{"name": "a", "ports": 80}]},
         (("initContainers", 0, "ports"), "must be a list, not 80")),
        ({"initContainers": "x"}, (("initContainers",), "must be a list, not 'x'")),
        ({"terminationGracePeriodSeconds": True},
         (("terminationGracePeriodSeconds",), "must be a number of seconds, not True")),
    ],
)  # fmt: skip
def test_a_spec_of_another_shape(change: dict[str, Any], told: Any) -> None:
    assert list(misshapen({"containers": [APP], **change})) == [told]


@pytest.mark.parametrize(
    "change",
    [{}, {"os": None, "volumes": None, "initContainers": None},
     {"terminationGracePeriodSeconds": None}, {"volumes": [{"name": "x", "configMap": None}]}],
)  # fmt: skip
def test_nothing_where_something_could_be_is_fine(change: dict[str, Any]) -> None:
    assert list(misshapen({"containers": [APP], **change})) == []


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ("x", ((), "must be a mapping, not 'x'")),
        ({"labels": ["a"]}, (("labels",), "must be a mapping, not a list")),
        ({"annotations": 5}, (("annotations",), "must be a mapping, not 5")),
        ({"generateName": 5}, (("generateName",), "must be text, not 5")),
        ({"name": True}, (("name",), "must be text, not True")),
    ],
)
def test_metadata_of_another_shape(metadata: Any, told: Any) -> None:
    assert list(metadata_misshapen(metadata)) == [told]


def test_of_what_nobody_has_looked_at_only_mappings_are_taken() -> None:
    assert mapping("x") == {}
    assert mappings([8080, {"port": 1}]) == [{"port": 1}]
    assert mappings("ab") == []
