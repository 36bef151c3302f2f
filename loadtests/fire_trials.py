"""The trials of `make fire`: reloads, upgrades and workers that end in every way, many times.

Callers ask without a pause, kept and new connections; each request carries an id that the app
writes down and echoes (tests/chaos/checker.py). All figures are the smaller the better.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.stall_report import Figure
from tests.chaos.checker import Ledger
from tests.e2e.callers import calling, deliveries, echo
from tests.e2e.crews import Crew, Successive
from tests.e2e.harness import Origin, Sidecar, answering, eventually, fetch

CONFIG = """
workers: WORKERS
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
shutdown: {drain: 20s}
logs: {level: info, format: json, access: {errors: false, sample: 0%}}
"""
KEPT, ANEW = 3, 3
CALLERS = KEPT + ANEW


def config(workers: int) -> str:
    return CONFIG.replace("WORKERS", str(workers))


@contextmanager
def site() -> Iterator[tuple[Crew, Origin]]:
    """An app that echoes, and a sidecar of two workers before it."""
    with Origin.running(answering(echo)) as app, Crew.running(config(2), app=app.address) as crew:
        crew.wait_workers(2)
        yield crew, app


def nothing_lost(trial: str, ledger: Ledger, app: Origin) -> Iterator[Figure]:
    """What the checker found."""
    bad = sum(not one.ok for one in ledger.sent)
    note = f"of {len(ledger.sent):,} requests, p99 {1000 * ledger.percentile(0.99):.1f} ms"
    yield Figure(trial, "requests without a 200", bad, target=0, note=note)
    broken = len(ledger.verdicts(deliveries(app)))
    yield Figure(trial, "promises broken, of all requests", broken, target=0)


def f11(times: int) -> Iterator[Figure]:
    """Reloads, half of them of a bad file, one as soon as the other is answered."""
    trial = f"F11 {times:,} reloads"
    with (
        Origin.running(answering(echo)) as app,
        Sidecar.running(config(1), app=app.address) as sidecar,
    ):
        with calling(sidecar, KEPT, ANEW) as callers:
            time.sleep(3.0)
            quiet = callers.ledger.percentile(0.99)
            began = time.monotonic()
            for number in range(times):
                text = config(1).replace("name: many", f"name: many-{number}")
                sidecar.write(text if number % 2 else text.replace("match:", "mtach:"))
                assert (sidecar.reload().status == 200) is bool(number % 2)
            during = callers.ledger.between(began, time.monotonic())
            closed = callers.closed
        yield from nothing_lost(trial, callers.ledger, app)
        yield Figure(trial, "kept connections closed", closed, target=0)
        busy = Ledger()
        busy.sent = during
        more = max(0.0, busy.percentile(0.99) - quiet)
        note = f"{1000 * quiet:.1f} ms before"
        yield Figure(trial, "more at p99", 1000 * more, "ms", 5.0, note=note)


def f15(times: int) -> Iterator[Figure]:
    """Workers are told to leave one after the other: nobody notices."""
    trial = f"F15 {times} workers replaced in order"
    with site() as (crew, app):
        files = crew.open_files()
        with calling(crew, KEPT, ANEW) as callers:
            for number in range(times):
                os.kill(crew.pids()[number % 2], signal.SIGTERM)
                _ready(crew, 3 + number)
        yield from nothing_lost(trial, callers.ledger, app)
        yield Figure(trial, "descriptors leaked", crew.open_files() - files, target=0)


def f16(times: int) -> Iterator[Figure]:
    """Workers are killed at random: only what they were doing is lost, and they are back."""
    trial = f"F16 {times} workers killed"
    draw = random.Random(16)
    back: list[float] = []
    with site() as (crew, app):
        files = crew.open_files()
        with calling(crew, KEPT, ANEW) as callers:
            for number in range(times):
                # Two seconds and more between two deaths of one seat: no crash loop.
                time.sleep(draw.uniform(1.1, 1.6))
                began = time.monotonic()
                os.kill(_oldest(crew), signal.SIGKILL)
                _ready(crew, 3 + number)
                back.append(time.monotonic() - began)
        ledger = callers.ledger
        failed = sum(not one.ok for one in ledger.sent)
        note = f"of {len(ledger.sent):,}; {times} times {CALLERS} may be under way"
        yield Figure(trial, "requests without a 200", failed, target=times * CALLERS, note=note)
        broken = len(ledger.verdicts(deliveries(app)))
        yield Figure(trial, "promises broken, of all requests", broken, target=0)
        yield Figure(trial, "longest request", _longest(ledger), "ms", 1000.0)
        yield Figure(trial, "back after, median", 1000 * statistics.median(back), "ms", 1000.0)
        yield Figure(trial, "back after, the longest", 1000 * max(back), "ms", 1000.0)
        yield Figure(trial, "descriptors leaked", crew.open_files() - files, target=0)


def f17(times: int) -> Iterator[Figure]:
    """Workers are stopped: noticed, replaced, and no new connection hangs."""
    trial = f"F17 {times} workers stopped"
    noticed: list[float] = []
    replaced: list[float] = []
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
                longest = max(longest, time.monotonic() - at)
                if not known and len(crew.events("worker_stuck")) > number:
                    known = True
                    noticed.append(time.monotonic() - began)
            replaced.append(time.monotonic() - began)
    yield Figure(trial, "longest of a new connection", 1000 * longest, "ms", 1000.0)
    yield Figure(trial, "noticed after, the longest", 1000 * max(noticed), "ms", 1000.0)
    yield Figure(trial, "replaced after, the longest", 1000 * max(replaced), "ms", 5000.0)


def upgrades(times: int) -> Iterator[Figure]:
    """One new version after the other, of one and of two workers."""
    for workers in (1, 2):
        trial = f"{times} upgrades, {workers} worker{'s' if workers > 1 else ''}"
        with (
            Origin.running(answering(echo)) as app,
            Successive.running(config(workers), app=app.address) as sidecar,
        ):
            took: list[float] = []
            with calling(sidecar, KEPT, ANEW) as callers:
                for _ in range(times):
                    began = time.monotonic()
                    assert sidecar.upgrade() == ""
                    took.append(time.monotonic() - began)
                    before = callers.ledger.ok
                    eventually(lambda before=before: callers.ledger.ok > before + 50, 10.0)  # type: ignore[misc]
            yield from nothing_lost(trial, callers.ledger, app)
            yield Figure(trial, "one upgrade, median", 1000 * statistics.median(took), "ms")


def f45(seconds: int) -> Iterator[Figure]:
    """A limit of 50/s over two workers, asked for ten times as much and more."""
    with site() as (crew, _):
        over = time.monotonic() + seconds
        admitted: list[int] = []

        def caller() -> None:
            good = 0
            while time.monotonic() < over:
                good += fetch(crew.inbound, "/many").status == 200
            admitted.append(good)

        threads = [threading.Thread(target=caller) for _ in range(4)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = 50 * (time.monotonic() - began) + 50
    error = 100 * abs(sum(admitted) / wanted - 1)
    note = f"{sum(admitted):,} admitted, {wanted:,.0f} due"
    yield Figure("F45 one limit, two workers", "error", error, "%", 5.0, note=note)


def breaker(times: int) -> Iterator[Figure]:
    """From the turn in one worker to the last request that another let through."""
    between: list[float] = []
    for _ in range(times):
        with site() as (crew, _app):
            while not _is_open(crew):
                pass
            turned = last = time.monotonic()
            alike = 0
            while alike < 40:
                if _is_open(crew):
                    alike += 1
                else:
                    alike, last = 0, time.monotonic()
            between.append(last - turned)
    trial = f"breaker, {times} times"
    yield Figure(trial, "open in all workers after", 1000 * max(between), "ms", 100.0)


def memory(_times: int) -> Iterator[Figure]:
    """What a supervisor and two workers take, and what the supervisor does when idle."""
    with site() as (crew, _):
        with calling(crew, KEPT, ANEW):
            time.sleep(3.0)
        before, began = crew.cpu_seconds(), time.monotonic()
        time.sleep(10.0)
        share = (crew.cpu_seconds() - before) / (time.monotonic() - began)
        told = {pid: _memory(pid) for pid in (crew.pid, *crew.pids())}
    whole = sum(one["Pss"] for one in told.values())
    note = "resident: " + ", ".join(f"{one['Rss']:.1f}" for one in told.values())
    yield Figure("two workers", "memory of all", whole, "MiB", note=note)
    yield Figure("two workers", "supervisor's processor, idle", 100 * share, "%", 0.5)


def _is_open(crew: Crew) -> bool:
    return fetch(crew.outbound, headers={"Host": "gone"}).get("x-meshproxy-reason") == "UO"


def _memory(pid: int) -> dict[str, float]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return {name: int(lines[name].split()[0]) / 1024 for name in ("Rss", "Pss")}


def _oldest(crew: Crew) -> int:
    """The worker that has been there longest."""
    started = {line["pid"]: place for place, line in enumerate(crew.events("worker_started"))}
    return min(crew.pids(), key=lambda pid: started.get(pid, 0))


def _ready(crew: Crew, count: int) -> None:
    eventually(lambda: len(crew.events("worker_ready")) >= count, 10.0, f"worker {count}")


def _longest(ledger: Ledger) -> float:
    return 1000 * max(one.took for one in ledger.sent)
