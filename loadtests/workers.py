"""What becomes of several workers under faults, many times over: run by hand, not by `make test`.

Prints a line of JSON for each trial and exits 1 when a promise was broken. Every request carries
an id that the upstream writes down and echoes (tests/chaos/checker.py).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.crews import Crew, deliveries, echo, traffic
from tests.e2e.harness import Origin, answering, eventually, fetch

CONFIG = """
workers: 2
inbound:
  listen: <inbound>
  app: http://<app>
  concurrency: off
  routes:
    - {name: many, match: GET /many, rate_limits: [{name: many, limit: 50/s, burst: 50}]}
outbound:
  listen: <outbound>
  services:
    gone: {endpoints: [<gone>], retry: off, circuit_breaker: {consecutive_failures: 5}}
shutdown: {drain: 5s}
logs: {level: info, format: json, access: {errors: false, sample: 0%}}
"""
CALLERS = 6
Figures = dict[str, Any]


@contextmanager
def site() -> Iterator[tuple[Crew, Origin]]:
    """An app that echoes, and a sidecar of two workers before it."""
    with Origin.running(answering(echo)) as app, Crew.running(CONFIG, app=app.address) as crew:
        crew.wait_workers(2)
        yield crew, app


def f15(times: int) -> Figures:
    """Workers are told to leave one after the other under traffic: nobody notices."""
    with site() as (crew, app):
        files = crew.open_files()
        with traffic(crew, CALLERS) as ledger:
            for number in range(times):
                os.kill(crew.pids()[number % 2], signal.SIGTERM)
                _ready(crew, 3 + number)
        broken = ledger.verdicts(deliveries(app))
        bad = sum(not one.ok for one in ledger.sent)
        leaked = crew.open_files() - files
        return {
            "sent": len(ledger.sent), "failed": bad, "broken": broken[:5],
            "descriptors_leaked": leaked, "held": not (bad or broken or leaked),
        }  # fmt: skip


def f16(times: int) -> Figures:
    """Workers are killed at random: only what they were doing is lost, and they are back."""
    draw = random.Random(16)
    back: list[float] = []
    with site() as (crew, app):
        files = crew.open_files()
        with traffic(crew, CALLERS) as ledger:
            for number in range(times):
                # Two seconds and more between two deaths of one seat: no crash loop.
                time.sleep(draw.uniform(1.1, 1.6))
                began = time.monotonic()
                os.kill(_oldest(crew), signal.SIGKILL)
                _ready(crew, 3 + number)
                back.append(time.monotonic() - began)
        failed = [one for one in ledger.sent if not one.ok]
        broken = ledger.verdicts(deliveries(app))
        leaked = crew.open_files() - files
        told = [line["seconds"] for line in crew.events("worker_ready")[2:]]
        return {
            "sent": len(ledger.sent), "failed": len(failed),
            "failed_at_most": times * CALLERS, "outcomes": ledger.outcomes(),
            "longest_ms": _ms(max(one.took for one in ledger.sent)),
            "back_ms": {"median": _ms(statistics.median(back)), "max": _ms(max(back))},
            "fork_to_ready_ms": {"median": _ms(statistics.median(told)), "max": _ms(max(told))},
            "broken": broken[:5], "descriptors_leaked": leaked,
            "held": len(failed) <= times * CALLERS and not broken and not leaked and max(back) < 1,
        }  # fmt: skip


def f17(times: int) -> Figures:
    """Workers are stopped: noticed, replaced, and no new connection hangs."""
    noticed: list[float] = []
    replaced: list[float] = []
    asked = 0
    longest = 0.0
    with site() as (crew, _):
        for number in range(times):
            victim = _oldest(crew)
            began = time.monotonic()
            os.kill(victim, signal.SIGSTOP)
            known = False
            while len(crew.events("worker_ready")) < 3 + number:
                at = time.monotonic()
                assert fetch(crew.inbound, timeout=3.0).status == 200
                asked += 1
                longest = max(longest, time.monotonic() - at)
                if not known and len(crew.events("worker_stuck")) > number:
                    known = True
                    noticed.append(time.monotonic() - began)
            replaced.append(time.monotonic() - began)
        return {
            "new_connections": asked, "longest_ms": _ms(longest),
            "noticed_ms": _ms(max(noticed)), "replaced_ms": _ms(max(replaced)),
            "held": longest < 1.0 and max(noticed) <= 1.05 and max(replaced) <= 5.0,
        }  # fmt: skip


def f45(seconds: int) -> Figures:
    """A limit of 50/s over two workers, asked for ten times as much and more."""
    with site() as (crew, _):
        over = time.monotonic() + seconds
        admitted: list[int] = []
        refused: list[int] = []

        def caller() -> None:
            good = bad = 0
            while time.monotonic() < over:
                if fetch(crew.inbound, "/many").status == 200:
                    good += 1
                else:
                    bad += 1
            admitted.append(good)
            refused.append(bad)

        threads = [threading.Thread(target=caller) for _ in range(4)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = 50 * (time.monotonic() - began) + 50
        error = sum(admitted) / wanted - 1
        return {
            "admitted": sum(admitted), "refused": sum(refused), "wanted": round(wanted),
            "error_percent": round(100 * error, 2), "held": abs(error) <= 0.05,
        }  # fmt: skip


def breaker(times: int) -> Figures:
    """From the turn in one worker to the turn in the other, as their log lines are dated."""
    between: list[float] = []
    for _ in range(times):
        with site() as (crew, _app):
            while True:
                answer = fetch(crew.outbound, headers={"Host": "gone"})
                if answer.get("x-meshproxy-reason") == "UO":
                    break
            turned = time.monotonic()
            alike = 0
            last = turned
            while alike < 40:
                answer = fetch(crew.outbound, headers={"Host": "gone"})
                if answer.get("x-meshproxy-reason") == "UO":
                    alike += 1
                else:
                    alike, last = 0, time.monotonic()
            between.append(last - turned)
    return {"open_in_all_after_ms": {"max": _ms(max(between))}, "held": max(between) < 0.1}


def memory(_times: int) -> Figures:
    """What a supervisor and two workers take, and what the supervisor does when idle."""
    with site() as (crew, _):
        with traffic(crew, CALLERS):
            time.sleep(3.0)
        before, began = crew.cpu_seconds(), time.monotonic()
        time.sleep(10.0)
        share = (crew.cpu_seconds() - before) / (time.monotonic() - began)
        each = {"supervisor": _memory(crew.pid)}
        each |= {f"worker {place}": _memory(pid) for place, pid in enumerate(crew.pids())}
        whole = sum(one["pss"] for one in each.values())
        return {"mib": each, "pss_mib": round(whole, 1), "supervisor_idle_percent":
                round(100 * share, 2), "held": share < 0.005}  # fmt: skip


def _memory(pid: int) -> dict[str, float]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return {name.lower(): round(int(lines[name].split()[0]) / 1024, 1) for name in ("Rss", "Pss")}


def _oldest(crew: Crew) -> int:
    """The worker that has been there longest."""
    started = {line["pid"]: place for place, line in enumerate(crew.events("worker_started"))}
    return min(crew.pids(), key=lambda pid: started.get(pid, 0))


def _ready(crew: Crew, count: int) -> None:
    eventually(lambda: len(crew.events("worker_ready")) >= count, 10.0, f"worker {count}")


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


TRIALS: dict[str, tuple[Callable[[int], Figures], int]] = {
    "f15": (f15, 100),
    "f16": (f16, 50),
    "f17": (f17, 5),
    "f45": (f45, 20),
    "breaker": (breaker, 10),
    "memory": (memory, 1),
}


def main(argv: list[str] | None = None) -> int:
    """Run the trials; 0 when every promise held."""
    parser = argparse.ArgumentParser(prog="loadtests.workers", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--times", type=int, help="instead of 50 or 100")
    args = parser.parse_args(argv)
    held = True
    for name in args.only:
        trial, times = TRIALS[name]
        figures = trial(args.times or times)
        held = held and figures["held"]
        print(json.dumps({"trial": name, **figures}), flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
