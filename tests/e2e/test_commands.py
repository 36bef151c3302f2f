"""The command line as its users meet it: exit codes, what is printed, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from .harness import Client, Conversation, Origin, Sidecar, answering, eventually, fetch, reply
from .harness.client import request
from .harness.sidecar import command, environment, run

CONFIG = """
inbound: {listen: <inbound>, app: http://<app>}
shutdown: {drain: 5s}
"""


def test_check_tells_a_good_file_from_a_bad_one(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("version: 1\ninbound: {app: 'http://127.0.0.1:8080'}\n")
    assert run("check", "-c", str(file)).returncode == 0
    file.write_text("version: 1\ninbound: {ap: 'http://127.0.0.1:8080', timeout: 5}\n")
    done = run("check", "-c", str(file))
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert "file.yaml:2:11" in told
    assert "timeout" in told, "all errors are told at once"
    assert run("check", "--no-such-option").returncode == 2


def test_schema_is_json_and_init_is_a_good_file(tmp_path: Path) -> None:
    assert json.loads(run("schema").stdout)["$schema"]
    done = run("init", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "meshproxy.yaml"
    if not file.exists():
        file.write_text(done.stdout)
    assert run("check", "-c", str(file)).returncode == 0


def test_version_is_told() -> None:
    done = run("version")
    assert done.returncode == 0
    assert any(character.isdigit() for character in done.stdout)


def test_healthcheck_asks_the_running_one(sidecar: Sidecar) -> None:
    assert run("healthcheck", "-c", str(sidecar.file)).returncode == 0


def test_healthcheck_fails_when_none_runs(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(
        "version: 1\nmetrics: {listen: '127.0.0.1:9'}\ninbound: {app: 'http://127.0.0.1:1'}"
    )
    assert run("healthcheck", "-c", str(file)).returncode == 1


@pytest.mark.parametrize("words", [("--help",), ("check", "--help"), ("schema",)])
def test_small_commands_start_fast(words: tuple[str, ...]) -> None:
    took = []
    for _ in range(3):
        started = time.monotonic()
        assert run(*words).returncode == 0
        took.append(time.monotonic() - started)
    assert min(took) < 0.6, took


def test_a_port_that_is_taken_is_told(app: Origin, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(f"inbound: {{listen: '{app.address}', app: 'http://127.0.0.1:1'}}\n")
    done = run("run", "-c", str(file))
    assert done.returncode == 1
    assert app.address in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_term_lets_the_last_request_end(app: Origin) -> None:
    release = threading.Event()

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            assert release.wait(10)
            peer.send(reply(body=b"at last"))

    app.forget(script)
    with Sidecar.running(CONFIG, app=app.address) as sidecar, Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        app.saw(1)
        sidecar.signal(signal.SIGTERM)
        eventually(lambda: not_ready(sidecar), what="the drain")
        release.set()
        answer = client.response()
        assert (answer.status, answer.body) == (200, b"at last")
        assert answer.get("connection") == "close"
        assert sidecar.process.wait(10) == 0
    app.forget()


def not_ready(sidecar: Sidecar) -> bool:
    try:
        return sidecar.probe("/readyz").status == 503
    except OSError:
        return True


def test_a_second_term_ends_at_once(app: Origin) -> None:
    app.forget(lambda peer: peer.until_left())
    with Sidecar.running(CONFIG, app=app.address) as sidecar, Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        eventually(lambda: app.received)
        sidecar.signal(signal.SIGTERM)
        eventually(lambda: not_ready(sidecar), what="the drain")
        started = time.monotonic()
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait(10) == 2
        assert time.monotonic() - started < 1.0
    app.forget()


def test_an_idle_one_ends_soon(app: Origin) -> None:
    app.forget()
    with Sidecar.running(CONFIG, app=app.address) as sidecar, Client(sidecar.inbound) as client:
        assert client.ask("GET", "/").status == 200
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait(4) == 0
        assert client.closed_by_peer()


def test_it_is_small_and_soon_ready(app: Origin) -> None:
    with Sidecar.running(CONFIG, app=app.address) as sidecar:
        assert sidecar.cpu_seconds() < 1.0, "processor time, since the machine may be busy"
        assert sidecar.rss() < 60 * 1024 * 1024


DEFAULT_PORTS = (15000, 15001, 15006, 15020)


def test_no_file_is_needed(tmp_path: Path) -> None:
    taken = [port for port in DEFAULT_PORTS if is_taken(port)]
    if taken:
        pytest.skip(f"the default ports must be free, and {taken} are not")
    app = Origin(answering(reply(body=b"fine")))
    words = command("run", "--app", f":{app.port}", "--to", f"payments={app.address}")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, stderr=log, env=environment(), cwd=tmp_path)
    try:
        eventually(
            lambda: (
                is_taken(15020)
                and fetch(("127.0.0.1", 15020), "/readyz", headers={"Host": "localhost"})
            ),
            15,
        )
        assert fetch(("127.0.0.1", 15006), "/in").status == 200
        answer = fetch(("127.0.0.1", 15001), "/out", headers={"Host": "payments"})
        assert answer.status == 200
        assert [seen.target for seen in app.requests] == ["/in", "/out"]
    finally:
        app.stop()  # until it is gone it may call out, and the sidecar stays for that
        process.terminate()
        assert process.wait(10) == 0


def is_taken(port: int) -> bool:
    try:
        Client(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
