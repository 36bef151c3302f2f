"""The JSON Schema of the file, made from the models, for editors and for `meshproxy schema`.

An editor sees a file before its variables are filled in, so wherever a value stands a text
with a `${VARIABLE}` or a `file:` is taken too. What several keys mean together is left out.

    python -m meshproxy.settings.json_schema       (writes both copies that are committed)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from meshproxy.settings.schema import File
from meshproxy.settings.sentences import models_in

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LATER = r"\$\{|^file:"
"""What is only known when the file is loaded."""

_LATER_NAME = "Later"
_LATER_NODE = {
    "description": "A variable, or a secret's file.",
    "type": "string",
    "pattern": LATER,
}


def schema() -> dict[str, Any]:
    """The schema as plain data."""
    made: dict[str, Any] = File.model_json_schema()
    for model in _all_models(File):
        node = made if model is File else made["$defs"].get(model.__name__)
        if node is not None and "properties" in node:
            _write_defaults(model, node["properties"])
    made = _open(made)
    made["$defs"][_LATER_NAME] = _LATER_NODE
    return {"$schema": DIALECT, "title": "meshproxy configuration", **made}


def text() -> str:
    """The schema as it is committed."""
    return json.dumps(schema(), indent=2) + "\n"


def _all_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield from _all_models(inner)


def _write_defaults(model: type[BaseModel], properties: dict[str, Any]) -> None:
    """Show defaults as one writes them: `15s`, not the 15.0 that the code sees."""
    shown = model.model_construct().model_dump(mode="json", warnings=False)
    for name, node in properties.items():
        node.pop("default", None)
        value = shown.get(name)
        if value is not None and not isinstance(value, dict) and value != []:
            node["default"] = value


def _open(node: Any) -> Any:
    """Let every value be a variable, and every number too; mappings and lists stay."""
    if isinstance(node, list):
        return [_open(item) for item in node if item != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    node = {key: value for key, value in node.items() if key != "title"}
    if node.get("type") in ("integer", "number", "boolean") or "const" in node or "enum" in node:
        return _either(node)
    if node.get("type") == "string":
        return _text(node)
    return {_any(key): _inner(key, value) for key, value in node.items()}


def _any(key: str) -> str:
    # A variable fits every branch of a choice, and oneOf wants just one that fits.
    return "anyOf" if key == "oneOf" else key


def _inner(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "patternProperties"):
        return {name: _open(inner) for name, inner in value.items()}
    # Values under these keys are data, or judge keys, where no variable can stand.
    return value if key in ("default", "examples", "required", "propertyNames") else _open(value)


def _either(node: dict[str, Any]) -> dict[str, Any]:
    outside = {key: value for key, value in node.items() if key in ("default", "description")}
    inside = {key: value for key, value in node.items() if key not in outside}
    return {"anyOf": [inside, {"$ref": f"#/$defs/{_LATER_NAME}"}], **outside}


def _text(node: dict[str, Any]) -> dict[str, Any]:
    node = {key: value for key, value in node.items() if key not in ("minLength", "maxLength")}
    if "pattern" in node:
        node["pattern"] = f"{node['pattern']}|{LATER}"
    return node


def write() -> None:
    """Bring the copy of this checkout's config/ and the package's own up to date."""
    package = Path(__file__).parent
    for folder in (package, package.parents[1] / "config"):
        (folder / "meshproxy.schema.json").write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
