"""A log whose disk is full costs lines, which are counted, and never a request."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Client, Origin, Sidecar, eventually

CONFIG = """
inbound: {listen: <inbound>, app: http://<app>}
logs: {level: info, format: json, slow_loop: off, access: {errors: true, sample: 100%}}
"""
DROPPED = "meshproxy_log_lines_dropped_total"
REQUESTS = 2000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 64 KiB, where this user may have one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def ask(sidecar: Sidecar, count: int) -> None:
    """So many requests on one connection; each must be answered with 200."""
    with Client(sidecar.inbound) as client:
        for _ in range(count):
            client.send(b"GET /orders HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.response().status == 200


def settled(sidecar: Sidecar) -> float:
    """How many lines are lost, once all that were gathered are written or lost."""
    seen = [-1.0]

    def is_quiet() -> bool:
        # Two flushes' worth of looking at the same number.
        seen.append(sidecar.total(DROPPED))
        return len(seen) > 60 and len(set(seen[-60:])) == 1

    eventually(is_quiet, within=20.0, what="a quiet log")
    return seen[-1]


def test_f41_standard_error_that_takes_nothing_costs_every_line_and_no_request(app: Origin) -> None:
    with Sidecar.running(CONFIG, log=Path("/dev/full"), app=app.address) as sidecar:
        before = settled(sidecar)
        assert before > 0  # it could not say that it is ready
        ask(sidecar, REQUESTS)
        eventually(
            lambda: sidecar.total(DROPPED) >= before + REQUESTS, within=20.0, what="every line"
        )
        assert settled(sidecar) == before + REQUESTS


def test_f41_a_disk_that_fills_up_costs_the_lines_that_are_not_on_it(
    app: Origin, small_disk: Path
) -> None:
    log = small_disk / "log"
    with Sidecar.running(CONFIG, log=log, app=app.address) as sidecar:
        ask(sidecar, REQUESTS)
        lost = settled(sidecar)
        full = written(log)
        assert 0 < full < REQUESTS
        assert full + lost == REQUESTS
        # Somebody makes room: what is said from then on is said whole.
        os.truncate(log, 0)
        ask(sidecar, 50)
        eventually(lambda: written(log) == 50, what="the lines after the full disk")
        assert settled(sidecar) == lost


def written(log: Path) -> int:
    """Whole access lines in the file; one that lacks only its end of line is not lost."""
    return sum(map(is_access, log.read_bytes().replace(b"\0", b"").split(b"\n")))


def is_access(line: bytes) -> bool:
    try:
        return bool(json.loads(line)["event"] == "request")
    except ValueError:
        return False  # cut
