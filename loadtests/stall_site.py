"""One sidecar, its origin and a bystander: where a trial takes place, and what is read off it.

Every trial has a site of its own, so that no trial's memory or sockets are another's.
"""

from __future__ import annotations

import http.client
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtests.bystander import Bystander, Seen
from loadtests.processes import Child, Group, answers, free_port
from loadtests.tools import program

ROOT = Path(__file__).resolve().parent.parent
QUIET = 6.0
"""Seconds that the bystander is watched before an attack; what comes after one may still be its."""

FILES = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
"""Open files for each process: as many as this machine grants, up to what is ever needed."""

CONFIG = """version: 1
inbound: {{listen: 127.0.0.1:{inbound}, app: "http://127.0.0.1:{origin}", {options}}}
metrics: {{listen: 127.0.0.1:{metrics}}}
admin: {{listen: 127.0.0.1:{admin}}}
limits: {{{limits}}}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    inbound: int
    origin: int
    metrics: int
    admin: int


@dataclass(slots=True)
class Scene:
    """What was seen of one attack; sizes in bytes."""

    normal: Seen
    during: Seen
    outcome: dict[str, Any]
    rss_before: int = 0
    rss: int = 0
    rss_peak: int = 0
    stats: dict[str, int] | None = None

    @property
    def ratio(self) -> float:
        """The others' p99 under attack to their normal one."""
        return self.during.percentile(0.99) / self.normal.percentile(0.99)

    @property
    def latencies(self) -> str:
        quiet, busy = self.normal, self.during
        return (
            f"p50 {quiet.percentile(0.5):.2f} to {busy.percentile(0.5):.2f} ms, "
            f"p99 {quiet.percentile(0.99):.2f} to {busy.percentile(0.99):.2f} ms"
        )


class Site:
    """A running sidecar; `limits` and `options` are YAML for its config."""

    def __init__(self, group: Group, folder: Path, limits: str, options: str, nofile: int) -> None:
        self.ports = Ports(*(free_port() for _ in range(4)))
        self._group = group
        origin = [sys.executable, "-m", "loadtests.stall_origin", str(self.ports.origin)]
        group.start("origin", with_files(FILES, origin), cwd=ROOT).wait_ready(
            self.ports.origin, "/"
        )
        file = folder / "meshproxy.yaml"
        ports = {name: getattr(self.ports, name) for name in Ports.__slots__}
        file.write_text(CONFIG.format(limits=limits, options=options, **ports))
        argv = [sys.executable, "-m", "meshproxy", "run", "-c", str(file)]
        self.proxy: Child = group.start("meshproxy", with_files(nofile, argv), cwd=ROOT)
        self.proxy.wait_ready(self.ports.metrics, "/readyz")
        self.bystander = Bystander(self.ports.inbound)

    @classmethod
    @contextmanager
    def running(
        cls, limits: str = "", options: str = "timeout: 300s", nofile: int = FILES
    ) -> Iterator[Site]:
        with TemporaryDirectory(prefix="stalls-") as name, Group(Path(name)) as group:
            yield cls(group, Path(name), limits, options, nofile)

    def attacked(self, name: str, count: int, seconds: float, settle: float = 0.0) -> Scene:
        """The bystander's normal figures, and what all looked like under an attack."""
        self.bystander.watch(1.0)  # the first requests of a process are not its normal ones
        normal = self.bystander.watch(QUIET)
        scene = Scene(normal, Seen(), {}, rss_before=self.status("VmRSS"))
        self.forget_peak()
        argv = [sys.executable, "-m", "loadtests.attacks", name, str(self.ports.inbound)]
        argv += [str(count), str(seconds)]
        attack = self._group.start("attack", with_files(FILES, argv), cwd=ROOT)
        wait_armed(attack)
        time.sleep(settle)
        scene.during = self.bystander.watch(seconds - settle - 1.0)
        scene.rss = self.status("VmRSS")
        scene.rss_peak = self.status("VmHWM")
        scene.stats = self.stats()
        attack.process.wait(seconds + 60)
        scene.outcome = json.loads(attack.tail(1))
        self.bystander.leave()
        return scene

    def stats(self) -> dict[str, int]:
        """What the origin counted."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.origin, timeout=5.0)
        try:
            connection.request("GET", "/stats")
            counts: dict[str, int] = json.loads(connection.getresponse().read())
            return counts
        finally:
            connection.close()

    def total(self, name: str) -> float:
        """The sum over all series of one metric."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.metrics, timeout=5.0)
        try:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read().decode()
        finally:
            connection.close()
        found = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)
        return sum(map(float, found))

    def status(self, key: str) -> int:
        """A size of the sidecar's, from the kernel, in bytes."""
        text = Path(f"/proc/{self.proxy.pid}/status").read_text()
        found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def forget_peak(self) -> None:
        Path(f"/proc/{self.proxy.pid}/clear_refs").write_text("5")

    def healthy(self) -> bool:
        """Whether the probe, the metrics and the admin port all answer."""
        metrics, admin = self.ports.metrics, self.ports.admin
        return (
            answers(metrics, "/readyz") and answers(metrics, "/metrics") and answers(admin, "/info")
        )

    def log_lines(self) -> list[str]:
        return self.proxy.log.read_text(errors="replace").splitlines()


def with_files(nofile: int, argv: list[str]) -> list[str]:
    """The same command with another limit on open files (prlimit execs: same pid)."""
    return [program("prlimit"), f"--nofile={nofile}", *argv]


def wait_armed(attack: Child, timeout: float = 60.0) -> None:
    ends = time.monotonic() + timeout
    while not attack.log.read_text().startswith("armed"):
        if time.monotonic() > ends or attack.process.poll() is not None:
            raise subprocess.SubprocessError(f"the attack did not begin:\n{attack.tail()}")
        time.sleep(0.02)
