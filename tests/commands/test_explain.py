"""`explain`: of a file and of a running sidecar, requests and values, and what it exits with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from meshproxy.__main__ import main

from .test_remote import Sidecar

FILE = """\
version: 1
inbound:
  app: http://127.0.0.1:8080
  timeout: 3s
  routes:
    - {match: POST /closed, faults: {inject: [{abort: 403}]}}
    - {match: /cut, faults: {inject: [{reset: true}]}}
outbound:
  services:
    users: {endpoints: [10.0.0.1:80], timeout: 1s}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MESHPROXY_CONFIG", raising=False)
    Path("meshproxy.yaml").write_text(FILE)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["GET", "http://users/v1"], 0, "forwarded to 10.0.0.1:80 of users"),
        (["/x"], 0, "forwarded to 127.0.0.1:8080 of app"),
        (["POST", "/closed"], 1, "refused with 403 FI"),
        (["GET", "/cut"], 1, "cut off"),
        (["GET", "http://nobody/"], 1, "refused with 404 NR"),
        (["GET", "/x", "-H", "content-length: x"], 1, "refused with 400 IH"),
        (["GET", "/x", "--listener", "outbound", "-H", "Host: users"], 0, "of users"),
    ],
)
def test_a_file_tells_what_would_happen(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *words]) == code
    out = capsys.readouterr().out
    assert said in out
    assert "meshproxy.yaml:" in out


def test_json_is_what_the_admin_port_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "GET", "http://users/", "--format", "json", "--client", "::1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["request"]["client"] == "::1"
    assert found["timeouts"][0]["rule"] == "outbound.services.users.timeout (meshproxy.yaml:10)"


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["inbound.timeout"], "inbound.timeout  3s  inbound.timeout (meshproxy.yaml:4)"),
        (["inbound.routes[0].timeout"], "3s  inbound.timeout (meshproxy.yaml:4)"),
        (["outbound.services.users.connect_timeout"], "1s  outbound.services"),
        (["version"], "version  1  version (meshproxy.yaml:1)"),
    ],
)
def test_a_value_and_its_origin(
    words: list[str], out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *words]) == 0
    assert out in capsys.readouterr().out


def test_values_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "inbound.timeout", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"path": "inbound.timeout", "value": "3s", "origin": "inbound.timeout (meshproxy.yaml:4)"}
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inbound.timeot"], "did you mean 'timeout'?"),
        (["GET", "https://users/"], "CONNECT and host:443"),
        (["GET", "/x", "-H", "nothing"], "write 'Name: value'"),
        (["GET", "/x", "/y"], "write METHOD URL"),
        (["inbound.timeout", "--live"], "explained by the file alone"),
        (["GET", "/x", "-c", "absent.yaml"], "cannot read absent.yaml"),
        (["GET", "/x", "--admin", "nowhere"], "is no address to ask"),
        (["GET", "/x", "-c", "bad.yaml"], "bad.yaml:1:1: inbund"),
        (["inbound", "-c", "bad.yaml"], "bad.yaml:1:1: inbund"),
    ],
)
def test_what_cannot_be_explained_is_told_so(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.yaml").write_text("inbund: {app: ':1'}\n")
    assert main(["explain", *words]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_the_running_sidecar_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "GET", "http://users/v1?a=b", "--format", "json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    answer["verdict"]["action"] = "refuse"
    with Sidecar.answering(200, answer) as sidecar:
        words = ["GET", "http://users/v1?a=b&c", "-H", "A: b c", "-H", "d:", "--client", "10.0.0.1"]
        assert main(["explain", *words, "--admin", sidecar.address]) == 1
    line = sidecar.heard.split(b" ")[1].decode()
    assert urlsplit(line).path == "/explain"
    assert parse_qsl(urlsplit(line).query, keep_blank_values=True) == [
        ("method", "GET"), ("url", "http://users/v1?a=b&c"), ("header", "A: b c"),
        ("header", "d:"), ("client", "10.0.0.1"),
    ]  # fmt: skip
    assert "outbound at 127.0.0.1:15001" in capsys.readouterr().out


def test_what_the_running_sidecar_refuses_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Sidecar.answering(422, {"error": "url: no"}) as sidecar:
        Path("meshproxy.yaml").write_text(f"admin: {{listen: '{sidecar.address}'}}\n")
        assert main(["explain", "/x", "--live"]) == 2
    assert capsys.readouterr().err == "url: no\n"
