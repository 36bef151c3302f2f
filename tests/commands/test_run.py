"""A config from somewhere becomes a source: a file to watch, or a text that stays."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from meshproxy.commands.arguments import parser
from meshproxy.commands.run import source_of
from meshproxy.commands.sources import UsageError
from meshproxy.control.reload import Source
from meshproxy.control.watch import Text, Watch


def source(*words: str) -> Source:
    return source_of(parser().parse_args(["run", *words]))


def test_a_file_is_watched(tmp_path: Path) -> None:
    found = source("-c", str(tmp_path / "f.yaml"))
    assert isinstance(found, Watch)
    assert found.name == str(tmp_path / "f.yaml")


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"version: 1\n")))
    found = source("-c", "-")
    assert isinstance(found, Text)
    assert (found.name, found.read()) == ("<stdin>", b"version: 1\n")


def test_the_command_line_alone_is_a_config() -> None:
    found = source("--app", ":8080", "--to", "payments=127.0.0.1:9000")
    assert isinstance(found, Text)
    assert found.name == "<command line>"
    assert b"payments" in found.read()


@pytest.mark.parametrize(
    "words", [("-c", "f.yaml", "--app", ":1"), ("-c", "f.yaml", "--name", "me")]
)
def test_two_ways_at_once_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        source(*words)


def test_the_variable_does_not_disturb_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHPROXY_CONFIG", "/etc/meshproxy.yaml")
    assert isinstance(source("--app", ":8080"), Text)
