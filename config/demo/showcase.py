"""The five lines of curl that the demo prints, and what each must answer.

A line is text for a person to paste; `--check` runs the very same text and judges
its output. Knows the demo's addresses and nothing of processes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from topology import Node

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"

Judge = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of shell, what it shows, and what is wrong with an output of it, if anything."""

    shows: str
    shell: str
    judge: Judge


def lines(nodes: Mapping[str, Node], front_yaml: Path) -> list[Line]:
    """The five lines for these addresses; `front_yaml` is the copy that the last one edits."""
    front, orders, flaky = nodes["front"], nodes["orders"], nodes["payments-2"]
    menu = f"http://127.0.0.1:{front.inbound}/menu"
    checkout = f"http://127.0.0.1:{front.inbound}/checkout"
    codes = "curl -s -o /dev/null -w '%{http_code} '"
    return [
        Line(
            "a limit: 5 at once and 1/s per client, then 429 with the time to wait",
            f"{codes} -H 'x-client-id: ada' '{menu}?n=[1-7]'; "
            f"curl -si -H 'x-client-id: ada' {menu}",
            judge_limit,
        ),
        Line(
            "a retry: one payment in six fails, a second attempt saves it, no caller sees it",
            f"{codes} -d item=tea '{checkout}?n=[1-12]'; "
            f"curl -s http://127.0.0.1:{orders.metrics}/metrics | "
            "grep -E '^meshproxy_(upstream_attempts|retries)_total.*payments'",
            judge_retry,
        ),
        Line(
            "an open breaker: payments-2 goes down, orders' sidecar stops asking it",
            f"curl -s -X POST http://127.0.0.1:{flaky.app}/mode/down; "
            f"{codes} -d item=tea '{checkout}?n=[1-20]'; "
            f"curl -s http://127.0.0.1:{orders.admin}/breakers | grep -A1 :{flaky.inbound}; "
            f"curl -s -X POST http://127.0.0.1:{flaky.app}/mode/flaky",
            judge_breaker(flaky.inbound),
        ),
        Line(
            "a trace: one id through all four hops",
            f"curl -s -H 'traceparent: 00-{TRACE_ID}-00f067aa0ba902b7-01' "
            f"-d item=tea '{checkout}?hops'",
            judge_trace,
        ),
        Line(
            "a reload: the file changes, the limit of the first line is gone a second later",
            f"sed -i 's|limit: 1/s, burst: 5|limit: 1000/s, burst: 100|' {front_yaml}; sleep 2; "
            f"{codes} -H 'x-client-id: ada' '{menu}?n=[1-8]'",
            judge_reload,
        ),
    ]


def judge_limit(output: str) -> str | None:
    """Some pass, then 429 says why and for how long."""
    seen = statuses(output)
    if "200" not in seen or "429" not in seen:
        return f"expected some 200 and then 429, got {seen}"
    head = output.lower()
    missing = [
        field
        for field in ("retry-after:", "ratelimit:", "ratelimit-policy:", "x-meshproxy-reason: rl")
        if field not in head
    ]
    return f"the 429 lacks {missing}" if missing else None


def judge_retry(output: str) -> str | None:
    """All twelve orders are paid, at least one of them by a second attempt."""
    if statuses(output) != ["200"] * 12:
        return f"expected 12 times 200, got {statuses(output)}"
    saved = re.search(
        r'^meshproxy_retries_total\{.*outcome="success".*\} ([1-9])', output, re.MULTILINE
    )
    return None if saved else "no retry succeeded"


def judge_breaker(port: int) -> Judge:
    """All twenty orders are paid while the breaker of the instance at `port` is open."""

    def judge(output: str) -> str | None:
        if statuses(output) != ["200"] * 20:
            return f"expected 20 times 200, got {statuses(output)}"
        state = re.search(rf':{port}"[^{{}}]*"state": *"(\w+)"', output)
        found = state[1] if state else "not reported"
        return None if found == "open" else f"the breaker is {found}"

    return judge


def judge_trace(output: str) -> str | None:
    """Every hop saw the caller's trace id, each under a span of its own."""
    seen = [hop["traceparent"] or "" for hop in json.loads(output)["hops"]]
    if len(seen) != 4 or any(TRACE_ID not in parent for parent in seen):
        return f"expected 4 hops of one trace, got {seen}"
    return None if len(set(seen)) == 4 else f"two hops share a span: {seen}"


def judge_reload(output: str) -> str | None:
    """Eight requests in a row pass where five did before."""
    seen = statuses(output)
    return None if seen == ["200"] * 8 else f"expected 8 times 200, got {seen}"


def statuses(output: str) -> list[str]:
    """The status codes that `curl -w '%{http_code} '` left in the output."""
    run = re.search(r"(?:\b[1-5]\d\d ){2,}", output)
    return run[0].split() if run else []
