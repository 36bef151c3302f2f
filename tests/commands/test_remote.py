"""Commands that ask a running sidecar: where it is found, what is told, which exit code."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from meshproxy.__main__ import main

OUTCOME = {"ok": True, "generation": 4, "digest": "def", "changes": ["a: 1 -> 2"], "errors": []}


class Sidecar:
    """A port that answers one request with what it was given, and keeps the request."""

    def __init__(self, status: int, body: Any) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = b"HTTP/1.0 %d Whatever\r\n\r\n%s" % (status, payload)
        self.heard = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            while b"\r\n\r\n" not in self.heard:
                self.heard += connection.recv(65536)
            connection.sendall(self.answer)

    @classmethod
    @contextmanager
    def answering(cls, status: int, body: Any) -> Iterator[Sidecar]:
        sidecar = cls(status, body)
        sidecar._thread.start()
        try:
            yield sidecar
        finally:
            sidecar._thread.join(10)
            sidecar._socket.close()


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MESHPROXY_CONFIG", raising=False)


@pytest.mark.parametrize(
    "config",
    [
        "metrics: {listen: ADDRESS}",
        "metrics:\n  listen: 'ADDRESS'\n",
        "version: 1\nmetrics:   # the probes\n  # here\n  listen: ADDRESS  # so\n",
        '{"version": 1, "metrics": {"listen": "ADDRESS"}}',
        "metrics: {listen: '${WHERE}'}",
        "metrics: {listen: '${NOT_SET:-ADDRESS}'}",
        "metrics: {listen: ADDRESS}\ninbound: [this is {no: YAML",
        "admin: {listen: '127.0.0.1:1'}\nmetrics: {listen: ADDRESS}",
    ],
)
def test_the_metrics_port_is_found_in_the_config(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sidecar.answering(200, {"status": "ok"}) as sidecar:
        monkeypatch.setenv("WHERE", sidecar.address)
        Path("f.yaml").write_text(config.replace("ADDRESS", sidecar.address))
        assert main(["healthcheck", "-c", "f.yaml"]) == 0
    assert sidecar.heard.startswith(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n")


def test_a_wildcard_is_asked_on_the_loopback() -> None:
    with Sidecar.answering(200, {}) as sidecar:
        port = sidecar.address.rpartition(":")[2]
        Path("meshproxy.yaml").write_text(f"metrics: {{listen: '0.0.0.0:{port}'}}")
        assert main(["healthcheck", "--live"]) == 0
    assert sidecar.heard.startswith(b"GET /livez ")


@pytest.mark.parametrize("path", ["", "/startupz"])
def test_a_url_may_name_the_path(path: str) -> None:
    with Sidecar.answering(200, {}) as sidecar:
        assert main(["healthcheck", "--url", f"http://{sidecar.address}{path}"]) == 0
    assert sidecar.heard.startswith(f"GET {path or '/readyz'} ".encode())


def test_an_unready_one_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    checks = {"drain": {"ok": False, "detail": "draining"}, "config": {"ok": True, "detail": "1"}}
    with Sidecar.answering(503, {"checks": checks}) as sidecar:
        assert main(["healthcheck", "--url", sidecar.address]) == 1
    assert capsys.readouterr().err == "drain: draining\n"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_no_http_is_not_healthy(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with Sidecar.answering(200, {}) as sidecar:
        sidecar.answer = answer
        assert main(["healthcheck", "--url", sidecar.address]) == 1
    assert "does not speak HTTP" in capsys.readouterr().err


def test_silence_is_not_health(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert main(["healthcheck", "--url", address, "--timeout", "0.05"]) == 1
    assert "no answer from" in capsys.readouterr().err


def test_nobody_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    assert main(["reload", "--admin", address]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"cannot reach the sidecar at {address}: Connection refused" in told


@pytest.mark.parametrize("where", ["nowhere", "127.0.0.1:0", "127.0.0.1:99999", "h:", ":x"])
def test_an_address_that_cannot_be_asked_is_a_usage_error(where: str) -> None:
    assert main(["reload", "--admin", where]) == 2
    assert main(["healthcheck", "--url", f"https://{where}"]) == 2


def test_reload_tells_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    with Sidecar.answering(200, OUTCOME) as sidecar:
        Path("meshproxy.yaml").write_text(f"admin:\n  listen: {sidecar.address}\n")
        assert main(["reload"]) == 0
    assert sidecar.heard.startswith(b"POST /reload HTTP/1.0\r\nHost: localhost\r\n")
    assert capsys.readouterr().out == "reloaded: generation 4, def\na: 1 -> 2\n"


def test_a_reload_that_brings_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with Sidecar.answering(200, {**OUTCOME, "changes": []}) as sidecar:
        assert main(["reload", "--admin", sidecar.address]) == 0
    assert capsys.readouterr().out == "nothing new, in force: generation 4, def\n"


def test_a_reload_that_failed_tells_every_error(capsys: pytest.CaptureFixture[str]) -> None:
    errors = ["f.yaml:3:5: wrong", "f.yaml:4:5: wrong too"]
    with Sidecar.answering(422, {"ok": False, "errors": errors}) as sidecar:
        assert main(["reload", "--admin", sidecar.address]) == 1
    assert capsys.readouterr().err.splitlines()[:2] == errors


@pytest.mark.parametrize("command", ["reload", "drain"])
def test_a_refusal_is_told(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Sidecar.answering(403, {"error": "Host must be localhost"}) as sidecar:
        assert main([command, "--admin", sidecar.address]) == 1
    assert "Host must be localhost" in capsys.readouterr().err


def test_drain_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with Sidecar.answering(202, {"draining": True}) as sidecar:
        assert main(["drain", "--admin", sidecar.address]) == 0
    assert sidecar.heard.startswith(b"POST /drain ")
    assert capsys.readouterr().out == "draining\n"
