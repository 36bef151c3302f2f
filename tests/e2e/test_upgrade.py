"""Upgrade in place: a new process on the same sockets, and nobody who calls meanwhile notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshproxy.control.sockets import READY

from .callers import calling, deliveries, echo
from .crews import Successive, workers_of
from .harness import Origin, answering, eventually, fetch

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


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin.running(answering(echo)) as running:
        yield running


@BOTH
def test_upgrades_under_load_lose_nothing(origin: Origin, workers: int) -> None:
    config = CONFIG.format(workers=workers)
    with Successive.running(config, app=origin.address) as sidecar:
        with calling(sidecar, kept=3, anew=3) as callers:
            ledger = callers.ledger
            for number in range(1, TIMES + 1):
                before = ledger.ok
                assert sidecar.upgrade() == ""
                assert len(sidecar.successors()) == number
                eventually(lambda before=before: ledger.ok > before + 50, 10.0, "traffic")  # type: ignore[misc]
            assert sidecar.process.wait(10.0) == 0
        assert ledger.outcomes() == {"200": len(ledger.sent)}
        assert ledger.verdicts(deliveries(origin)) == []


@BOTH
def test_a_new_process_that_cannot_start_leaves_the_old_one(origin: Origin, workers: int) -> None:
    with Successive.running(CONFIG.format(workers=workers), app=origin.address) as sidecar:
        sidecar.file.write_text("version: 1\nno_such_key: 1\n")
        said = sidecar.upgrade()
        assert "ended with exit code 1; this one goes on" in said
        assert sidecar.process.poll() is None
        assert fetch(sidecar.inbound, "/").status == 200
        assert sidecar.probe("/readyz").status == 200


def test_the_signal_does_the_same(origin: Origin) -> None:
    with Successive.running(CONFIG.format(workers=1), app=origin.address) as sidecar:
        sidecar.signal(signal.SIGUSR2)
        assert sidecar.process.wait(20.0) == 0
        assert fetch(sidecar.inbound, "/").status == 200
        pid = sidecar.admin_json("/info")["pid"]
        assert [pid] == sidecar.successors()
        assert not Path(f"/proc/{sidecar.pid}").exists() or sidecar.pid != pid


HELD = """
import os
if {ready!r} in os.environ:
    open({gate!r}, "rb").read()
"""
"""A `sitecustomize`: a process that is to follow another waits at a gate before it begins."""


@BOTH
def test_who_is_ended_half_way_ends_and_so_does_the_new_one(
    origin: Origin, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "sitecustomize.py").write_text(HELD.format(ready=READY, gate=str(gate)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    config = CONFIG.format(workers=workers).replace(
        "20s", "1s"
    )  # the app's own calls go on so long
    with (
        Successive.running(config, app=origin.address) as sidecar,
        ThreadPoolExecutor() as pool,
    ):
        asked = pool.submit(sidecar.upgrade)
        started = eventually(lambda: sidecar.events("upgrade_started"), 10.0, "the upgrade")
        (new,) = (line["successor"] for line in started)
        assert fetch(sidecar.inbound, "/").status == 200, "the old one serves on"
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait(20.0) == 0
        assert not Path(f"/proc/{new}").exists()
        assert f"{new} is not wanted any more: this process ends" in asked.result(10.0)
        assert sidecar.successors() == []


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
def test_an_upgrade_may_change_the_number_of_workers(
    origin: Origin, before: int, after: int
) -> None:
    with Successive.running(CONFIG.format(workers=before), app=origin.address) as sidecar:
        with calling(sidecar, kept=2, anew=2) as callers:
            ledger = callers.ledger
            sidecar.write(CONFIG.format(workers=after))
            assert sidecar.upgrade() == ""
            assert sidecar.process.wait(10.0) == 0
            served = ledger.ok
            eventually(lambda: ledger.ok > served + 50, 10.0, "traffic")
            (new,) = sidecar.successors()
            # One worker is one process, without anybody who looks after it.
            eventually(lambda: len(workers_of(new)) == (after if after > 1 else 0), 5.0, "workers")
        assert ledger.outcomes() == {"200": len(ledger.sent)}
        assert ledger.verdicts(deliveries(origin)) == []


@BOTH
def test_an_address_that_has_just_changed_is_the_new_ones(origin: Origin, workers: int) -> None:
    config = CONFIG.format(workers=workers)
    with Successive.running(config, app=origin.address) as sidecar:
        sidecar.write(config.replace("<inbound>", "<moved>"))
        assert sidecar.upgrade() == ""
        assert fetch(sidecar.where("moved"), "/").status == 200
        assert sidecar.process.wait(10.0) == 0
        assert fetch(sidecar.where("moved"), "/").status == 200


class Contained(Successive):
    """The first process of a namespace, as in a container."""

    def words(self) -> list[str]:
        return ["unshare", "--pid", "--fork", "--kill-child", *super().words()]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a namespace of processes")
def test_the_first_process_of_a_container_is_replaced_by_its_orchestrator(origin: Origin) -> None:
    with Contained.running(CONFIG.format(workers=1), app=origin.address) as sidecar:
        assert "this is PID 1 of a container: its orchestrator replaces it" in sidecar.upgrade()
        assert fetch(sidecar.inbound, "/").status == 200
