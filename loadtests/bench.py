"""Side by side: the cost of a request through meshproxy and through its peers.

`python -m loadtests.bench` installs what it needs, runs each proxy in turn on one
core with origin and load on another, and prints a table; a full run writes
RESULTS.md. A missed bar is reported, never an error; exit 2 when it cannot run.
"""

from __future__ import annotations

import argparse
import compileall
import datetime
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loadtests import features, proxies, seen, tools
from loadtests.measure import SCENARIOS, Scenario, WrkError, rss_mib, run_wrk, sample
from loadtests.processes import (
    Child,
    Group,
    NotReadyError,
    cores,
    end_on_sigterm,
    free_port,
    pinned,
    taskset,
)
from loadtests.report import SUBJECT, Footprint, Results, page, screen

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
MILLION = 1_000_000
EXCHANGES = 10_000
STARTS = 5
Name = TypeVar("Name")


PACKAGE = Path(__file__).resolve().parents[1] / "meshproxy"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of this run."""

    names: list[str]
    scenarios: list[Scenario]
    seconds: int
    rounds: int
    million: bool
    features: bool
    seen: bool
    against: str | None
    out: Path | None


@dataclass(frozen=True, slots=True)
class Bench:
    """The table the proxies stand on: two cores, an origin's port, a folder, their processes."""

    group: Group
    folder: Path
    origin: int
    proxy_core: int
    load_core: int

    def site(self, name: str) -> proxies.Site:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return proxies.Site(free_port(), self.origin, free_port(), free_port(), folder)

    def start(self, name: str) -> tuple[Child, int]:
        """Start a proxy and wait for its first answer; the port is where it listens."""
        site = self.site(name)
        argv = proxies.BUILDERS[name](site)
        child = self.group.start(name, argv, self.proxy_core, HERE.parent)
        child.wait_ready(site.port, "/small")
        return child, site.port

    @property
    def wrk(self) -> list[str]:
        return [taskset(), "-c", str(self.load_core), tools.program("wrk")]


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; 0 when it ran, 2 when something needed could not."""
    plan = read_plan(argv)
    end_on_sigterm()
    try:
        results = run(plan)
    except (tools.MissingError, NotReadyError, WrkError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        return 130
    print("\n" + screen(results))
    if plan.out is not None:
        write_page(plan, results)
    return 0


def run(plan: Plan) -> Results:
    """Everything that is measured, in order: the footprint, the rounds, the million."""
    tools.ensure(proxies.programs_of(plan.names), "envoy" in plan.names)
    # As an installed package and the image have it; a checkout may have none, or never write it.
    compileall.compile_dir(PACKAGE, quiet=1)
    both = cores()
    if len(both) < 2:
        raise tools.MissingError("two cores are needed: one for the proxy, one for origin and load")
    results = Results()
    with (
        pinned(both[1]),
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Group(Path(folder)) as group,
    ):
        bench = Bench(group, Path(folder), free_port(), both[0], both[1])
        start_origin(bench)
        if SUBJECT in plan.names:
            results.footprint = weigh(bench)
        rounds(bench, plan, results)
        if results.footprint is not None and plan.million:
            outlast(bench, results.footprint)
    if plan.features:
        with pinned(both[0]):
            results.features = features.costs(EXCHANGES, plan.rounds + 4, say)
    if plan.seen:
        results.seen = seen.measure(plan.seconds, plan.rounds + 4, plan.against)
    return results


def start_origin(bench: Bench) -> None:
    folder = bench.folder / "origin"
    folder.mkdir()
    site = proxies.Site(bench.origin, 0, 0, 0, folder)
    child = bench.group.start("origin", proxies.origin(site), bench.load_core)
    child.wait_ready(bench.origin, "/small")


def weigh(bench: Bench) -> Footprint:
    """Seconds from the start to ready, and memory then: medians over a few fresh starts."""
    ready, rss = [], []
    for _ in range(STARTS):
        site = bench.site(SUBJECT)
        argv = proxies.meshproxy(site)
        child = bench.group.start(SUBJECT, argv, bench.proxy_core, HERE.parent)
        ready.append(child.wait_ready(site.metrics, "/readyz"))
        rss.append(rss_mib(child.pid))
        bench.group.end(child)
    foot = Footprint(statistics.median(ready), statistics.median(rss))
    say(f"{SUBJECT}: ready in {foot.ready:.2f} s, {foot.start_rss:.1f} MiB after start")
    return foot


def rounds(bench: Bench, plan: Plan, results: Results) -> None:
    """Each proxy in turn, over and over, so that a busy minute hits all of them alike."""
    running = {name: bench.start(name) for name in plan.names}
    for scenario in plan.scenarios:
        for name, (_, port) in running.items():
            run_wrk(bench.wrk, scenario, port, 1)  # warm: connections, caches, interpreters
            say(f"{scenario.name}: {name} is warm")
        for number in range(1, plan.rounds + 1):
            for name in turn(plan.names, number):
                child, port = running[name]
                taken = sample(bench.wrk, scenario, port, plan.seconds, child.pid)
                results.add(scenario.name, name, taken)
                loud = f"  !! {taken.seen.broken} FAILED" if taken.seen.broken else ""
                cost = f"{taken.cpu * 1e6:8.1f} µs CPU {taken.rate:9.0f} req/s"
                say(f"{scenario.name} {number}/{plan.rounds} {name:10}{cost}{loud}")
    for child, _ in running.values():
        bench.group.end(child)


def turn(names: list[Name], number: int) -> list[Name]:
    """The order of a round: each starts with another one, so that none is always first."""
    first = number % len(names)
    return names[first:] + names[:first]


def outlast(bench: Bench, foot: Footprint) -> None:
    """Memory of a fresh start before and after a million small requests."""
    child, port = bench.start(SUBJECT)
    foot.before = rss_mib(child.pid)
    while foot.served < MILLION:
        seen = run_wrk(bench.wrk, SCENARIOS[0], port, 10)
        if not seen.requests:
            raise NotReadyError(f"{SUBJECT} stopped answering:\n{child.tail()}")
        foot.served += seen.requests
        loud = f"  !! {seen.broken} FAILED" if seen.broken else ""
        say(f"a million requests: {foot.served:,}, {rss_mib(child.pid):.1f} MiB{loud}")
    foot.after = rss_mib(child.pid)
    bench.group.end(child)


def write_page(plan: Plan, results: Results) -> None:
    assert plan.out is not None
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    how = f"rounds: {plan.rounds}, {plan.seconds} s each"
    plan.out.write_text(page(results, date, how, proxies.versions_of(plan.names)))
    print(f"\nwritten: {plan.out}")


def say(text: str) -> None:
    print(text, flush=True)


def read_plan(argv: list[str] | None) -> Plan:
    """The command line as a plan; argparse ends the program (2) on a usage error."""
    parser = argparse.ArgumentParser(prog="loadtests.bench", description=__doc__)
    known = {scenario.name: scenario for scenario in SCENARIOS}
    several = "comma-separated: "
    parser.add_argument("--quick", action="store_true", help="one round of 2 s, no million")
    parser.add_argument("--only", help=several + ",".join(proxies.BUILDERS))
    parser.add_argument("--scenario", help=several + ",".join(known))
    parser.add_argument("--seconds", type=_count, help="of each run (default 2)")
    parser.add_argument("--rounds", type=_count, help="turns of each proxy (default 5)")
    parser.add_argument("--million", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--seen", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--against", metavar="REV", help="also compare with this revision (--seen)")
    parser.add_argument("--features", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--out", type=Path, help="page to write (a full run: RESULTS.md)")
    args = parser.parse_args(argv)
    names = _chosen(parser, "--only", args.only, list(proxies.BUILDERS))
    wanted = _chosen(parser, "--scenario", args.scenario, list(known))
    whole = not (args.quick or args.only or args.scenario)
    return Plan(
        names,
        [known[name] for name in wanted],
        args.seconds or 2,
        args.rounds or (1 if args.quick else 5),
        args.million if args.million is not None else not args.quick,
        args.features if args.features is not None else whole,
        args.seen if args.seen is not None else whole,
        args.against,
        args.out or (RESULTS if whole else None),
    )


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 600:
        raise argparse.ArgumentTypeError("from 1 to 600")
    return number


def _chosen(
    parser: argparse.ArgumentParser, option: str, text: str | None, known: list[str]
) -> list[str]:
    asked = known if text is None else [part.strip() for part in text.split(",")]
    for name in asked:
        if name not in known:
            parser.error(f"{option}: {name!r} is none of {', '.join(known)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
