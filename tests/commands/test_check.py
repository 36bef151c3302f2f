"""Valid says what it amounts to, invalid says everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshproxy.__main__ import main

GOOD = """
inbound:
  app: http://127.0.0.1:8080
  routes: [{match: POST /orders}]
outbound:
  services:
    users: {endpoints: ['127.0.0.1:1']}
    payments: {endpoints: ['127.0.0.1:2'], routes: [{match: GET /a}, {match: GET /b}]}
"""
BAD = "inbound: {ap: 1}\noutbound: {services: {users: {endpoints: []}}}\nnonsense: 1\n"


def judged(tmp_path: Path, text: str, *options: str) -> int:
    file = tmp_path / "f.yaml"
    file.write_text(text)
    return main(["check", "-c", str(file), *options])


def test_a_good_file_is_summed_up_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(tmp_path, GOOD) == 0
    assert capsys.readouterr().out == f"ok: {tmp_path}/f.yaml: 4 listeners, 2 services, 3 routes\n"


def test_every_mistake_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(tmp_path, BAD) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith(f"{tmp_path}/f.yaml:") for line in lines)
    assert any("nonsense" in line for line in lines)


def test_programs_get_the_same_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(tmp_path, BAD, "--format", "json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert {"file", "line", "column", "path", "message"} == set(told["errors"][0])
    assert judged(tmp_path, GOOD, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_no_file_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-c", str(tmp_path / "none.yaml")]) == 2
    assert "No such file" in capsys.readouterr().err
