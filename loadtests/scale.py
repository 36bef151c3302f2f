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
    awake,
    cores,
    end_on_sigterm,
    free_port,
    taskset,
)
from loadtests.scale_cases import (
    CONFIG,
    CONTROLLED,
    LATE,
    ORIGIN,
    QUICK,
    UNEVEN,
    Case,
    Row,
    rows,
)
from loadtests.scale_report import Axis, Point, page, plot, screen
from loadtests.shapes import addresses

HERE = Path(__file__).parent
PAGE, PLOT = HERE / "SCALE.md", HERE / "scale.png"
ENDPOINTS = 1000
MILLISECONDS = 50
"""What the late origins take."""


ANSWER = '{"items":["' + "x" * 246 + '"]}'


class Bench:
    """Two cores, an origin that listens on every loopback address, and the sidecars."""

    def __init__(self, group: Group, folder: Path, both: list[int]) -> None:
        self._group, self._folder = group, folder
        self._proxy_core, self._load_core = both[0], both[1]
        self.ports = {name: free_port() for name in (QUICK, LATE, UNEVEN)}
        (folder / "origin").mkdir()
        file = folder / "origin" / "nginx.conf"
        listens = " ".join(f"listen {one};" for one in addresses(ENDPOINTS, self.ports[QUICK]))
        file.write_text(
            ORIGIN.format(folder=file.parent, files=files(), listens=listens, answer=ANSWER)
        )
        argv = [tools.program("nginx"), "-p", str(file.parent), "-c", str(file)]
        group.start("origin", argv, self._load_core).wait_ready(self.ports[QUICK], "/")
        for name, spread in ((LATE, "0"), (UNEVEN, "1")):
            port = self.ports[name]
            late = [str(port), str(MILLISECONDS), spread, str(ENDPOINTS)]
            argv = [sys.executable, "-m", "loadtests.late_origin", *late]
            group.start(name, argv, self._load_core, HERE.parent).wait_ready(port, "/")

    @property
    def wrk(self) -> list[str]:
        return [taskset(), "-c", str(self._load_core), tools.program("wrk")]

    def start(self, case: Case) -> tuple[Child, int, Scenario]:
        """A sidecar for a case, ready, and how it is asked; `NotReadyError` if it won't start."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        if case.nginx:
            return self._start_nginx(case, folder)
        ports = {name: free_port() for name in ("inbound", "outbound", "metrics", "admin")}
        origin = self.ports[case.origin]
        service = case.service or f"      endpoints: ['127.0.0.1:{origin}']\n"
        file = folder / "meshproxy.yaml"
        file.write_text(
            CONFIG.format(
                **ports, origin=origin, more=case.inbound, service=service, file=case.file
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
            script, args = "routes.lua", (str(asks), *(["anew"] if case.anew else []))
        scenario = Scenario(str(case.count), "/small", case.connections, script, args)
        return child, ports["outbound" if case.outbound else "inbound"], scenario

    def _start_nginx(self, case: Case, folder: Path) -> tuple[Child, int, Scenario]:
        port, file = free_port(), folder / "nginx.conf"
        servers = " ".join(f"server {address};" for address in case.nginx)
        file.write_text(CONTROLLED.format(folder=folder, files=files(), servers=servers, port=port))
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


def run(plan: Plan) -> tuple[list[Axis], bool]:
    """Everything that is measured, axis by axis, and whether the cores were kept awake."""
    tools.ensure({"nginx", "wrk"}, False)
    both = cores()
    if len(both) < 2:
        raise tools.MissingError("two cores are needed: one for the proxy, one for origin and load")
    raise_files()
    with (
        awake() as held,
        tempfile.TemporaryDirectory(prefix="scale-") as folder,
        Group(Path(folder)) as group,
    ):
        os.sched_setaffinity(0, {both[1]})
        bench = Bench(group, Path(folder), both)
        # The proxy takes connections for half of its open files at most.
        clients = files() // 2 - 100
        asked = rows(plan.axes, plan.most, clients, bench.ports)
        return [measure(bench, plan, row, say) for row in asked], held


def raise_files() -> None:
    """Open files for us and all we start: what the machine grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def measure(bench: Bench, plan: Plan, row: Row, tell: Callable[[str], None]) -> Axis:
    """All cases in turn, over and over, so that a busy minute hits all of them alike.

    Two samples of one process differ by some 4 %: what is judged is looked at twice as often.
    """
    axis = Axis(row.name, row.judged)
    running: dict[int, tuple[Child, int, Scenario, int]] = {}
    for case in row.cases:
        try:
            child, port, scenario = bench.start(case)
        except NotReadyError as error:
            axis.skipped[case.count] = reason(str(error))
            continue
        running[case.count] = child, port, scenario, plan.seconds + case.more_seconds
        run_wrk(bench.wrk, scenario, port, 1)  # warm: connections, caches, the interpreter
        axis.points[case.count] = Point(case.count)
        tell(f"{row.name} {case.count}: warm")
    rounds = plan.rounds if row.judged else -(-plan.rounds // 2)
    for number in range(1, rounds + 1):
        for count in turn(list(running), number):
            child, port, scenario, seconds = running[count]
            taken = sample(bench.wrk, scenario, port, seconds, child.pid)
            axis.points[count].samples.append(taken)
            loud = f"  !! {taken.seen.broken} FAILED" if taken.seen.broken else ""
            cost = f"{taken.cpu * 1e6:8.1f} µs CPU {taken.rate:9.0f} req/s"
            tell(f"{row.name} {number}/{rounds} {count:6}{cost}{loud}")
    for child, *_ in running.values():
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
        found, held = run(plan)
    except (tools.MissingError, NotReadyError, WrkError) as error:
        print(f"scale: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nscale: interrupted", file=sys.stderr)
        return 130
    print("\n" + screen(found))
    if plan.write:
        drawn = plot(found, PLOT)
        how = f"rounds: {plan.rounds}, half of it where nothing is judged; {plan.seconds} s or more"
        PAGE.write_text(page(found, how, held, PLOT.name if drawn else None))
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
    parser.add_argument("--rounds", type=int, help="turns of each judged point (default 8)")
    parser.add_argument("--most", type=int, default=0, help="the last point (default 10000)")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=None)
    args = parser.parse_args(argv)
    return Plan(
        args.only or list(AXES),
        args.seconds or (1 if args.quick else 2),
        args.rounds or (1 if args.quick else 8),
        args.most or (1000 if args.quick else 10_000),
        args.write if args.write is not None else not (args.quick or args.only),
    )


if __name__ == "__main__":
    sys.exit(main())
