"""What is foreseen is what then happens, for files, requests and traffic drawn by chance."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from meshproxy.core.foretold import Explanation
from tests.dataplane.foreseen import Asked, Seen, matches, sites

FILES, QUESTIONS = 80, 10
"""In each direction: 1,600 files and requests."""


def remembered(site: Asked) -> Any:
    """All that the sidecar tells of its state, entropy included."""
    now = site.time.now
    cells = site.cells()
    return (
        site._random.getstate(),
        [dict(cell.report(now)) for cell in cells if hasattr(cell, "report")],
        [list(cell.samples()) for cell in cells if hasattr(cell, "samples")],
        [
            (each.load, each.cost, each.healthy)
            for c in site.snapshot.clusters
            for each in c.endpoints
        ],
        len(site.told),
    )


def left(explanation: Explanation, mode: str) -> dict[tuple[str, str], int]:
    return {
        (step.rule, step.data["name"]): step.data["left"]
        for step in explanation.steps
        if step.policy == "rate_limits" and step.data["mode"] == mode
    }


def spent(told: Explanation, later: Explanation, mode: str) -> str:
    """What is wrong with what the limits have left after the request; empty if nothing is."""
    refused = any(
        step.data["wait_seconds"] > 0.0
        for step in told.steps
        if step.policy == "rate_limits" and step.data["mode"] in ("enforce", mode)
    )
    before, after = left(told, mode), left(later, mode)
    if later.elsewhere is not None or (later.outcome.reason == "UO" and not after):
        return ""  # whoever asks next meets other limits, or is shed before any is asked
    wrong = {
        key: (count, after[key])
        for key, count in before.items()
        if after[key] != (count if refused else max(0, count - 1))
    }
    return f"{mode}: {wrong}" if wrong else ""


def differs(told: Explanation, seen: Seen) -> str:
    """How what happened differs from what was told; empty if it does not."""
    outcome, exchange = told.outcome, seen.exchange
    route = told.elsewhere or told.route
    waits = outcome.action == "hold" or outcome.waits
    if route.name != (seen.sent[0][0] if seen.sent else exchange.route.name) and not waits:
        return f"route {exchange.route.name}"
    if outcome.action in ("refuse", "serve", "reset") and not outcome.waits:
        if not seen.ended or seen.sent:
            return f"not ended: {seen.held} {seen.sent}"
        refusal = exchange.refusal
        got = (
            (exchange.status, "", "")
            if refusal is None
            else (refusal.status, refusal.reason, refusal.rule)
        )
        if outcome.action == "reset":
            return "" if "FI" in exchange.flags and not exchange.status else "not reset"
        if refusal is None:
            return "" if outcome.status == exchange.status else f"status {exchange.status}"
        want = (outcome.status, outcome.reason, outcome.rule)
        return "" if got == want and refusal.detail == outcome.detail else f"{got} {refusal.detail}"
    if waits:
        return "" if seen.held and not seen.sent else f"not held: {seen.sent}"
    assert outcome.action == "forward"
    assert told.choice is not None
    names = [endpoint.name for endpoint, _ in told.choice.candidates]
    if exchange.endpoint is None or exchange.endpoint.name not in names:
        return f"endpoint {exchange.endpoint and exchange.endpoint.name}"
    if not seen.sent:
        # A tunnel is not sent, and one whose connection was refused is on its way to a retry.
        return "" if exchange.method == b"CONNECT" else "not sent"
    head = seen.sent[0][2]
    if told.rewrites is None or not matches(told.rewrites.head, head):
        return f"head {head!r} not {told.rewrites and told.rewrites.head!r}"
    return ""


@pytest.mark.parametrize("plan", ["inbound", "outbound"])
def test_hundreds_of_requests_go_as_foreseen(plan: str) -> None:
    seen: Counter[str] = Counter()
    for seed, site in sites(plan, FILES):
        for number in range(QUESTIONS):
            site.live()
            question = site.maker.question(plan)
            where = f"{plan} {seed} {number}: {question}"
            before = remembered(site)
            told = site.explain(question)
            assert remembered(site) == before, where
            what = site.tell(question)
            assert not differs(told, what), f"{where}\n{told}\n{site.text}"
            if what.exchange.route is told.route and told.elsewhere is None:
                later = site.explain(question)
                for mode in ("enforce", "shadow"):
                    assert not spent(told, later, mode), f"{where}\n{site.text}"
            seen[told.outcome.action] += 1
            seen[told.outcome.reason] += 1
            seen["random"] += told.choice is not None and not told.choice.is_certain
    met = {"forward", "hold", "refuse", "serve", "reset", "RL", "UO", "IH", "FI", "UT"}
    met |= {"random", "UH", "FB", "NR"} if plan == "outbound" else {"NC"}
    assert {name for name in met if not seen[name]} == set(), seen
