"""The list of system calls is enough for everything a sidecar does, and for little else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.crews import Crew
from tests.e2e.harness import Client, Origin, Sidecar, eventually, fetch
from tests.e2e.harness.client import request
from tests.e2e.harness.sidecar import command

from .confined import library
from .tools import CONFIG, ROOT

PROFILE = CONFIG / "container/seccomp.json"
RULES = json.loads(PROFILE.read_text())["syscalls"]
PLAIN = {name for rule in RULES if "args" not in rule for name in rule["names"]}
ALLOWED = {name for rule in RULES if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}

pytestmark = [
    pytest.mark.server("libseccomp"),
    pytest.mark.skipif(library() is None, reason="libseccomp.so.2 is missing: libseccomp2"),
]

CONFINED = (sys.executable, "-m", "tests.deploy.confined", str(PROFILE))

SIDECAR = """
service: {name: confined, version: "1"}
inbound: {listen: <inbound>, app: http://<app>, health_check: {path: /, interval: 1s}}
outbound:
  listen: <outbound>
  connect: {allow: ["<app>"], networks: [127.0.0.0/8]}
  services:
    echo: {endpoints: ["<app>"], prefix: /echo, hosts: [echo]}
    named: {endpoints: ["localhost:<port>"], prefix: /named}
shutdown: {drain: 5s}
"""


@pytest.fixture
def app() -> Iterator[Origin]:
    with Origin.running() as running:
        yield running


class Confined(Sidecar):
    """One that the tests below start, under the list."""

    def words(self) -> list[str]:
        return [*CONFINED, *super().words()]


class ConfinedCrew(Confined, Crew):
    """One of several workers."""


class Commanding(Confined):
    """One that runs a command, which ends with a code of its own when the gate is opened."""

    @property
    def gate(self) -> Path:
        return self.file.with_name("gate")

    def words(self) -> list[str]:
        if not self.gate.exists():
            os.mkfifo(self.gate)
        script = f"open({str(self.gate)!r}).read(); exit(4)"
        return [*super().words(), "--", sys.executable, "-c", script]


def test_a_sidecar_does_all_it_does_under_it(app: Origin) -> None:
    config = SIDECAR.replace("<port>", app.address.rpartition(":")[2])
    with Confined.running(config, app=app.address) as sidecar:
        assert Path(f"/proc/{sidecar.pid}/status").read_text().count("Seccomp:\t2") == 1
        assert fetch(sidecar.inbound, "/").status == 200
        assert fetch(sidecar.outbound, "/echo/x", "POST", body=b"x" * 100_000).status == 200
        assert fetch(sidecar.outbound, "/named/x").status == 200, "a name is looked up"
        with Client(sidecar.outbound) as client:
            client.send(request("CONNECT", app.address, {"Host": app.address}))
            assert client.reader.response_head().status == 200
            assert client.ask("GET", "/in", {"Host": app.address}).status == 200
        sidecar.write(config.replace('"1"', '"2"'))
        eventually(
            lambda: sidecar.admin_json("/info")["service"]["version"] == "2", what="the reload"
        )
        sidecar.signal(signal.SIGHUP)
        assert sidecar.reload().status == 200
        assert sidecar.total("meshproxy_requests_total") > 0
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait(10) == 0


def test_workers_do_all_they_do_under_it(app: Origin) -> None:
    config = "workers: 2\n" + SIDECAR.replace("<port>", app.address.rpartition(":")[2])
    with ConfinedCrew.running(config, app=app.address) as crew:
        first = crew.wait_workers(2)
        assert fetch(crew.inbound, "/").status == 200
        os.kill(first[0], signal.SIGKILL)
        eventually(lambda: first[0] not in crew.pids(), what="its end")
        crew.wait_workers(2)
        assert fetch(crew.outbound, "/echo/x").status == 200
        assert len(crew.admin_json("/info")["workers"]) == 2
        os.kill(first[1], signal.SIGSTOP)  # found stuck, looked at and killed
        eventually(lambda: first[1] not in crew.pids(), 10.0, "its end")
        crew.wait_workers(2)
        crew.write(config.replace('"1"', '"2"'))
        eventually(lambda: version(crew) == "2", what="the reload")
        crew.signal(signal.SIGTERM)
        assert crew.process.wait(10) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_command_is_run_under_it(app: Origin, workers: int) -> None:
    config = f"workers: {workers}\n" + SIDECAR.replace("<port>", app.address.rpartition(":")[2])
    with Commanding.running(config, app=app.address) as sidecar:
        sidecar.gate.open("w").close()  # returns when the command has opened it, too
        assert sidecar.process.wait(20) == 4


def test_what_a_list_refuses_is_named(app: Origin, tmp_path: Path) -> None:
    profile = json.loads(PROFILE.read_text())
    profile["syscalls"] = [one for one in profile["syscalls"] if "memfd_create" not in one["names"]]
    narrow = tmp_path / "seccomp.json"
    narrow.write_text(json.dumps(profile))
    file = tmp_path / "workers.yaml"
    file.write_text(f"version: 1\nworkers: 2\ninbound: {{app: 'http://{app.address}'}}\n")
    done = subprocess.run(
        [*CONFINED[:-1], str(narrow), *command("run", "-c", str(file))],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("meshproxy run: Operation not permitted, at ")
    assert "os.memfd_create(" in done.stderr


def version(sidecar: Sidecar) -> str:
    told: str = sidecar.admin_json("/info")["service"]["version"]
    return told


@pytest.mark.parametrize(
    "attempt",
    [
        "os.unshare(0x10000000)",
        "libc.ptrace(0, 0, 0, 0) == -1 and refused()",
        "libc.syscall(425, 1, 0) == -1 and refused()",  # io_uring_setup, by its number
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(40, socket.SOCK_STREAM)",
        "os.mkfifo('/tmp/confined-fifo')",
        "os.symlink('a', '/tmp/confined-link')",
        "os.memfd_create('x', 0)",
        "fcntl.ioctl(0, 0x5412, b'x')",  # TIOCSTI types into a terminal
        "libc.prctl(4, 1) == -1 and refused()",
    ],
)
def test_the_rest_is_refused(attempt: str) -> None:
    script = f"""
import ctypes, errno, fcntl, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def refused(): raise OSError(ctypes.get_errno(), "refused")
if not hasattr(os, "unshare"):
    os.unshare = lambda flags: libc.unshare(flags) == -1 and refused()
try:
    {attempt}
except OSError as error:
    sys.exit(0 if error.errno == errno.EPERM else f"{{error}}")
sys.exit("it was allowed")
"""
    done = subprocess.run(
        [*CONFINED, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_thread_can_be_made_but_no_namespace() -> None:
    script = (
        "import threading, subprocess;"
        "t = threading.Thread(target=print); t.start(); t.join();"
        "subprocess.run(['/bin/true'], check=True)"
    )
    done = subprocess.run([*CONFINED, sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_every_ioctl_of_the_code_is_listed() -> None:
    source = "".join(file.read_text() for file in (ROOT / "meshproxy").rglob("*.py"))
    used = set(re.findall(r"termios\.([A-Z]\w+)", source))
    assert "TIOCOUTQ" in used
    listed = {rule["args"][0]["value"] for rule in RULES if rule["names"] == ["ioctl"]}
    assert [name for name in sorted(used) if getattr(termios, name) not in listed] == []


def test_nothing_is_listed_twice_or_needs_a_capability() -> None:
    names = [name for rule in RULES for name in rule["names"] if "args" not in rule]
    assert len(names) == len(set(names))
    dangerous = {"mount", "umount2", "ptrace", "bpf", "unshare", "setns", "reboot", "kexec_load"}
    dangerous |= {"init_module", "keyctl", "add_key", "perf_event_open", "io_uring_setup", "chroot"}
    dangerous |= {"process_vm_readv", "userfaultfd", "personality", "setuid", "pivot_root"}
    assert not ALLOWED & dangerous
    assert not PLAIN & {"socket", "ioctl", "prctl", "clone"}, "only with their arguments looked at"
