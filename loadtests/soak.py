"""Millions of requests, one in a hundred faulty, through one sidecar: does anything stay behind?

`python -m loadtests.soak` starts a sidecar on one core, the load, misbehaving callers and a
breaking network on the other, and rewrites the file all the while. It writes SOAK.md. Exit 1
when memory grows or something is left at the end, 2 when it cannot run.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtests import tools, watched
from loadtests.measure import WrkError
from loadtests.processes import (
    Child,
    Group,
    NotReadyError,
    answers,
    cores,
    end_on_sigterm,
    free_port,
)
from loadtests.soak_report import BACK, Sample, Soak, page, passed, screen
from tests.chaos.relay import CLEAN, Relay, Toxics

HERE = Path(__file__).parent
PAGE = HERE / "SOAK.md"
MILLIONS = 5_000_000
SAMPLES = 60
WARM_SECONDS = 6.0
RELOAD_EVERY = 10.0
TOXIC_EVERY = 1.0
QUIET_FOR = 60.0
"""Seconds at most until everything must be back; idle connections are kept for less."""

CONFIG = """version: 1
service: {{name: soak}}
inbound:
  listen: 127.0.0.1:{inbound}
  app: http://127.0.0.1:{origin}
  timeout: 15s
  concurrency: {{max: 500, queue: 500, queue_timeout: 1s}}
  rate_limits:
    - {{name: each, limit: 100000/s, burst: 100000, per: [header:x-client-id, ip]}}
  retry: {{attempts: 1}}
outbound:
  listen: 127.0.0.1:{outbound}
  defaults:
    timeout: 5s
    retry: {{attempts: 1, per_try_timeout: 2s}}
    circuit_breaker: {{failure_rate: 80%, open_for: 100ms, max_open_for: 1s}}
  services:
    good:
      endpoints: ["127.0.0.1:{origin}", "127.0.0.2:{origin}", "127.0.0.3:{origin}"]
      health_check: {{path: /small, interval: 2s}}
      cache: {{}}
    shaky:
      endpoints: ["127.0.0.1:{relay}"]
      circuit_breaker: {{open_for: 100ms, max_open_for: 200ms}}
tracing: {{propagate: [tracecontext, b3], sample: 1%}}
metrics: {{listen: 127.0.0.1:{metrics}}}
admin: {{listen: 127.0.0.1:{admin}}}
logs: {{level: info, format: json, access: {{errors: true, sample: 0%}}}}
"""

ORIGIN = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000; keepalive_timeout 60s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5; default_type application/json;
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.2:{port}; listen 127.0.0.3:{port};
    location = /small {{ return 200 '{answer}'; }}
    location = /503 {{ return 503; }}
    location = /64k {{ root {folder}; }}
  }}
}}
"""

TOXICS: tuple[Toxics, ...] = (
    CLEAN,
    Toxics(latency=0.05),
    Toxics(reset=200),
    CLEAN,
    Toxics(limit=20_000),
    Toxics(reset=30_000),
    CLEAN,
    Toxics(bandwidth=500_000),
    Toxics(limit=0),
)
"""What the network before the shaky service does to its answers, in turn."""


@dataclass(slots=True)
class Site:
    """The sidecar, what it is told, and where it is looked at."""

    proxy: Child
    file: Path
    text: str
    socket: str
    ports: dict[str, int]
    began: float = field(default_factory=time.monotonic)
    reloads: int = 0

    def sample(self, requests: int, idle: bool = False) -> Sample:
        pid = self.proxy.pid
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        counts = watched.look(self.socket, collect=idle)
        counts["fds"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return Sample(
            requests, time.monotonic() - self.began, float(found[1]) if found else 0.0, counts
        )

    def codes(self) -> dict[str, int]:
        """Exchanges by status, as the sidecar counts them; reading it is part of the load."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['metrics']}/metrics") as reply:
            text = reply.read().decode()
        found: dict[str, int] = {}
        pattern = r'^meshproxy_requests_total\{[^}]*code="(\d+)"[^}]*\} (\S+)$'
        for code, count in re.findall(pattern, text, re.MULTILINE):
            found[code] = found.get(code, 0) + int(float(count))
        return found

    def reload(self) -> None:
        """Another timeout, so that it is another file; at once, not when somebody looks."""
        self.reloads += 1
        draft = self.file.with_suffix(".draft")
        draft.write_text(self.text.replace("timeout: 15s", f"timeout: {15 + self.reloads % 5}s"))
        draft.replace(self.file)
        os.kill(self.proxy.pid, signal.SIGHUP)


def start(
    group: Group, folder: Path, core: int, load_core: int, relay: Callable[[str], Relay]
) -> tuple[Site, Relay]:
    """Origin, relay and sidecar, all ready."""
    names = ("inbound", "outbound", "metrics", "admin", "origin")
    ports = {name: free_port() for name in names}
    (folder / "64k").write_bytes(b"x" * 65536)
    conf = folder / "nginx.conf"
    answer = '{"items":["' + "x" * 246 + '"]}'
    conf.write_text(ORIGIN.format(folder=folder, port=ports["origin"], answer=answer))
    argv = [tools.program("nginx"), "-p", str(folder), "-c", str(conf)]
    group.start("origin", argv, load_core).wait_ready(ports["origin"], "/small")
    network = relay(f"127.0.0.1:{ports['origin']}")
    file, text = folder / "meshproxy.yaml", CONFIG.format(**ports, relay=network.port)
    file.write_text(text)
    socket = str(folder / "look")
    argv = [sys.executable, "-m", "loadtests.watched", socket, "run", "-c", str(file)]
    proxy = group.start("meshproxy", argv, core, HERE.parent)
    proxy.wait_ready(ports["metrics"], "/readyz")
    return Site(proxy, file, text, socket, ports), network


@contextmanager
def load(group: Group, site: Site, core: int, wrks: int) -> Iterator[list[Child]]:
    """Callers in both directions and those who misbehave; all end with the block."""
    wrk = tools.program("wrk")
    script = str(HERE / "soak.lua")
    children = []
    for number in range(wrks):
        out = number % 2 == 0
        url = f"http://127.0.0.1:{site.ports['outbound' if out else 'inbound']}/small"
        argv = [wrk, "-t1", "-c24", "-d86400s", "--timeout", "10s", "-s", script, url, "--"]
        children.append(group.start("wrk", [*argv, "out" if out else "in"], core, HERE.parent))
    argv = [sys.executable, "-m", "loadtests.soak_chaos", str(site.ports["outbound"]), "40"]
    children.append(group.start("chaos", argv, core, HERE.parent))
    try:
        yield children
    finally:
        for child in children:
            group.end(child)


def soak(site: Site, network: Relay, wanted: int, children: list[Child]) -> Soak:
    """Watch until so many were served; what the network does and the file say changes meanwhile."""
    idle = Sample(0, 0.0, 0.0, {})
    found = Soak(wanted, idle, idle)
    toxics = itertools.cycle(TOXICS)
    before = sum(site.codes().values())
    site.began = time.monotonic()
    step = max(1, wanted // SAMPLES)
    next_sample, next_reload, next_told = step, RELOAD_EVERY, 0.0
    while True:
        time.sleep(TOXIC_EVERY / 2)
        network.down = next(toxics)
        if network.down is CLEAN:
            network.reset_all()
        if any(child.process.poll() is not None for child in [*children, site.proxy]):
            found.problems.append(f"a process ended: {site.proxy.tail()}")
            break
        served = sum(site.codes().values()) - before
        now = time.monotonic() - site.began
        if served >= next_sample:
            found.samples.append(site.sample(served))
            next_sample = (served // step + 1) * step
        if served >= wanted:
            break
        if now >= next_reload:
            site.reload()
            next_reload += RELOAD_EVERY
        if now >= next_told:
            next_told = now + 10.0
            say(f"{served:,} of {wanted:,} requests, {served / now:.0f} per second")
    found.codes = site.codes()
    found.reloads = site.reloads
    network.mend()
    return found


def settle(site: Site, requests: int, base: Sample | None) -> Sample:
    """Wait until nothing of the load is left, or for as long as that may take."""
    ends = time.monotonic() + QUIET_FOR
    last: Sample | None = None
    while True:
        time.sleep(1.0)
        now = site.sample(requests, idle=True)
        if base is None:
            # Nobody asks and nothing changed for a second: this is what it has of its own.
            if last is not None and _quiet(now) and now.counts["fds"] == last.counts["fds"]:
                return now
        elif all(now.counts[name] <= base.counts[name] for name in BACK):
            return now
        if time.monotonic() > ends:
            return now
        last = now


def _quiet(sample: Sample) -> bool:
    return sample.counts["exchanges"] == 0 and sample.counts["upstreams"] == 0


def run(wanted: int, wrks: int) -> Soak:
    """The whole of it: a first taste, the base, the load, and the rest."""
    tools.ensure({"nginx", "wrk"}, False)
    both = cores()
    if len(both) < 2:
        raise tools.MissingError("two cores are needed: one for the proxy, one for origin and load")
    os.sched_setaffinity(0, {both[1]})
    with tempfile.TemporaryDirectory(prefix="soak-") as name, Group(Path(name)) as group:
        site, network = start(group, Path(name), both[0], both[1], Relay)
        try:
            # What is made once, with the first request, the first fault and the first reload; and
            # by twice the callers, so that no later crowd is the largest so far.
            with load(group, site, both[1], 2 * wrks):
                for network.down in TOXICS:
                    time.sleep(WARM_SECONDS / len(TOXICS))
                site.reload()
                time.sleep(WARM_SECONDS / 2)
            network.mend()
            base = settle(site, 0, None)
            say(f"base: {base.rss:,.0f} KiB, {base.counts}")
            with load(group, site, both[1], wrks) as children:
                found = soak(site, network, wanted, children)
            last = found.samples[-1].requests if found.samples else 0
            found.base = replace(base, seconds=0.0)
            found.end = settle(site, last, base)
            found.problems += problems(site)
        finally:
            network.close()
        return found


def problems(site: Site) -> list[str]:
    """What no figure shows: a sidecar that is not ready any more, or that logged a traceback."""
    found = []
    if not answers(site.ports["metrics"], "/readyz"):
        found.append(f"the sidecar is not ready any more: {site.proxy.tail()}")
    log = site.proxy.log.read_text(errors="replace")
    at = log.find("Traceback")
    if at >= 0:
        found.append(f"the sidecar logged a traceback: {log[at : at + 2000]}")
    return found


def main(argv: list[str] | None = None) -> int:
    """Soak; 0 when every bar is met, 1 when not, 2 when something needed could not run."""
    parser = argparse.ArgumentParser(prog="loadtests.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=MILLIONS, help="default 5000000")
    parser.add_argument("--wrks", type=int, default=4, help="half of them inbound (default 4)")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args(argv)
    end_on_sigterm()
    try:
        found = run(args.requests, args.wrks)
    except (tools.MissingError, NotReadyError, WrkError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nsoak: interrupted", file=sys.stderr)
        return 130
    print("\n" + screen(found))
    if args.write:
        PAGE.write_text(page(found))
        print(f"\nwritten: {PAGE}")
    return 0 if passed(found) else 1


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
