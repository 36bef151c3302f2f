"""What a run cost and what the client saw: /proc of the proxy, the report of wrk.

CPU time of a proxy divided by the requests it served stays meaningful on a busy
machine, where requests per second do not. Knows neither proxies nor tables.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1024.0 * 1024.0
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class WrkError(Exception):
    """wrk could not connect, or said nothing of use."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of request, and over how many kept-alive connections it is asked.

    `args` are for the script.
    """

    name: str
    path: str
    connections: int
    script: str | None = None
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client saw in one run: latencies in seconds, the rest are counts."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    socket_errors: int

    @property
    def broken(self) -> int:
        """Requests that did not end as they should: must be 0."""
        return self.refused + self.socket_errors


@dataclass(frozen=True, slots=True)
class Sample:
    """One proxy in one run: CPU seconds per request, RSS in MiB, and what the client saw.

    `user` is the part of `cpu` that was not the kernel's.
    """

    cpu: float
    rss: float
    seen: Seen
    user: float = 0.0

    @property
    def rate(self) -> float:
        return self.seen.requests / self.seen.seconds


SCENARIOS = (
    Scenario("small-get", "/small", 64),
    Scenario("post-10k", "/post", 64, "post_10k.lua"),
    Scenario("download-1m", "/1m", 16),
)


def family(pid: int) -> list[int]:
    """The process and all its living descendants."""
    found = [pid]
    for parent in found:  # grows while it is walked: breadth first
        for listing in Path(f"/proc/{parent}/task").glob("*/children"):
            found.extend(int(child) for child in listing.read_text().split())
    return found


def cpu_split(pid: int) -> tuple[float, float]:
    """User and system time of a process and its descendants (proc(5), fields 14 and 15)."""
    user = system = 0
    for member in family(pid):
        # The second field is the command in parentheses, and may itself hold spaces.
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return user * TICK, system * TICK


def cpu_seconds(pid: int) -> float:
    """User and system time together."""
    return sum(cpu_split(pid))


def rss_mib(pid: int) -> float:
    """Resident memory of a process and its descendants, in MiB."""
    pages = sum(int(Path(f"/proc/{m}/statm").read_text().split()[1]) for m in family(pid))
    return pages * PAGE / MIB


def parse_wrk(text: str) -> Seen:
    """Read the report of `wrk --latency`; `WrkError` when it is not one."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m|h),", text)
    if total is None:
        raise WrkError(f"wrk said nothing of use:\n{text}")
    errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Seen(
        requests=int(total[1]),
        seconds=float(total[2]) * UNITS[total[3]],
        p50=_percentile(text, 50),
        p99=_percentile(text, 99),
        refused=int(refused[1]) if refused else 0,
        socket_errors=sum(map(int, errors.groups())) if errors else 0,
    )


def _percentile(text: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m|h)\s*$", text, re.MULTILINE)
    return float(found[1]) * UNITS[found[2]] if found else float("nan")


def run_wrk(argv: list[str], scenario: Scenario, port: int, seconds: int) -> Seen:
    """Drive a port for some seconds; `argv` is how wrk is started here."""
    line = [*argv, "-t1", f"-c{scenario.connections}", f"-d{seconds}s", "--latency"]
    line += ["--timeout", "10s", "-H", "x-client-id: bench"]
    if scenario.script is not None:
        line += ["-s", str(Path(__file__).with_name(scenario.script))]
    line.append(f"http://127.0.0.1:{port}{scenario.path}")
    line += ["--", *scenario.args] if scenario.args else []
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=seconds + 30)
    return parse_wrk(done.stdout + done.stderr)


def sample(argv: list[str], scenario: Scenario, port: int, seconds: int, pid: int) -> Sample:
    """Drive a proxy and say what that cost it."""
    user, system = cpu_split(pid)
    seen = run_wrk(argv, scenario, port, seconds)
    user_after, system_after = cpu_split(pid)
    served = max(seen.requests, 1)
    spent = user_after - user + system_after - system
    return Sample(spent / served, rss_mib(pid), seen, (user_after - user) / served)
