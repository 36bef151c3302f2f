"""Trials of too much at once: no descriptors left, floods of requests, chunks, fields and hints.

And slowhttptest, which somebody else wrote. Each function is one trial.
"""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator

from loadtests.bystander import Seen
from loadtests.processes import answers
from loadtests.stall_report import Figure
from loadtests.stall_site import QUIET, Scene, Site
from loadtests.stall_trials import MIB, others
from loadtests.tools import program

FILES, CROWD = 128, 300
TOOL_COUNT = 500
TOOL_MODES = {
    "slow headers": ["-H", "-i", "2", "-x", "24"],
    "slow bodies": ["-B", "-i", "2", "-x", "24", "-s", "8192"],
    "ranges": ["-R", "-a", "5", "-b", "2000"],
    "slow reads": ["-X", "-n", "1", "-z", "32", "-w", "512", "-y", "1024", "-k", "3"],
}


def no_descriptors(seconds: float) -> Iterator[Figure]:
    """300 clients at once where 128 files may be open."""
    trial = f"{CROWD} clients, {FILES} files"
    with Site.running(nofile=FILES) as site:
        lines = len(site.log_lines())
        healthy, ends = [], time.monotonic() + seconds
        crowd = [crowd_client(site.ports.inbound) for _ in range(CROWD)]
        got = [first_status(each) for each in crowd]
        while time.monotonic() < ends:
            healthy.append(site.healthy())
            time.sleep(0.2)
        logged = site.log_lines()[lines:]
        for each in crowd:
            each.close()
        recovery = until_answered(site.ports.inbound)
    spoken = sum(1 for line in logged if '"event":"request"' not in line)
    counts = {status: got.count(status) for status in sorted(set(got))}
    answered = counts.get("200", 0) + counts.get("503", 0)
    yield Figure(
        trial, "neither 200 nor 503", CROWD - answered, "", 0.0,
        note=", ".join(f"{status}: {count}" for status, count in counts.items()),
    )  # fmt: skip
    yield Figure(
        trial, "log lines each second", spoken / seconds, "", 1.0, 10.0,
        note="access lines of requests that were served not counted",
    )  # fmt: skip
    yield Figure(trial, "recovered after", recovery, "s", 1.0)
    yield Figure(trial, "probe, metrics or admin silent", healthy.count(False), "", 0.0)


def crowd_client(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 5.0)
    sock.sendall(b"GET /small HTTP/1.1\r\nhost: service.test\r\n\r\n")
    return sock


def first_status(sock: socket.socket) -> str:
    sock.settimeout(2.0)
    try:
        data = sock.recv(4096)
    except TimeoutError:
        return "waits"
    except OSError:
        return "reset"
    return data[9:12].decode("latin-1") if data else "closed"


def until_answered(port: int) -> float:
    """Seconds until a new client is served."""
    began = time.monotonic()
    while time.monotonic() - began < 30.0:
        if answers(port, "/small"):
            return time.monotonic() - began
        time.sleep(0.01)
    return float("inf")


def floods(seconds: float) -> Iterator[Figure]:
    """One client that sends, up to 20 times a second, or an origin that answers, far too much."""
    for name, trial, statuses in (
        ("pipeline", "10,000 requests in one write", {"200"}),
        ("tiny-chunks", "100,000 one-byte chunks", {"400"}),
        ("extensions", "2 MB of chunk extensions", {"400"}),
        ("request-trailers", "2 MB of request trailers", {"400"}),
        ("interim", "10,000 interim answers", {"502", "103"}),
        ("trailers", "2 MB of answer trailers", {"502"}),
    ):
        with Site.running(options="timeout: 300s, concurrency: off") as site:
            scene = site.attacked(name, 1, seconds)
        yield from flood(trial, scene, statuses)


def flood(trial: str, scene: Scene, statuses: set[str]) -> Iterator[Figure]:
    seen = scene.outcome["statuses"]
    yield Figure(
        trial, "other than expected", sum(seen.values()) - sum(seen.get(s, 0) for s in statuses),
        "", 0.0, note=", ".join(f"{status}: {count}" for status, count in sorted(seen.items())),
    )  # fmt: skip
    yield Figure(trial, "RSS growth", (scene.rss_peak - scene.rss_before) / MIB, "MiB", 4.0, 8.0)
    yield Figure(
        trial, "others' p99", scene.during.percentile(0.99), "ms", 20.0, 50.0, scene.latencies
    )
    yield Figure(trial, "others' requests that failed", scene.during.failed, "", 0.0)


def slowhttptest(seconds: float) -> Iterator[Figure]:
    """Debian's tool in its four modes, 500 connections each."""
    for mode, options in TOOL_MODES.items():
        trial = f"slowhttptest, {mode}"
        with Site.running() as site, tempfile.TemporaryDirectory() as folder:
            site.bystander.watch(1.0)
            normal = site.bystander.watch(QUIET)
            before = site.status("VmRSS")
            argv = [program("slowhttptest"), *options, "-c", str(TOOL_COUNT), "-r", "100"]
            argv += ["-l", str(int(seconds)), "-p", "2", "-v", "1"]
            argv += ["-u", f"http://127.0.0.1:{site.ports.inbound}/big"]
            scene = Scene(normal, Seen(), {}, before)
            runner = threading.Thread(target=run_tool, args=(argv, folder, scene))
            runner.start()
            scene.during = site.bystander.watch(seconds - 2.0)
            scene.rss = site.status("VmRSS")
            runner.join()
            site.bystander.leave()
        yield from others(trial, scene, judged=mode != "ranges")  # answered, and soon over
        yield Figure(
            trial, "service seen as not available", scene.outcome["unavailable"], "", 0.0,
            note=scene.outcome["said"],
        )  # fmt: skip
        yield Figure(trial, "RSS each", (scene.rss - before) / TOOL_COUNT / 1024, "KiB", 128.0)


def run_tool(argv: list[str], folder: str, scene: Scene) -> None:
    """Run it to its end; it tells each second whether its own probe was answered."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=300, cwd=folder, check=False
    )
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout)
    blocks = re.findall(r"(\w+):\s+(\d+|YES|NO)\b", plain)
    last = dict(blocks)
    scene.outcome["unavailable"] = sum(1 for name, it in blocks if it == "NO")
    scene.outcome["said"] = ", ".join(
        f"{name} {last[name]}" for name in ("connected", "error", "closed") if name in last
    ) + f"; exit code {done.returncode}"  # fmt: skip
