"""A sidecar of several processes as the tests see it: side by side, or one after the other.

Knows which processes there are and which connections each has; what is done to them is decided
elsewhere.
"""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

from .callers import echo
from .harness import Message, Sidecar, answering, eventually
from .harness.origin import Script
from .harness.sidecar import run


class Crew(Sidecar):
    """A sidecar of several processes."""

    def pids(self) -> list[int]:
        """Of the workers that run, as the kernel knows them."""
        return workers_of(self.pid)

    def wait_workers(self, count: int, within: float = 5.0) -> list[int]:
        """So many run, and all of them serve."""

        def there() -> bool:
            ready = {line["worker"]: line["pid"] for line in self.events("worker_ready")}
            return sorted(self.pids()) == sorted(set(ready.values()) & set(self.pids())) and (
                len(self.pids()) == count
            )

        eventually(there, within, f"{count} workers")
        return self.pids()

    def served_by(self) -> dict[int, int]:
        """How many connections each worker has, by pid."""
        return {pid: connections_of(pid, self.inbound[1]) for pid in self.pids()}


def workers_of(pid: int) -> list[int]:
    """The children of a process that run."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if state_of(int(child)) != "Z"]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def connections_of(pid: int, port: int) -> int:
    """Connections to a port that a process holds."""
    ours = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    each = [line.split() for line in lines]
    inodes = {one[9] for one in each if one[1].endswith(ours) and one[3] == "01"}
    held = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = str(fd.readlink())
        except OSError:
            continue
        held += name.startswith("socket:[") and name[8:-1] in inodes
    return held


def slow(seconds: float) -> Script:
    """An app that takes its time."""

    def answer(message: Message) -> bytes:
        time.sleep(seconds)
        return echo(message)

    return answering(answer)


class Successive(Sidecar):
    """A sidecar whose process changes by upgrades: what is stopped at the end is the latest."""

    def successors(self) -> list[int]:
        lines = self.log_lines()
        return [line["successor"] for line in lines if line["event"] == "upgrade_handed_over"]

    def stop(self) -> None:
        latest = self.successors()
        if not latest:
            super().stop()
            return
        end(latest[-1])
        self.process.wait(10.0)

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
