r"""Load on one real sidecar: origins, meshproxy, locust scenario by scenario, thresholds.

`python -m loadtests.load` starts everything on free loopback ports, runs each
scenario for a few seconds and exits 1 when one broke a threshold. What an answer
must look like is locustfile's business; here only figures are judged.

One locust process asks some 4,000 times per second. For more, or from several machines, run the
scenarios distributed, against a sidecar of your own that is set up as `sidecar.config` has it:

    python -m locust -f loadtests/locustfile.py SteadyMix --master --headless --expect-workers 2 \
        --users 200 --spawn-rate 50 --run-time 60s --stop-timeout 10 --host http://10.0.0.5:15006 \
        --outbound http://10.0.0.5:15001 --figures steady.json
    python -m locust -f loadtests/locustfile.py SteadyMix --worker --master-host 10.0.0.9

Both start in the root of the repository: the first on the master, here 10.0.0.9, the second once
for each worker. The options of the master reach its workers, all figures and what the scenarios
saw come together at the master, and it exits 1 when an answer was wrong or a scenario did not meet
its subject. Operator edits the sidecar's file, so it runs where that file is: `reload` is for one
machine.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from loadtests import sidecar, tally
from loadtests.processes import Child, Group, NotReadyError, answers, end_on_sigterm, free_port
from loadtests.report import table

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds beyond a scenario's own, until locust is taken to hang


class HangError(Exception):
    """Locust did not end in time, and was ended."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which user classes run, and how many of their requests may fail (a ratio)."""

    name: str
    users: tuple[str, ...]
    fail_ratio: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scenario's figures; p50 and p95 in milliseconds; `problems` is empty when it passed."""

    name: str
    requests: int
    failures: int
    rate: float
    p50: float
    p95: float
    saw: str
    problems: list[str]


SCENARIOS = (
    Scenario("steady", ("SteadyMix",), 0.0),
    Scenario("burst", ("BurstOverLimit",), 0.0),
    # One request in ten meets a failure; three tries and a budget of 20 % may leave a few.
    Scenario("failing", ("FailingUpstream",), 0.01),
    Scenario("proxied", ("ThroughProxy",), 0.0),
    Scenario("helped", ("CachedAndHelped",), 0.0),
    Scenario("reload", ("ReloadUnderLoad", "Operator"), 0.0),
)


def main(argv: list[str] | None = None) -> int:
    """Run the scenarios; 0 when all kept their thresholds, 1 when not, 2 when none could run."""
    args = read_options(argv)
    end_on_sigterm()
    try:
        outcomes = run(args)
    except NotReadyError as error:
        print(f"load: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nload: interrupted", file=sys.stderr)
        return 130
    print("\n" + summary(outcomes))
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def run(args: argparse.Namespace) -> list[Outcome]:
    """Start the sidecar and its origins, and drive it scenario by scenario."""
    with site() as (proxy, ports, file):
        outcomes = []
        for scenario in SCENARIOS:
            if args.only and scenario.name not in args.only:
                continue
            print(f"{scenario.name}: {args.users} users, {args.seconds} s ...", flush=True)
            outcomes.append(drive(scenario, args, ports, file))
            check_alive(proxy, ports, outcomes[-1])
        return outcomes


@contextmanager
def site() -> Iterator[tuple[Child, sidecar.Ports, Path]]:
    """The sidecar and its origins, ready; all of it ends with the block."""
    with (
        tempfile.TemporaryDirectory(prefix="load-") as name,
        Group(Path(name)) as group,
        socket.socket() as dead,
    ):
        dead.bind(("127.0.0.1", 0))  # held, never listening: whoever connects is refused
        ports = sidecar.Ports(*(free_port() for _ in range(8)), *dead.getsockname()[1:])
        file = Path(name) / "meshproxy.yaml"
        file.write_text(sidecar.config(ports))
        yield start(group, ports, file), ports, file


def start(group: Group, ports: sidecar.Ports, file: Path) -> Child:
    """The origins, then the sidecar; both are ready on return."""
    origins = [str(port) for port in astuple(ports)[4:8]]
    argv = [sys.executable, "-m", "loadtests.origins", *origins]
    group.start("origins", argv, cwd=HERE.parent).wait_ready(ports.app, "/")
    argv = [sys.executable, "-m", "meshproxy", "run", "-c", str(file)]
    proxy = group.start("meshproxy", argv, cwd=HERE.parent)
    took = proxy.wait_ready(ports.metrics, "/readyz")
    print(f"meshproxy is ready after {took:.2f} s on 127.0.0.1:{ports.inbound}", flush=True)
    return proxy


def drive(
    scenario: Scenario, args: argparse.Namespace, ports: sidecar.Ports, file: Path
) -> Outcome:
    """Run one scenario, judge its figures, and hold them against what the sidecar counted."""
    before = tally.counted(ports.metrics)
    try:
        figures = locust(scenario, args, ports, file)
    except HangError as error:
        return Outcome(scenario.name, 0, 0, 0.0, 0.0, 0.0, "", [str(error)])
    outcome = judge(scenario, args.p95, figures)
    outcome.problems.extend(tally.compare(tally.answered(figures), ports.metrics, before))
    return outcome


def locust(
    scenario: Scenario, args: argparse.Namespace, ports: sidecar.Ports, file: Path
) -> dict[str, Any]:
    """Run locust once, headless; the figures it wrote. It has ended when this returns or raises."""
    figures = file.with_name(f"{scenario.name}.json")
    argv = [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), *scenario.users]
    argv += ["--headless", "--only-summary", "--stop-timeout", "10", "--figures", str(figures)]
    argv += ["--users", str(args.users), "--spawn-rate", str(args.users)]
    argv += ["--run-time", f"{args.seconds}s", "--host", f"http://127.0.0.1:{ports.inbound}"]
    argv += ["--outbound", f"http://127.0.0.1:{ports.outbound}"]
    argv += ["--metrics", f"http://127.0.0.1:{ports.metrics}", "--config-file", str(file)]
    with Group(file.parent) as group:
        child = group.start(f"locust-{scenario.name}", argv, cwd=HERE.parent)
        code = wait(child, args.seconds + PATIENCE)
    if not figures.exists():
        raise NotReadyError(f"locust exited {code}:\n{child.tail(30)}")
    found: dict[str, Any] = json.loads(figures.read_text())
    return found


def wait(child: Child, seconds: float) -> int:
    """The exit code; `HangError` when there is none in time."""
    try:
        return child.process.wait(seconds)
    except subprocess.TimeoutExpired:
        said = child.tail() or "nothing"
        raise HangError(
            f"{child.name} did not end within {seconds:g} s; it said:\n{said}"
        ) from None


def judge(scenario: Scenario, p95_limit: float, figures: dict[str, Any]) -> Outcome:
    """The figures that locustfile wrote, against the thresholds."""
    requests, failures, p95 = figures["requests"], figures["failures"], figures["p95"]
    problems = list(figures["problems"])
    if requests == 0:
        problems.append("no request was made")
    elif failures / requests > scenario.fail_ratio:
        problems.append(f"{failures} of {requests} failed, at most {scenario.fail_ratio:.1%} may")
        problems += figures["errors"]
    if p95 > p95_limit:
        problems.append(f"p95 is {p95:.0f} ms, at most {p95_limit:.0f} ms is allowed")
    saw = ", ".join(f"{what}: {times}" for what, times in figures["seen"].items())
    return Outcome(
        scenario.name, requests, failures, figures["rate"], figures["p50"], p95, saw, problems
    )


def check_alive(proxy: Child, ports: sidecar.Ports, outcome: Outcome) -> None:
    """A scenario also fails when the sidecar is not ready after it, or logged a traceback."""
    if not answers(ports.metrics, "/readyz"):
        outcome.problems.append(f"the sidecar is not ready any more:\n{proxy.tail()}")
    if "Traceback" in proxy.log.read_text(errors="replace"):
        outcome.problems.append(f"the sidecar logged a traceback:\n{proxy.tail(30)}")


HEAD = ["scenario", "verdict", "requests", "failed", "req/s", "p50 ms", "p95 ms"]


def summary(outcomes: list[Outcome]) -> str:
    """A table, what the scenarios saw, and what was wrong."""
    body = [
        [one.name, "BROKEN" if one.problems else "ok", str(one.requests), str(one.failures)]
        + [f"{figure:.0f}" for figure in (one.rate, one.p50, one.p95)]
        for one in outcomes
    ]
    lines = [table(HEAD, body)]
    lines += [f"{one.name} saw {one.saw}" for one in outcomes if one.saw]
    lines += [f"{one.name}: {problem}" for one in outcomes for problem in one.problems]
    return "\n".join(lines)


def read_options(argv: list[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program (2) on a usage error."""
    parser = argparse.ArgumentParser(
        prog="loadtests.load",
        description=__doc__,
        # The commands must stay as they are to be typed.
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--users", type=positive, default=20, help="at a time (default 20)")
    parser.add_argument("--seconds", type=positive, default=12, help="per scenario (default 12)")
    parser.add_argument("--p95", type=float, default=250.0, help="milliseconds (default 250)")
    parser.add_argument("--only", nargs="+", choices=names, help="these scenarios")
    return parser.parse_args(argv)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
