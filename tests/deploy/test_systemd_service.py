"""Under a real systemd: started when ready, upgraded, reloaded, watched, started anew, stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Origin, answering, eventually, fetch, reply
from tests.e2e.harness.ports import free_port
from tests.e2e.harness.sidecar import run

from .managed import SERVICE, Manager, managing

CONFIG = """
version: 1
workers: {workers}
inbound: {{listen: "127.0.0.1:{inbound}", app: "{app}"}}
metrics: {{listen: "127.0.0.1:{metrics}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
shutdown: {{drain: 2s}}
"""


class Scene:
    """A service that is managed, and its addresses."""

    def __init__(self, manager: Manager, file: Path, text: str, ports: dict[str, int]) -> None:
        self.manager, self.file, self.text, self.ports = manager, file, text, ports

    def answers(self) -> bool:
        return fetch(("127.0.0.1", self.ports["inbound"]), "/").status == 200


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    ports = {name: free_port() for name in ("inbound", "metrics", "admin")}
    with Origin.running(answering(reply(body=b"ok"))) as origin:
        text = CONFIG.format(workers=request.param, app=origin.address, **ports)
        with managing(text) as (manager, file):
            yield Scene(manager, file, text, ports)


def test_the_whole_life_of_a_service(scene: Scene) -> None:
    manager = scene.manager
    assert manager.tell("start", SERVICE).returncode == 0
    assert manager.of("ActiveState") == "active"
    assert scene.answers(), "it is started when it is ready, not before"
    first = manager.pid

    done = run("upgrade", "--admin", f"127.0.0.1:{scene.ports['admin']}")
    assert done.returncode == 0, done
    eventually(lambda: manager.pid not in (0, first), 10.0, "another main process")
    second = manager.pid
    assert (manager.of("ActiveState"), manager.of("NRestarts")) == ("active", "0")
    assert scene.answers()

    scene.file.write_text(scene.text.replace("drain: 2s", "drain: 1s"))
    assert manager.tell("reload", SERVICE).returncode == 0
    assert (manager.pid, manager.of("ActiveState")) == (second, "active")

    os.kill(second, signal.SIGSTOP)
    eventually(lambda: manager.of("NRestarts") == "1", 20.0, "the watchdog")
    eventually(lambda: manager.of("ActiveState") == "active", 20.0, "a new start")
    assert manager.pid != second
    assert scene.answers()

    os.kill(manager.pid, signal.SIGKILL)
    eventually(lambda: manager.of("NRestarts") == "2", 20.0, "a restart")
    eventually(lambda: manager.of("ActiveState") == "active", 20.0, "a new start")
    assert scene.answers()

    assert manager.tell("stop", SERVICE).returncode == 0
    assert (manager.of("ActiveState"), manager.of("Result")) == ("inactive", "success")


def test_a_broken_config_is_not_started(scene: Scene) -> None:
    scene.file.write_text(scene.text + "no_such_key: 1\n")
    assert scene.manager.tell("start", SERVICE).returncode != 0
    assert scene.manager.of("ActiveState") != "active"
    assert scene.manager.pid == 0
