"""What it costs a sidecar to be watched: CPU per request, with nobody and with somebody at /tap.

`python -m loadtests.tap` drives one sidecar on one core as fast as it goes, in rounds, with each
kind of listener in turn, and prints a table. Differences are taken inside a round. A missed bar
is reported, never an error; exit 2 when it cannot run.
"""

from __future__ import annotations

import argparse
import compileall
import os
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from loadtests import proxies, tools
from loadtests.bench import PACKAGE, Bench, start_origin, turn
from loadtests.measure import SCENARIOS, Sample, WrkError, run_wrk, sample
from loadtests.processes import Group, NotReadyError, cores, end_on_sigterm, free_port
from loadtests.report import table

NOBODY, ONE = "nobody listens", "one listener, 1000 lines/s"
GONE = 0.2
"""Seconds until a sidecar has surely noticed that its listeners left."""
ALLOWED = 5.0
"""Percent of the throughput that one listener may cost."""

NEVER = "filter=" + quote("status==599 and route==nowhere")
LONG = "filter=" + quote(
    "path~/*/nothing/* or reason in (UF, UT) or duration>10s or client~192.168. or status==4xx"
)
CASES: dict[str, list[str]] = {
    NOBODY: [],
    "a filter that never matches": [NEVER],
    "a long one that never matches": [LONG],
    ONE: [""],
    "the same as text": ["format=text"],
    "8 listeners, 1000 lines/s each": [""] * 8,
    "one listener, 10000 lines/s": ["rate=10000/s"],
}
"""What listens: a query of /tap for each."""

HEAD = ["who listens", "", "CPU us", "more us", "req/s", "fewer %", "p99 ms", "lines/s", "left out"]


@dataclass(slots=True)
class Heard:
    """What the listeners of one run were told."""

    lines: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One case in one round."""

    sample: Sample
    heard: Heard


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 0 when it ran, 2 when something needed could not, 130 interrupted."""
    args = read_options(argv)
    end_on_sigterm()
    try:
        runs = measure(args.seconds, args.rounds)
    except (tools.MissingError, NotReadyError, WrkError) as error:
        print(f"tap: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntap: interrupted", file=sys.stderr)
        return 130
    print("\n" + table(HEAD, rows(runs)))
    cost = fewer(runs, ONE)
    verdict = "met" if cost <= ALLOWED else "MISSED"
    print(f"\n{ONE}: {cost:.1f} % fewer requests, at most {ALLOWED:g} %: {verdict}")
    return 0


def measure(seconds: int, rounds: int) -> dict[str, list[Run]]:
    """Every case, once a round, beginning with another one each time."""
    tools.ensure({"nginx", "wrk"}, wheel=False)
    compileall.compile_dir(PACKAGE, quiet=1)
    both = cores()
    if len(both) < 2:
        raise tools.MissingError("two cores are needed: one for the sidecar, one for all others")
    os.sched_setaffinity(0, {both[1]})
    runs: dict[str, list[Run]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory(prefix="tap-") as folder, Group(Path(folder)) as group:
        bench = Bench(group, Path(folder), free_port(), both[0], both[1])
        start_origin(bench)
        site = bench.site("meshproxy")
        here = Path(__file__).parents[1]
        child = group.start("meshproxy", proxies.meshproxy(site), bench.proxy_core, here)
        child.wait_ready(site.port, "/small")
        run_wrk(bench.wrk, SCENARIOS[0], site.port, 1)
        for number in range(1, rounds + 1):
            for name in turn(list(CASES), number):
                with listening(site.admin, CASES[name]) as heard:
                    taken = sample(bench.wrk, SCENARIOS[0], site.port, seconds, child.pid)
                if not taken.seen.requests:
                    raise NotReadyError(f"nothing was served in {seconds} s: {name}")
                runs[name].append(Run(taken, heard))
                loud = f"  !! {taken.seen.broken} FAILED" if taken.seen.broken else ""
                cost = f"{taken.cpu * 1e6:8.1f} us CPU {taken.rate:9.0f} req/s {heard.lines} lines"
                print(f"{number}/{rounds} {name:32}{cost}{loud}", flush=True)
    return runs


@contextmanager
def listening(port: int, queries: list[str]) -> Iterator[Heard]:
    """Listeners that read all they are told while the block runs."""
    heard = Heard()
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(opened(port, query))) for query in queries]
        for reader in readers:
            reader.start()
        yield heard
        for reader in readers:
            reader.stop()
    time.sleep(GONE)
    heard.lines = sum(reader.lines for reader in readers)
    heard.left_out = sum(reader.left_out for reader in readers)


def opened(port: int, query: str) -> socket.socket:
    """A connection to /tap, after its first sign of life."""
    connection = socket.create_connection(("127.0.0.1", port), 10.0)
    connection.sendall(f"GET /tap?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    seen = b""
    while not seen.partition(b"\r\n\r\n")[2]:
        piece = connection.recv(65536)
        if not piece:
            raise NotReadyError(f"/tap ended:\n{seen.decode(errors='replace')}")
        seen += piece
    if b" 200 " not in seen[:20]:
        raise NotReadyError(f"/tap said no:\n{seen.decode(errors='replace')}")
    return connection


class Reader(threading.Thread):
    """Counts lines, and what it is told of those that were left out."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._connection.settimeout(None)
        self.lines = 0
        self.left_out = 0

    def run(self) -> None:
        last = b""
        while piece := self._connection.recv(1 << 20):
            self.lines += piece.count(b"\n")
            # The latest word counts all; it may come in two pieces.
            last = (last + piece)[-(1 << 16) :]
            for found in re.finditer(rb'"over_rate":([0-9]+),"too_slow":([0-9]+)', last):
                self.left_out = int(found[1]) + int(found[2])

    def stop(self) -> None:
        """Leave, and hear what was still on its way."""
        self._connection.shutdown(socket.SHUT_WR)
        self.join(5.0)


def rows(runs: dict[str, list[Run]]) -> Iterator[list[str]]:
    for name, found in runs.items():
        seconds = [run.sample.seen.seconds for run in found]
        yield [
            name,
            "",
            f"{median([run.sample.cpu * 1e6 for run in found]):.1f}",
            "-" if name == NOBODY else f"{more(runs, name):+.2f}",
            f"{median([run.sample.rate for run in found]):,.0f}",
            "-" if name == NOBODY else f"{fewer(runs, name):.1f}",
            f"{median([run.sample.seen.p99 * 1e3 for run in found]):.1f}",
            f"{sum(run.heard.lines for run in found) / sum(seconds):,.0f}",
            f"{sum(run.heard.left_out for run in found):,}",
        ]


def more(runs: dict[str, list[Run]], name: str) -> float:
    """Microseconds of CPU per request above nobody's in the same round, median over rounds."""
    pairs = zip(runs[name], runs[NOBODY], strict=True)
    return median([(mine.sample.cpu - theirs.sample.cpu) * 1e6 for mine, theirs in pairs])


def fewer(runs: dict[str, list[Run]], name: str) -> float:
    """Percent of nobody's requests that were not served in the same round, median over rounds."""
    pairs = zip(runs[name], runs[NOBODY], strict=True)
    return median([(1.0 - mine.sample.rate / theirs.sample.rate) * 100 for mine, theirs in pairs])


def median(figures: list[float]) -> float:
    return statistics.median(figures)


def read_options(argv: list[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program (2) on a usage error."""
    parser = argparse.ArgumentParser(prog="loadtests.tap", description=__doc__)
    parser.add_argument("--seconds", type=_count, default=5, help="of each run (5)")
    parser.add_argument("--rounds", type=_count, default=5, help="turns of each listener (5)")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 600:
        raise argparse.ArgumentTypeError("from 1 to 600")
    return number


if __name__ == "__main__":
    sys.exit(main())
