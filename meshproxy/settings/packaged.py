"""The JSON Schema that ships with the package, read without making the models first."""

from __future__ import annotations

from pathlib import Path

SCHEMA = Path(__file__).with_name("meshproxy.schema.json")


def schema_text() -> str:
    """What `meshproxy schema` prints; a test holds it equal to the models."""
    return SCHEMA.read_text(encoding="utf-8")
