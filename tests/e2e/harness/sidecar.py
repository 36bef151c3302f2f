"""The proxy as its users run it: the command, a file, ports; and what it tells about itself.

A config is YAML text in which `<name>` stands for a free loopback address (or one that the test
gives); what every test needs and few care about (metrics, admin, logs) is added when left out.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

from prometheus_client.parser import text_string_to_metric_families

from .client import fetch
from .message import Message
from .ports import LOOPBACK, Address, free_port
from .waiting import eventually

ROOT = Path(__file__).resolve().parents[3]

_COMMON = {
    "version": "version: 1",
    "service": "service: {name: end-to-end}",
    "metrics": "metrics: {listen: <metrics>}",
    "admin": "admin: {listen: <admin>}",
    "logs": "logs: {level: info, format: json, access: {errors: true, sample: 100%}}",
    "shutdown": "shutdown: {drain: 1s}",
}


class Sidecar:
    """One running proxy. `given` fills placeholders of the config; the rest become free ports.

    `BUGS` is what must not be in its log at the end.
    """

    BUGS = ("Traceback", '"event":"bug"')

    def __init__(
        self, config: str, given: Mapping[str, str], folder: Path, log: Path | None = None
    ) -> None:
        self._given = dict(given)
        self.folder = folder
        self.file = folder / "meshproxy.yaml"
        self.log = log or folder / "log"
        self.write(config)
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.words(),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment(),
                cwd=folder,
            )

    @classmethod
    @contextmanager
    def running(cls, config: str, log: Path | None = None, **given: str) -> Iterator[Self]:
        """Start one, wait until it is ready, and stop it at the end; `log` takes what it says."""
        with tempfile.TemporaryDirectory(prefix="sidecar-") as folder:
            sidecar = cls(config, given, Path(folder), log)
            try:
                sidecar.wait_ready()
                yield sidecar
            finally:
                sidecar.stop()
            for bug in cls.BUGS:
                assert bug not in sidecar.logged(), sidecar.logged()[-4000:]

    def words(self) -> list[str]:
        """The command that is run."""
        return command("run", "-c", str(self.file))

    # Configuration

    def render(self, config: str) -> str:
        """The whole file: common sections added, placeholders filled."""
        missing = (text for key, text in _COMMON.items() if not _has_section(config, key))
        return re.sub(r"<(\w+)>", self._fill, "\n".join((*missing, config)))

    def write(self, config: str) -> None:
        """Put the config where the running proxy reads it, in place."""
        self.file.write_text(self.render(config))

    def where(self, name: str) -> Address:
        """The address that stands for `<name>`."""
        host, _, port = self._given[name].rpartition(":")
        return host, int(port)

    @property
    def inbound(self) -> Address:
        return self.where("inbound")

    @property
    def outbound(self) -> Address:
        return self.where("outbound")

    @property
    def metrics(self) -> Address:
        return self.where("metrics")

    @property
    def admin(self) -> Address:
        return self.where("admin")

    # Life

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_ready(self, within: float = 20.0) -> None:
        eventually(self._is_ready, within, "readiness")

    def stop(self) -> None:
        """SIGTERM twice: the second ends at once what the first would drain."""
        for patience in (0.3, 5.0):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(patience)
                return
            except subprocess.TimeoutExpired:
                continue
        self.process.kill()
        self.process.wait()
        raise AssertionError("it did not end on SIGTERM:\n" + self.logged()[-4000:])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    # What it tells

    def logged(self) -> str:
        # A device such as /dev/full keeps nothing, and reads without an end.
        return self.log.read_text(errors="replace") if self.log.is_file() else ""

    def log_lines(self) -> list[dict[str, Any]]:
        """Every whole JSON line written so far."""
        whole = self.logged().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log_lines() if line.get("event") == event]

    def open_files(self) -> int:
        """How many descriptors it has, sockets among them."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def rss(self) -> int:
        """Resident bytes now."""
        return self._status("VmRSS")

    def peak_rss(self) -> int:
        """The most resident bytes since forget_peak."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        """Processor time that it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metrics_text(self) -> str:
        return self.probe("/metrics").body.decode()

    def probe(self, path: str, headers: Mapping[str, str] | None = None) -> Message:
        """An answer of the metrics port, whose loopback hears nobody who calls it otherwise."""
        return fetch(self.metrics, path, headers={"Host": "127.0.0.1", **(headers or {})})

    def samples(self, name: str, **labels: str) -> list[float]:
        """The values of the samples whose labels include these."""
        return [
            sample.value
            for family in text_string_to_metric_families(self.metrics_text())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        return sum(self.samples(name, **labels))

    def admin_json(self, path: str) -> dict[str, Any]:
        answer = fetch(self.admin, path, headers={"Host": "127.0.0.1"})
        assert answer.status == 200, answer
        return cast("dict[str, Any]", json.loads(answer.body))

    def reload(self) -> Message:
        """POST /reload and its answer."""
        return fetch(self.admin, "/reload", "POST", headers={"Host": "127.0.0.1"})

    def _is_ready(self) -> bool:
        code = self.process.poll()
        assert code is None, f"it ended with {code}:\n{self.logged()[-4000:]}"
        try:
            return self.probe("/readyz").status == 200
        except OSError:
            return False

    def _fill(self, match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in self._given:
            self._given[name] = f"{LOOPBACK}:{free_port()}"
        return self._given[name]

    def _status(self, key: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
        assert found is not None
        return int(found.group(1)) * 1024


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "meshproxy", *arguments]


def environment() -> dict[str, str]:
    """This environment, with the checkout importable and no config of the user's own.

    Nor a size of a terminal, which some who run tests set.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("MESHPROXY_") and key not in ("COLUMNS", "LINES")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One command of the proxy, to its end."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=20,
        env=environment(),
        cwd=cwd,
        check=False,
    )


def _has_section(config: str, key: str) -> bool:
    return re.search(rf"^{key}:", config, re.MULTILINE) is not None
