"""The lines of shell that the demo prints, and what each must answer.

A line is text for a person to paste; `--check` runs the very same text and judges
its output. Knows the demo's addresses and nothing of processes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from topology import Node

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"

MESHPROXY = f"{sys.executable} -m meshproxy"

Judge = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of shell, what it shows, and what is wrong with an output of it, if anything."""

    shows: str
    shell: str
    judge: Judge
    of_spans: bool = False
    """It shows nothing where no collector receives them."""


def lines(nodes: Mapping[str, Node], folder: Path) -> list[Line]:
    """The lines for these addresses; in `folder` are logs, and the files that may be edited."""
    front_yaml, spans = folder / "front.yaml", folder / "collector.log"
    picture = folder / "profile.svg"
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
            "its spans, at a collector: a server's at each hop, a client's for each attempt",
            f"sleep 2; grep -A5 'Trace ID *: {TRACE_ID}' {spans} | "
            "grep -E '^ *(Name|Kind) *:' | sort | uniq -c",
            judge_spans,
            of_spans=True,
        ),
        Line(
            "the way of a request, before it is sent: every rule with its file and line",
            f"{MESHPROXY} explain GET /menu -H 'x-client-id: ada' "
            f"--live --admin 127.0.0.1:{front.admin}",
            judge_explain,
        ),
        Line(
            "requests as they pass: what orders asks of payments",
            f"(sleep 1; {codes} -d item=tea '{checkout}?n=[1-12]' >/dev/null) & "
            f"{MESHPROXY} tap --filter 'upstream==payments' --limit 6 --format text "
            f"--admin 127.0.0.1:{orders.admin}; wait",
            judge_tap,
        ),
        Line(
            "the live table, once: rates, latencies, retries, and who is open",
            f"{codes} -d item=tea '{checkout}?n=[1-12]' >/dev/null & "
            f"{MESHPROXY} top --once --every 2s --admin 127.0.0.1:{orders.admin}; wait",
            judge_top,
        ),
        Line(
            "where its time goes: a flame graph of two seconds",
            f"curl -s 'http://127.0.0.1:{orders.admin}/debug/profile?seconds=2' "
            f"-o {picture}; ls -l {picture}; head -c 300 {picture}",
            judge_profile,
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


def judge_spans(output: str) -> str | None:
    """Servers' and clients' spans of that one trace."""
    kinds = re.findall(r"([0-9]+) +Kind *: SPAN_KIND_(\w+)", output)
    counts = {kind: int(count) for count, kind in kinds}
    enough = counts.get("SERVER", 0) >= 4 and counts.get("CLIENT", 0) >= 4
    return None if enough else f"expected 4 spans of servers and of clients, got {counts}"


def judge_explain(output: str) -> str | None:
    """It says where the rule stands."""
    return None if re.search(r"front\.yaml:\d+", output) else "no file and line in it"


def judge_tap(output: str) -> str | None:
    """Six lines about payments."""
    seen = len(re.findall(r"out +200 .* /payments/charges .* -> 127\.0\.0\.1:\d+", output))
    return None if seen == 6 else f"expected six requests, got {seen}"


def judge_top(output: str) -> str | None:
    """A row for the upstream, and its endpoints."""
    return None if "payments" in output and "RPS" in output else "no table"


def judge_profile(output: str) -> str | None:
    """An SVG."""
    return None if "<svg" in output else "no picture"


def judge_reload(output: str) -> str | None:
    """Eight requests in a row pass where five did before."""
    seen = statuses(output)
    return None if seen == ["200"] * 8 else f"expected 8 times 200, got {seen}"


def statuses(output: str) -> list[str]:
    """The status codes that `curl -w '%{http_code} '` left in the output."""
    run = re.search(r"(?:\b[1-5]\d\d ){2,}", output)
    return run[0].split() if run else []
