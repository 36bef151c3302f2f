"""The JSON Schema: equal to the models, and in agreement with them about files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from meshproxy.policies.registry import REGISTRY
from meshproxy.settings.json_schema import schema, text
from meshproxy.settings.load import read
from meshproxy.settings.schema import TOP_LEVEL

CONFIG = Path(__file__).parents[2] / "config"
BAD = Path(__file__).with_name("bad")
GOOD = [
    CONFIG / "meshproxy.yaml",
    *sorted((CONFIG / "examples").glob("*.yaml")),
    *sorted((CONFIG / "demo").glob("*.yaml")),
]


def complaints(tree: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema())
    return [error.json_path for error in validator.iter_errors(tree)]


def raw(file: Path) -> Any:
    """The file as an editor sees it: with its variables not filled in."""
    text = file.read_bytes().replace(b"$", b"$$")
    return read(text.replace(b"$$$$", b"$$"), file.name, {}).tree


def test_the_committed_schema_is_that_of_the_models() -> None:
    committed = (CONFIG / "meshproxy.schema.json").read_text()
    assert committed == text(), "make it anew: python -m meshproxy.settings.json_schema"


def test_the_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("file", GOOD, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_an_editor_finds_nothing_wrong_with_a_file_that_ships(file: Path) -> None:
    assert complaints(raw(file)) == []


@pytest.mark.parametrize(
    "name",
    ["bare-number", "boolean-words", "unknown-key", "unknown-key-in-policy", "wrong-word",
     "wrong-shape", "wrong-failure", "missing-app", "missing-endpoints", "weight", "address",
     "not-supported-yet", "rate-limits-shape", "tracing", "wrong-file-version", "out-of-range"],
)  # fmt: skip
def test_an_editor_sees_that_something_is_wrong(name: str) -> None:
    assert complaints(raw(BAD / f"{name}.yaml"))


@pytest.mark.parametrize("spec", REGISTRY, ids=lambda spec: spec.key)
def test_every_policy_may_be_off_or_a_variable_in_an_editor(spec: Any) -> None:
    for word in ("off", "${POLICY}"):
        tree = {"inbound": {"app": ":1", spec.key: word}}
        if spec.key in TOP_LEVEL:
            tree = {"inbound": {"app": ":1"}, spec.key: word}
        assert complaints(tree) == []


def test_short_forms_and_variables_are_taken_wherever_a_value_stands() -> None:
    tree = {
        "inbound": {
            "app": "${APP}",
            "timeout": "off",
            "routes": [{"match": "POST /x", "concurrency": {"max": "${N}"}}],
        },
        "outbound": {"services": {"a": {"endpoints": ["b:1", {"address": "${B}", "weight": 2}]}}},
        "logs": {"access": {"errors": "${ERRORS}", "sample": "1%"}},
        "service": {"name": "file:/run/secrets/name"},
    }
    assert complaints(tree) == []


def test_defaults_are_shown_as_one_writes_them() -> None:
    inbound = schema()["$defs"]["Inbound"]["properties"]
    assert inbound["timeout"]["default"] == "15s"
    assert inbound["listen"]["default"] == "0.0.0.0:15006"
