"""What a run has seen, and whether that is what its scenarios are about.

Scenarios note what no figure of locust's shows. With workers, each hands its notes to the master,
which judges. Knows no scenario: each has its own `problems`.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.allowance import Allowance
from loadtests.sidecar import LIMIT

CLOSED = "kept connection closed"
CLIENT = uuid.uuid4().hex
"""The one that bursts: each worker is its own, with a bucket of its own."""

seen: dict[str, int] = {}
allowance = Allowance(LIMIT, LIMIT)
limits: dict[str, list[str]] = {}
"""What was wrong with each such client's limit."""


def note(what: str) -> None:
    seen[what] = seen.get(what, 0) + 1


def count(response: Any, **_: Any) -> None:
    """Each request that ended, by status; 0 when there was no answer."""
    note(f"code {response.status_code}")


def judge(environment: Environment, **_: Any) -> None:
    """Write the figures where asked; exit 1 when a scenario ran without meeting its subject.

    A worker knows but a part: its master judges.
    """
    if isinstance(environment.runner, WorkerRunner):
        return
    limits.setdefault(CLIENT, allowance.problems())
    found = wrong(environment)
    for problem in found:
        print(f"FAILED: {problem}", flush=True)
        environment.process_exit_code = 1
    wanted = getattr(environment.parsed_options, "figures", "")
    if wanted:
        Path(wanted).write_text(json.dumps(figures(environment, found)))


def wrong(environment: Environment) -> list[str]:
    """What no single answer shows, and what locust counts as no failure."""
    options, total = environment.parsed_options, environment.stats.total
    users = getattr(options, "num_users", None) or 1
    seconds = (total.last_request_timestamp or 0) - (total.start_time or 0)
    crashes = environment.runner.exceptions.values() if environment.runner else ()
    found: list[str] = []
    for scenario in environment.user_classes:
        found += scenario.problems(users, max(0.0, seconds))  # type: ignore[attr-defined]
    # A scenario that breaks off has judged nothing.
    broke_off = [f"{crash['count']} x a scenario broke off: {crash['msg']}" for crash in crashes]
    return [f"{problem} ({json.dumps(seen)})" for problem in found] + broke_off


def figures(environment: Environment, found: list[str]) -> dict[str, Any]:
    """Totals of the run; p50 and p95 in milliseconds."""
    total = environment.stats.total
    errors = [
        f"{error.occurrences} x {error.method} {error.name}: {error.error}"
        for error in environment.stats.errors.values()
    ]
    return {
        "requests": total.num_requests,
        "failures": total.num_failures,
        "rate": total.total_rps,
        "p50": total.get_response_time_percentile(0.50) or 0,
        "p95": total.get_response_time_percentile(0.95) or 0,
        "seen": seen,
        "errors": errors,
        "problems": found,
    }


def hand_over(data: dict[str, Any], **_: Any) -> None:
    """A worker's notes since the last time go to the master with its figures."""
    data["seen"] = dict(seen)
    seen.clear()
    data["limits"] = {CLIENT: allowance.problems()}


def take_over(data: dict[str, Any], **_: Any) -> None:
    for what, times in data.get("seen", {}).items():
        seen[what] = seen.get(what, 0) + times
    limits.update(data.get("limits", {}))
