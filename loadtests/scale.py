"""The cost of a request as things grow: connections, routes, endpoints, workers.

`python -m loadtests.scale` runs a real sidecar on one core with an origin and the load on
another, one point after the other and all points of an axis in turn, and writes SCALE.md with
scale.png. Exit 1 when the bar is missed, 2 when it cannot run. `flat` counts the same without
sockets, for whoever looks for the reason.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtests import tools
from loadtests.bench import turn
from loadtests.measure import Scenario, WrkError, run_wrk, sample
from loadtests.processes import (
    Child,
    Group,
    NotReadyError,
    cores,
    end_on_sigterm,
    free_port,
    taskset,
)
from loadtests.scale_report import CONTROL, Axis, Point, page, plot, screen
from loadtests.shapes import ROUTES, addresses, rules

HERE = Path(__file__).parent
PAGE, PLOT = HERE / "SCALE.md", HERE / "scale.png"
MIXED = ROUTES["mixed"]
CONNECTIONS = 64
UNUSED = 64
"""Files that a process has open beside its connections, and some to spare."""


@dataclass(frozen=True, slots=True)
class Case:
    """One point of an axis: what is added to the file, and how it is asked.

    With `nginx` it is nginx that stands before these addresses, for comparison.
    """

    count: int
    inbound: str = ""
    file: str = ""
    service: str = ""
    connections: int = CONNECTIONS
    asks: tuple[str, ...] = ()
    nginx: tuple[str, ...] = ()

    @property
    def outbound(self) -> bool:
        return bool(self.service)


def of_connections(count: int) -> Case:
    return Case(count, connections=count)


def of_routes(count: int) -> Case:
    """Each of so many routes is asked for in turn."""
    asks = []
    for index in range(count):
        method, path, lines = MIXED.ask(index)
        tenant = lines.partition(": ")[2].strip()
        asks.append(f"{method} {path} {tenant}".rstrip())
    listed = "".join(f"    - {one}\n" for one in rules(MIXED, count))
    return Case(count, inbound=f"  routes:\n{listed}", asks=tuple(asks))


def of_endpoints(count: int, origin: int, balancer: str) -> Case:
    listed = ", ".join(addresses(count, origin))
    return Case(count, service=f"      endpoints: [{listed}]\n      load_balancer: {balancer}\n")


def of_nginx(count: int, origin: int) -> Case:
    return Case(count, nginx=tuple(addresses(count, origin)))


def of_workers(count: int) -> Case:
    return Case(count, file=f"workers: {count}\n" if count > 1 else "")


CONFIG = """version: 1
inbound:
  listen: 127.0.0.1:{inbound}
  app: http://127.0.0.1:{origin}
  concurrency: {{max: 512, queue: 20000, queue_timeout: 60s}}
  rate_limits: [{{name: all, limit: 1000000/s, burst: 1000000}}]
  retry: {{attempts: 2, per_try_timeout: 15s}}
  circuit_breaker: {{consecutive_failures: 7, failure_rate: 50%, window: 10s}}
  timeout: 60s
{more}outbound:
  listen: 127.0.0.1:{outbound}
  services:
    svc:
      hosts: ["127.0.0.1"]
{service}      rate_limits: [{{name: all, limit: 1000000/s, burst: 1000000}}]
tracing: {{propagate: [tracecontext, b3], sample: 1%}}
metrics: {{listen: 127.0.0.1:{metrics}}}
admin: {{listen: 127.0.0.1:{admin}}}
logs: {{level: info, format: json, access: {{errors: true, sample: 0%}}}}
limits: {{connections: 16000}}
{file}"""

ORIGIN = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
worker_rlimit_nofile {files}; error_log stderr error;
events {{ worker_connections {files}; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 0.0.0.0:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""
CONTROLLED = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
worker_rlimit_nofile {files}; error_log stderr error;
events {{ worker_connections {files}; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream svc {{ {servers} keepalive 4096; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://svc; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""
ANSWER = '{"items":["' + "x" * 246 + '"]}'


class Bench:
    """Two cores, an origin that listens on every loopback address, and the sidecars."""

    def __init__(self, group: Group, folder: Path, both: list[int]) -> None:
        self._group, self._folder = group, folder
        self._proxy_core, self._load_core = both[0], both[1]
        self.origin = free_port()
        (folder / "origin").mkdir()
        file = folder / "origin" / "nginx.conf"
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        file.write_text(
            ORIGIN.format(folder=file.parent, files=files, port=self.origin, answer=ANSWER)
        )
        argv = [tools.program("nginx"), "-p", str(file.parent), "-c", str(file)]
        group.start("origin", argv, self._load_core).wait_ready(self.origin, "/")

    @property
    def wrk(self) -> list[str]:
        return [taskset(), "-c", str(self._load_core), tools.program("wrk")]

    def start(self, case: Case) -> tuple[Child, int, Scenario]:
        """A sidecar for a case, ready, and how it is asked; `NotReadyError` if it won't start."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        if case.nginx:
            return self._start_nginx(case, folder)
        ports = {name: free_port() for name in ("inbound", "outbound", "metrics", "admin")}
        service = case.service or f"      endpoints: ['127.0.0.1:{self.origin}']\n"
        file = folder / "meshproxy.yaml"
        file.write_text(
            CONFIG.format(
                **ports, origin=self.origin, more=case.inbound, service=service, file=case.file
            )
        )
        argv = [sys.executable, "-m", "meshproxy", "run", "-c", str(file)]
        child = self._group.start("meshproxy", argv, self._proxy_core, HERE.parent)
        child.wait_ready(ports["metrics"], "/readyz", timeout=120.0)
        script: str | None = None
        args: tuple[str, ...] = ()
        if case.asks:
            asks = folder / "asks"
            asks.write_text("\n".join(case.asks) + "\n")
            script, args = "routes.lua", (str(asks),)
        scenario = Scenario(str(case.count), "/small", case.connections, script, args)
        return child, ports["outbound" if case.outbound else "inbound"], scenario

    def _start_nginx(self, case: Case, folder: Path) -> tuple[Child, int, Scenario]:
        port, file = free_port(), folder / "nginx.conf"
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        servers = " ".join(f"server {address};" for address in case.nginx)
        file.write_text(CONTROLLED.format(folder=folder, files=files, servers=servers, port=port))
        argv = [tools.program("nginx"), "-p", str(folder), "-c", str(file)]
        child = self._group.start("nginx", argv, self._proxy_core)
        child.wait_ready(port, "/small")
        return child, port, Scenario(str(case.count), "/small", case.connections)

    def end(self, child: Child) -> None:
        self._group.end(child)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of this run."""

    axes: list[str]
    seconds: int
    rounds: int
    most: int
    write: bool


AXES = ("connections", "routes", "endpoints", "workers")
STRATEGIES = ("peak_ewma", "least_request", "round_robin", "random")


def axes(bench: Bench, plan: Plan) -> dict[str, list[Case]]:
    """The cases of every axis that is asked for."""
    tens = [10**power for power in range(5) if 10**power <= plan.most]
    upto = [count for count in tens if count <= 1000]
    found: dict[str, list[Case]] = {}
    if "connections" in plan.axes:
        found["connections"] = [of_connections(count) for count in tens]
    if "routes" in plan.axes:
        found["routes"] = [of_routes(count) for count in tens]
    if "endpoints" in plan.axes:
        for name in STRATEGIES:
            cases = [of_endpoints(count, bench.origin, name) for count in upto]
            found[f"endpoints, {name}"] = cases
        control = [of_nginx(count, bench.origin) for count in upto]
        found[f"endpoints, {CONTROL}"] = control
    if "workers" in plan.axes:
        found["workers"] = [of_workers(1), of_workers(2)]
    return found


def run(plan: Plan) -> list[Axis]:
    """Everything that is measured, axis by axis."""
    tools.ensure({"nginx", "wrk"}, False)
    both = cores()
    if len(both) < 2:
        raise tools.MissingError("two cores are needed: one for the proxy, one for origin and load")
    most = raise_files()
    with tempfile.TemporaryDirectory(prefix="scale-") as folder, Group(Path(folder)) as group:
        os.sched_setaffinity(0, {both[1]})
        bench = Bench(group, Path(folder), both)
        return [
            measure(bench, plan, name, cases, most, say)
            for name, cases in axes(bench, plan).items()
        ]


def raise_files() -> int:
    """Open files for us and all we start: what the machine grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def measure(
    bench: Bench, plan: Plan, name: str, cases: list[Case], files: int, tell: Callable[[str], None]
) -> Axis:
    """All cases in turn, over and over, so that a busy minute hits all of them alike."""
    axis = Axis(name)
    running: dict[int, tuple[Child, int, Scenario]] = {}
    for case in cases:
        if case.connections + UNUSED > files:
            axis.skipped[case.count] = f"this machine grants {files} open files"
            continue
        try:
            running[case.count] = bench.start(case)
        except NotReadyError as error:
            axis.skipped[case.count] = reason(str(error))
            continue
        child, port, scenario = running[case.count]
        run_wrk(bench.wrk, scenario, port, 1)  # warm: connections, caches, the interpreter
        axis.points[case.count] = Point(case.count)
        tell(f"{name} {case.count}: warm")
    for number in range(1, plan.rounds + 1):
        for count in turn(list(running), number):
            child, port, scenario = running[count]
            taken = sample(bench.wrk, scenario, port, plan.seconds, child.pid)
            axis.points[count].samples.append(taken)
            loud = f"  !! {taken.seen.broken} FAILED" if taken.seen.broken else ""
            cost = f"{taken.cpu * 1e6:8.1f} µs CPU {taken.rate:9.0f} req/s"
            tell(f"{name} {number}/{plan.rounds} {count:6}{cost}{loud}")
    for child, _, _ in running.values():
        bench.end(child)
    return axis


def reason(said: str) -> str:
    """What a sidecar that did not start gives as its reason: the line that names the setting."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if "workers" in line), lines[-1])


def main(argv: list[str] | None = None) -> int:
    """Run the axes; 0 when the bar is met, 1 when missed, 2 when something needed could not."""
    plan = read_plan(argv)
    end_on_sigterm()
    try:
        found = run(plan)
    except (tools.MissingError, NotReadyError, WrkError) as error:
        print(f"scale: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nscale: interrupted", file=sys.stderr)
        return 130
    print("\n" + screen(found))
    if plan.write:
        drawn = plot(found, PLOT)
        how = f"rounds: {plan.rounds}, {plan.seconds} s each"
        PAGE.write_text(page(found, how, PLOT.name if drawn else None))
        print(f"\nwritten: {PAGE}")
        print(f"written: {PLOT}" if drawn else "no plot: pip install matplotlib")
    return 0 if all(axis.verdict != "FAIL" for axis in found) else 1


def say(text: str) -> None:
    print(text, flush=True)


def read_plan(argv: list[str] | None) -> Plan:
    """The command line as a plan; argparse ends the program (2) on a usage error."""
    parser = argparse.ArgumentParser(prog="loadtests.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 1 s, up to 1,000")
    parser.add_argument("--only", nargs="+", choices=AXES, help="these axes")
    parser.add_argument("--seconds", type=int, help="of each run (default 2)")
    parser.add_argument("--rounds", type=int, help="turns of each point (default 5)")
    parser.add_argument("--most", type=int, default=0, help="the last point (default 10000)")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=None)
    args = parser.parse_args(argv)
    return Plan(
        args.only or list(AXES),
        args.seconds or (1 if args.quick else 2),
        args.rounds or (1 if args.quick else 5),
        args.most or (1000 if args.quick else 10_000),
        args.write if args.write is not None else not (args.quick or args.only),
    )


if __name__ == "__main__":
    sys.exit(main())
