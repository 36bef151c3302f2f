"""A real systemd for one test: a user's manager of its own, with a control group of its own.

A machine that was not booted by systemd can run one all the same: in a mount namespace whose
/run says otherwise. What only the first process may give, other users and a closed file system,
is left out of the unit; how it starts, watches, reloads and stops a service is the same.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.harness import eventually

from .tools import CONFIG, ROOT, tool

SERVICE = "meshproxy"
MANAGER = Path("/lib/systemd/systemd")
ROOTS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
KEPT = (
    "Type", "NotifyAccess", "ExecReload", "KillMode", "TimeoutStopSec", "Restart", "RestartSec",
)  # fmt: skip
"""Keys of the unit that a user's manager can keep."""

SCRIPT = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit 9
for group in {groups}; do echo $$ > $group/cgroup.procs || exit 9; done
exec {manager} --user --unit=basic.target --log-target=console
"""


class Manager:
    """What is asked of it, by `systemctl --user`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._systemctl = tool("systemctl")

    def tell(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._systemctl, "--user", *words],
            env=dict(self._environment), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def of(self, key: str) -> str:
        return self.tell("show", SERVICE, "-p", key, "--value").stdout.strip()

    @property
    def pid(self) -> int:
        return int(self.of("MainPID") or 0)


def unit(config: Path, watchdog: str) -> str:
    """The product's unit, with the program and the config of the test."""
    text = (CONFIG / "systemd/meshproxy.service").read_text()
    kept = re.findall(rf"^(?:{'|'.join(KEPT)})=.*$", text, re.MULTILINE)
    assert len(kept) == len(KEPT), kept
    run = f"{sys.executable} -m meshproxy"
    return "\n".join(
        ["[Service]", *kept, f"WatchdogSec={watchdog}", f"WorkingDirectory={ROOT}",
         f"ExecStartPre={run} check -c {config}", f"ExecStart={run} run -c {config}", ""]
    )  # fmt: skip


@contextmanager
def managing(text: str, watchdog: str = "2") -> Iterator[tuple[Manager, Path]]:
    """A manager that knows the unit, and the config's file; both are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="sd-", dir="/tmp") as name:
        home = Path(name)
        config = home / "meshproxy.yaml"
        config.write_text(text)
        units = home / ".config/systemd/user"
        units.mkdir(parents=True)
        (units / f"{SERVICE}.service").write_text(unit(config, watchdog))
        (home / "run").mkdir(mode=0o700)
        environment = {**os.environ, "HOME": name, "XDG_RUNTIME_DIR": str(home / "run")}
        with _groups(home.name) as groups:
            process = _start(environment, groups, home / "log")
            try:
                manager = Manager(environment)
                eventually(lambda: _is_up(manager, process, home / "log"), 20.0, "systemd")
                yield manager, config
                manager.tell("stop", SERVICE)
            finally:
                _end(process, groups)


def _start(
    environment: Mapping[str, str], groups: list[Path], log: Path
) -> subprocess.Popen[bytes]:
    script = SCRIPT.format(groups=" ".join(map(str, groups)), manager=MANAGER)
    with log.open("wb") as sink:
        return subprocess.Popen(
            [tool("unshare"), "-m", "sh", "-c", script],
            env=dict(environment), stdout=sink, stderr=sink, start_new_session=True,
        )  # fmt: skip


def _is_up(manager: Manager, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        pytest.skip(f"systemd cannot run here: {process.returncode}, {log.read_text()[-300:]}")
    return manager.tell("is-active", "basic.target").returncode == 0


@contextmanager
def _groups(name: str) -> Iterator[list[Path]]:
    """A control group in each hierarchy that systemd uses, or a skip."""
    if not MANAGER.is_file() or shutil.which("unshare") is None:
        pytest.skip("systemd is missing: apt-get install systemd")
    made: list[Path] = []
    try:
        for root in ROOTS:
            if Path(root, "cgroup.procs").is_file():
                made.append(Path(root, name))
                made[-1].mkdir()
        if not made:
            pytest.skip("no control groups are mounted here")
        yield made
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    finally:
        for group in made:
            _remove(group)


def _end(process: subprocess.Popen[bytes], groups: list[Path]) -> None:
    for group in groups:
        for listed in group.rglob("cgroup.procs"):
            for pid in listed.read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    process.kill()
    process.wait()


def _remove(group: Path) -> None:
    folders = [*sorted(group.rglob("*"), reverse=True), group]
    for folder in folders:
        if folder.is_dir():
            eventually(lambda folder=folder: _gone(folder), 5.0, f"the end of {folder}")  # type: ignore[misc]


def _gone(folder: Path) -> bool:
    with suppress(OSError):  # a process in it is still ending
        folder.rmdir()
    return not folder.exists()
