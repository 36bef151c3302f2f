"""Upgrade in place: a new process on the same sockets, and nobody who calls meanwhile notices."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .harness import Client, Origin, Sidecar, TruncatedError, answering, eventually, fetch, reply
from .harness.sidecar import run

CONFIG = """
workers: {workers}
inbound: {{listen: <inbound>, app: <app>}}
outbound: {{listen: <outbound>, services: {{other: {{endpoints: [<app>]}}}}}}
logs: {{level: info, format: json, access: off}}
shutdown: {{drain: 20s}}
"""
"""A quarter of the drain, 5 s, is what an idle client has to ask once more: a busy machine may
keep one from it for half a second."""

TIMES = int(os.environ.get("UPGRADES", "5"))
"""UPGRADES=100 for the whole promise, which takes some minutes."""

BOTH = pytest.mark.parametrize("workers", [1, 2])


class Upgraded(Sidecar):
    """A sidecar whose process changes: what is stopped at the end is the latest."""

    def successors(self) -> list[int]:
        lines = self.log_lines()
        return [line["successor"] for line in lines if line["event"] == "upgrade_handed_over"]

    def stop(self) -> None:
        latest = self.successors()
        if not latest:
            super().stop()
            return
        end(latest[-1])
        self.process.wait(30.0)

    def upgrade(self) -> str:
        """By the command; what it said on standard error, empty if it went well."""
        done = run("upgrade", "--admin", ":".join(map(str, self.admin)))
        assert done.returncode == (1 if done.stderr else 0), done
        return done.stderr


def end(pid: int) -> None:
    """At once, and wait for it; it is not our child."""
    number = os.pidfd_open(pid)
    try:
        for _ in range(2):
            signal.pidfd_send_signal(number, signal.SIGTERM)
            if select.select([number], [], [], 0.3)[0]:
                return
        assert select.select([number], [], [], 5.0)[0]
    finally:
        os.close(number)


class Load:
    """Callers of both kinds, without a pause: one connection each time, and one for as long as it
    is not said to be the last."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._over = threading.Event()
        self.answered = 0
        self.failed: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(once,))
            for once in (self._anew, self._anew, self._kept, self._kept)
        ]

    @contextmanager
    def running(self) -> Iterator[Load]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(15.0)

    def _run(self, once: object) -> None:
        while not self._over.is_set():
            try:
                once()  # type: ignore[operator]
            except (OSError, AssertionError, TruncatedError) as error:
                self.failed.append(f"{once}: {error!r}")

    def _anew(self) -> None:
        assert fetch(self._sidecar.inbound, "/").status == 200
        self.answered += 1

    def _kept(self) -> None:
        with Client(self._sidecar.inbound) as client:
            while not self._over.is_set():
                answer = client.ask("GET", "/", {"Host": "app"})
                assert answer.status == 200
                self.answered += 1
                if "close" in (answer.get("connection") or ""):
                    return


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin.running(answering(reply(body=b"fine"))) as running:
        yield running


@BOTH
def test_upgrades_under_load_lose_nothing(origin: Origin, workers: int) -> None:
    config = CONFIG.format(workers=workers)
    with Upgraded.running(config, app=origin.address) as sidecar, Load(sidecar).running() as load:
        for number in range(1, TIMES + 1):
            before = load.answered
            assert sidecar.upgrade() == ""
            assert len(sidecar.successors()) == number
            eventually(lambda before=before: load.answered > before + 50, 10.0, "traffic")  # type: ignore[misc]
        assert sidecar.process.wait(30.0) == 0
    assert load.failed == []


@BOTH
def test_a_new_process_that_cannot_start_leaves_the_old_one(origin: Origin, workers: int) -> None:
    with Upgraded.running(CONFIG.format(workers=workers), app=origin.address) as sidecar:
        sidecar.file.write_text("version: 1\nno_such_key: 1\n")
        said = sidecar.upgrade()
        assert "ended with exit code 1; this one goes on" in said
        assert sidecar.process.poll() is None
        assert fetch(sidecar.inbound, "/").status == 200
        assert sidecar.probe("/readyz").status == 200


def test_the_signal_does_the_same(origin: Origin) -> None:
    with Upgraded.running(CONFIG.format(workers=1), app=origin.address) as sidecar:
        sidecar.signal(signal.SIGUSR2)
        assert sidecar.process.wait(20.0) == 0
        assert fetch(sidecar.inbound, "/").status == 200
        pid = sidecar.admin_json("/info")["pid"]
        assert [pid] == sidecar.successors()
        assert not Path(f"/proc/{sidecar.pid}").exists() or sidecar.pid != pid
