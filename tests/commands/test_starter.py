"""The first file is valid as it stands, and no file is ever overwritten."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from meshproxy.__main__ import main
from meshproxy.commands.starter import STARTER
from meshproxy.settings.validate import validate


def test_the_starter_is_valid_and_uses_both_directions() -> None:
    file = validate(STARTER.encode(), "meshproxy.yaml", {}).file
    assert file.inbound is not None
    assert file.outbound is not None


def test_what_the_starter_keeps_in_comments_is_valid_too() -> None:
    # Whole lines of it are indented; prose stands at the margin.
    shown = re.sub(r"(?m)^( +)# ", r"\1", STARTER)
    assert shown.count("routes:") == STARTER.count("routes:") == 2
    file = validate(shown.encode(), "meshproxy.yaml", {}).file
    assert file.inbound is not None
    assert len(file.inbound.routes) == 1


def test_it_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "orders.yaml"
    assert main(["init", str(file)]) == 0
    assert f"meshproxy check -c {file}" in capsys.readouterr().out
    file.write_text("mine")
    assert main(["init", str(file)]) == 2
    assert "stays as it is" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_a_dash_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "-"]) == 0
    assert capsys.readouterr().out == STARTER


def test_a_folder_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "/no/such/folder/f.yaml"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert "properties" in json.loads(capsys.readouterr().out)
