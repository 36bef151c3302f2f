"""The trials of `make resilience`: each plays a scene for as long as the fault catalogue says.

The scenes are those of tests/chaos; a trial turns what they left behind into figures. All are
the smaller the better, so a share is that of what was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.stall_report import Figure
from tests.chaos import exact, idle, scenes
from tests.chaos.scenes import CAPACITY, Run

Tell = Callable[[str], None]
"""Takes the line of JSON of each run."""


def percent(lost: float) -> float:
    return round(100.0 * lost, 2)


def accounted(trial: str, run: Run) -> Iterator[Figure]:
    """What the checker found; each must be nothing."""
    posts = {key for method, key in run.seen if method == "POST"}
    twice = sum(method == "POST" for method, _ in run.seen) - len(posts)
    yield Figure(trial, "POSTs delivered twice", twice, target=0)
    yield Figure(trial, "promises broken, of all requests", len(run.broken), target=0)


def idle_servers(tell: Tell) -> Iterator[Figure]:
    """Twenty rounds of 500 against gunicorn, ten of 1000 against uvicorn."""
    around_two = [1.9 + 0.2 * turn / 18 for turn in range(19)]
    around_five = [4.9 + 0.2 * turn / 8 for turn in range(9)]
    around_two[3], around_two[7], around_five[2], around_five[5] = 1.4, 1.45, 1.4, 1.45
    pauses = {"gunicorn": around_two, "uvicorn": around_five}
    with TemporaryDirectory() as folder:
        runs = idle.idle_servers(Path(folder), pauses, {"gunicorn": 500, "uvicorn": 1000})
    for kind, run in runs.items():
        tell(run.ledger.line(f"idle-{kind}", run.rss))
        trial = f"{kind}, {len(run.ledger.sent):,} requests"
        ours = sum(one.status >= 500 and one.is_ours for one in run.ledger.sent)
        yield Figure(trial, "5xx made by the proxy", ours, target=0)
        yield Figure(
            trial, "requests without a 200", len(run.ledger.sent) - run.ledger.ok, target=0
        )
        sent = sum(one.method == "POST" for one in run.ledger.sent)
        seen = sum(method == "POST" for method, _ in run.seen)
        yield Figure(trial, "POSTs sent and POSTs seen, difference", abs(sent - seen), target=0)
        yield from accounted(trial, run)


def hurt(tell: Tell) -> Iterator[Figure]:
    """One upstream of two, hurt for five seconds out of fifteen, at 100 requests a second."""
    yield from _hurt(tell, "", False, scenes.TRIES)


def helped(tell: Tell) -> Iterator[Figure]:
    """The same, with hedging and a fallback to another service."""
    yield from _hurt(tell, ", hedge and fallback", True, scenes.MOST_TRIES)


def _hurt(tell: Tell, also: str, helped: bool, tries: int) -> Iterator[Figure]:
    for fault in scenes.FAULTS:
        with TemporaryDirectory() as folder, scenes.pair(Path(folder), helped) as stage:
            run = scenes.hurt_one(stage, fault, rate=100.0, seconds=15.0, tries=tries)
        tell(run.ledger.line(f"upstream-{fault}{'-helped' if helped else ''}", run.rss))
        gets = [one for one in run.ledger.sent if one.method == "GET"]
        lost = sum(not one.ok for one in gets) / len(gets)
        trial = f"upstream {fault}{also}"
        yield from accounted(trial, run)
        yield Figure(trial, "GETs without an answer", percent(lost), "%", note=outcomes(run))
        yield Figure(trial, "GETs and POSTs, p99", run.ledger.percentile(0.99) * 1000.0, "ms")


def outcomes(run: Run) -> str:
    return ", ".join(f"{count} x {name}" for name, count in run.ledger.outcomes().items())


def waits(tell: Tell) -> Iterator[Figure]:
    """F23 to F25: how late the answer is where nobody answers."""
    for name, answers in exact.times(rounds=20).items():
        late = max(abs(took - exact.BOUND[name]) for _, took in answers)
        statuses = sorted({status for status, _ in answers})
        note = f"answered {statuses}, due after {exact.BOUND[name] * 1000:.0f} ms"
        yield Figure(WAITS[name], "worst error of 20", late * 1000.0, "ms", 50.0, 100.0, note)


WAITS = {
    "refused": "F23 refused",
    "hole": "F24 SYN swallowed",
    "silent": "F25 no answer, one try",
    "call": "F25 no answer, the call",
}


def slices(tell: Tell) -> Iterator[Figure]:
    wrong = exact.slices(1000)
    yield Figure("F34 one byte per segment", "bodies that differ, of 1,000", wrong, target=0)


def limits(tell: Tell) -> Iterator[Figure]:
    """F45: a minute at one, two and ten times the limit, with a reload every ten seconds."""
    with TemporaryDirectory() as folder:
        runs = exact.limits(Path(folder), 60.0, 10.0)
    for times, run in runs.items():
        tell(run.ledger.line(f"limit-x{times}", run.rss))
        first, last = run.ledger.sent[0].began, run.ledger.sent[-1].began
        due = exact.LIMIT * (last - first) + (exact.BURST if times > 1 else 0)
        error = abs(run.ledger.ok - due) / due
        note = f"{run.ledger.ok} admitted of {len(run.ledger.sent)}"
        yield Figure(f"F45 limiter at {times}x", "error", percent(error), "%", 2.0, 5.0, note)


def overload(tell: Tell) -> Iterator[Figure]:
    """F46: three times what the upstream can do, for half a minute."""
    seconds = 30.0
    for name, config in {"no sidecar": "", **LIMITS}.items():
        with TemporaryDirectory() as folder:
            here = Path(folder)
            run = scenes.overload(here, 3.0, seconds, not config, config or scenes.BOUNDED)
        tell(run.ledger.line(f"overload, {name}", run.rss))
        share = percent(max(0.0, 1.0 - run.ledger.ok / (CAPACITY * seconds)))
        trial = f"F46 overload 3x, {name}"
        target, floor = (5.0, 10.0) if config else (None, None)
        yield Figure(trial, "of the goodput lost", share, "%", target, floor, outcomes(run))
        if config:
            yield from _shed(trial, run)


LIMITS = {"limit of 10": scenes.BOUNDED, "adaptive limit": scenes.ADAPTIVE}


def _shed(trial: str, run: Run) -> Iterator[Figure]:
    shed = [one for one in run.ledger.sent if one.reason == "UO"]
    begins = min(one.ended for one in shed) - run.ledger.sent[0].began
    yield Figure(trial, "shedding begins after", begins, "s", 1.0, 3.0)
    admitted = run.ledger.percentile(0.99) * 1000.0
    yield Figure(trial, "p99 of what was admitted", admitted, "ms", 400.0, 500.0)


def storm(tell: Tell) -> Iterator[Figure]:
    """F47: a minute of nothing but 503, with the default budget, through two sidecars."""
    with TemporaryDirectory() as folder:
        run = scenes.storm(Path(folder), rate=200.0, seconds=60.0)
    tell(run.ledger.line("retry-storm", run.rss))
    yield Figure("F47 retry storm, two hops", "attempts per request", run.attempts, "x", 1.44)


def outage(tell: Tell) -> Iterator[Figure]:
    """F48: ten seconds without an upstream, while every caller tries three times."""
    for direct in (True, False):
        with TemporaryDirectory() as folder:
            run = scenes.outage(Path(folder), 10.0, 10.0, 20.0, direct=direct)
        tell(run.ledger.line("outage-direct" if direct else "outage", run.rss))
        trial = f"F48 outage of 10 s, {'no sidecar' if direct else 'sidecar'}"
        target = None if direct else 10.0
        seconds, note = _recovery(run), outcomes(run)
        yield Figure(trial, "until 99 % succeed again", seconds, "s", target, None, note)


def _recovery(run: Run) -> float:
    """Seconds after the end of the outage from which on each second has 99 % of good answers."""
    bad = [second for second in range(20) if run.share_ok(20.0 + second, 21.0 + second) < 0.99]
    return max(bad) + 1.0 if bad else 0.0
