"""Upgrade in place: a new process on the same sockets, and nobody who calls meanwhile notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .callers import calling, deliveries, echo
from .crews import Successive
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
