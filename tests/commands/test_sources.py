"""A config is the one that was named, and the short form of one is as good as a file."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from meshproxy.commands.sources import STANDARD_INPUT, UsageError, chosen, generated, read, required
from meshproxy.settings.validate import validate


def test_the_option_wins_over_the_variable_and_that_over_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert chosen(None, {}) is None
    Path("meshproxy.yaml").touch()
    assert chosen(None, {}) == "meshproxy.yaml"
    assert chosen(None, {"MESHPROXY_CONFIG": "/etc/a.yaml"}) == "/etc/a.yaml"
    assert chosen("b.yaml", {"MESHPROXY_CONFIG": "/etc/a.yaml"}) == "b.yaml"
    assert chosen(None, {"MESHPROXY_CONFIG": ""}) == "meshproxy.yaml"


def test_no_config_at_all_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MESHPROXY_CONFIG", raising=False)
    with pytest.raises(UsageError, match="meshproxy init"):
        required(None)


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"version: 1\n")))
    assert read("-") == (b"version: 1\n", STANDARD_INPUT)


def test_app_and_to_are_a_valid_config() -> None:
    data = generated(
        ":8080", [("payments", [":9000", "10.0.0.1:9000"]), ("payments", ["h:1"])], "me"
    )
    file = validate(data, "<command line>", {}).file
    assert file.service.name == "me"
    assert file.inbound is not None
    assert str(file.inbound.app) == "127.0.0.1:8080"
    assert file.outbound is not None
    addresses = [str(one.address) for one in file.outbound.services["payments"].endpoints]
    assert addresses == ["127.0.0.1:9000", "10.0.0.1:9000", "h:1"]


def test_each_direction_may_be_alone() -> None:
    assert validate(generated(":1", [], None), "x", {}).file.outbound is None
    assert validate(generated(None, [("a", [":1"])], None), "x", {}).file.inbound is None


def test_what_was_typed_cannot_become_another_key() -> None:
    data = generated('x", "admin": {"listen": "0.0.0.0:1"}, "y": "', [], "n: {a: 1}")
    assert b'\\"admin\\"' in data
