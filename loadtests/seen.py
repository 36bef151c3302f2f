"""What it costs to be seen: a small GET with everything that tells of it on, and with none of it.

`python -m loadtests.seen` runs the same sidecar in turn: as it is compared in `bench`; with 1 % of
spans sent to a real collector, the access log on as the file has it by default, and one dashboard
reading `/live`; and, with `--against REV`, as another revision of this checkout was. `make bench`
writes the same into RESULTS.md. The ratios are taken within a round, median over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests import proxies, tools
from loadtests.measure import SCENARIOS, WrkError, run_wrk, sample
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
from loadtests.report import Seen, table

ROOT = Path(__file__).resolve().parents[1]
PLAIN, SEEN, BEFORE = "nothing of it", "spans, log, dashboard", "the revision before"

SPANS = """tracing:
  propagate: [tracecontext, b3]
  sample: 1%
  export: otlp+http://127.0.0.1:{collector}
"""
DEFAULT_LOG = "logs: {level: info, format: json}"


def measure(seconds: int, rounds: int, against: str | None = None) -> Seen:
    """Run them in turn; needs two cores, wrk, nginx and rotel."""
    tools.ensure({"nginx", "wrk"}, False)
    both = cores()
    if len(both) < 2:
        raise tools.MissingError("two cores are needed: one for the proxy, one for origin and load")
    with (
        pinned(both[1]),
        tempfile.TemporaryDirectory(prefix="seen-") as name,
        Group(Path(name)) as group,
        _tree(against, Path(name)) as tree,
    ):
        stage = _Stage(group, Path(name), both)
        running = {PLAIN: stage.plain(ROOT), SEEN: stage.seen()}
        if tree is not None:
            running[BEFORE] = stage.plain(tree)
        return _turns(running, [taskset(), "-c", str(both[1]), tools.program("wrk")],
                      seconds, rounds, against)  # fmt: skip


def _turns(
    running: dict[str, tuple[Child, int]], wrk: list[str], seconds: int, rounds: int,
    against: str | None,
) -> Seen:  # fmt: skip
    small = SCENARIOS[0]
    taken: dict[str, list[float]] = {name: [] for name in running}
    for _, port in running.values():
        run_wrk(wrk, small, port, 2)
    names = list(running)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            child, port = running[name]
            cost = sample(wrk, small, port, seconds, child.pid)
            if cost.seen.broken:
                raise WrkError(f"{name}: {cost.seen.broken} requests failed")
            taken[name].append(cost.cpu * 1e6)
            print(f"{number + 1}/{rounds} {name:24}{cost.cpu * 1e6:8.2f} µs CPU", flush=True)
    medians = {name: statistics.median(each) for name, each in taken.items()}
    return Seen(
        plain=medians[PLAIN],
        seen=medians[SEEN],
        to_plain=_ratio(taken[SEEN], taken[PLAIN]),
        revision=against or "",
        to_revision=_ratio(taken[PLAIN], taken[BEFORE]) if against else None,
    )


def _ratio(one: list[float], other: list[float]) -> float:
    return statistics.median(mine / theirs for mine, theirs in zip(one, other, strict=True))


class _Stage:
    """An origin, and sidecars in front of it."""

    def __init__(self, group: Group, folder: Path, both: list[int]) -> None:
        self._group = group
        self._folder = folder
        self._proxy_core, self._load_core = both[0], both[1]
        self._origin = free_port()
        site = proxies.Site(self._origin, 0, 0, 0, self._made("origin"))
        child = group.start("origin", proxies.origin(site), self._load_core)
        child.wait_ready(self._origin, "/small")

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def plain(self, tree: Path) -> tuple[Child, int]:
        """As the bench has it, from this checkout or another."""
        site = proxies.Site(
            free_port(), self._origin, free_port(), free_port(), self._made(f"plain-{tree.name}")
        )
        return self._start(proxies.meshproxy(site), site, tree)

    def seen(self) -> tuple[Child, int]:
        """With all that tells of it, and those who listen."""
        collector = free_port()
        self._group.start(
            "rotel",
            [*tools.receiver(), "start", "--exporter", "blackhole",
             "--otlp-http-endpoint", f"127.0.0.1:{collector}",
             "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"],
            self._load_core,
        )  # fmt: skip
        site = proxies.Site(free_port(), self._origin, free_port(), free_port(), self._made("seen"))
        argv = proxies.meshproxy(site)
        file = site.folder / "meshproxy.yaml"
        text = file.read_text()
        start = text.index("tracing:")
        middle = text.index("metrics:")
        end = text.index("logs:")
        spans = SPANS.format(collector=collector)
        file.write_text(text[:start] + spans + text[middle:end] + DEFAULT_LOG + "\n")
        child, port = self._start(argv, site, ROOT)
        self._group.start(
            "dashboard",
            ["curl", "-sN", "-o", "/dev/null", f"http://127.0.0.1:{site.admin}/live"],
            self._load_core,
        )
        return child, port

    def _start(self, argv: list[str], site: proxies.Site, tree: Path) -> tuple[Child, int]:
        child = self._group.start("meshproxy", argv, self._proxy_core, tree)
        child.wait_ready(site.port, "/small")
        return child, site.port


@contextmanager
def _tree(revision: str | None, folder: Path) -> Iterator[Path | None]:
    """Another revision of this checkout, in a folder of its own for as long as it is needed."""
    if revision is None:
        yield None
        return
    tree = folder / "tree"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "-q", "--detach", str(tree), revision], check=True)
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def main(argv: list[str] | None = None) -> int:
    """Print the table; 0 when it ran, 2 when something needed could not."""
    parser = argparse.ArgumentParser(prog="loadtests.seen", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--against", metavar="REV", help="a revision to compare with")
    args = parser.parse_args(argv)
    end_on_sigterm()
    try:
        found = measure(args.seconds, args.rounds, args.against)
    except (tools.MissingError, NotReadyError, WrkError) as error:
        print(f"seen: {error}", file=sys.stderr)
        return 2
    print("\n" + table(Seen.HEAD, found.rows()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
