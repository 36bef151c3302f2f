"""How long a request may take, and how often it may be tried: every clock, and the worst case.

For those who explain; the clocks themselves run in `deadlines`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from meshproxy.core.exchange import Exchange
from meshproxy.core.explanation import Step, Tries
from meshproxy.core.foretold import Clock, Outcome, Repeats, Worst
from meshproxy.core.route import Route
from meshproxy.logic.units import write_duration
from meshproxy.logic.worst_case import longest_call

LONGEST_DIRECTED = 450.0
"""Seconds: the longest pause that an answer's Retry-After can lead to (`logic.retry`)."""


def clocks(route: Route, steps: Sequence[Step]) -> Iterator[Clock]:
    """Those of the route, and those that a policy told of."""
    if route.cluster is None:
        return
    yield Clock("timeout", route.timeout, route.origin("timeout"))
    place = route.origin("retry", "per_try_timeout")
    yield Clock("per_try_timeout", route.per_try_timeout, place)
    yield Clock("connect_timeout", route.connect_timeout, route.origin("connect_timeout"))
    yield Clock("idle_timeout", route.idle_timeout, route.origin("idle_timeout"))
    for step in steps:
        if "queue_timeout_seconds" in step.data:
            place = route.origin("concurrency", "queue_timeout")
            yield Clock("queue_timeout", step.data["queue_timeout_seconds"], place)
        elif step.policy == "deadlines" and "seconds" in step.data:
            yield Clock("the caller's deadline", step.data["seconds"], step.rule)


def worst(outcome: Outcome, exchange: Exchange, steps: Sequence[Step]) -> Worst:
    """The most attempts and the most seconds until the caller has an answer."""
    if outcome.action not in ("forward", "hold"):
        return Worst(0, outcome.waits, "answered here, without an attempt")
    latest = exchange.extras.latest if exchange.extras is not None else 0.0
    left = latest - exchange.began if latest else 0.0
    attempts, seconds = _on(exchange.route, exchange, left)
    says = _spelled(attempts, seconds)
    elsewhere = next((step.elsewhere for step in steps if step.elsewhere is not None), None)
    if elsewhere is not None and elsewhere.cluster is not exchange.route.cluster:
        # A fallback has a time of its own, but for a caller's deadline.
        more, longer = _on(elsewhere, exchange, left)
        says = f"{says}; then {elsewhere.cluster.name if elsewhere.cluster else 'elsewhere'}: "
        says += _spelled(more, longer)
        attempts, seconds = attempts + more, min(seconds + longer, left or inf)
    if exchange.tunnel:
        says = f"{says} until the tunnel is there, then only silence ends it"
    return Worst(attempts, None if seconds == inf else seconds, says)


def _on(route: Route, exchange: Exchange, left: float) -> tuple[int, float]:
    tries = _tries(route, exchange) if exchange.replayable else Tries()
    timeout = min(route.timeout or inf, left or inf)
    pauses = tries.pauses
    if tries.endures and timeout == inf:
        pauses = tuple(max(pause, LONGEST_DIRECTED) for pause in pauses)
    one_by_one = 1 + tries.further
    seconds = longest_call(
        one_by_one, 0.0 if timeout == inf else timeout, route.per_try_timeout, route.idle_timeout,
        pauses,
    )  # fmt: skip
    return one_by_one + (tries.beside if route.lone is None else 0), seconds


def _tries(route: Route, exchange: Exchange) -> Tries:
    said = [p.policy.tries(exchange) for p in route.parts if isinstance(p.policy, Repeats)]
    return Tries(
        further=sum(each.further for each in said),
        beside=sum(each.beside for each in said),
        pauses=tuple(pause for each in said for pause in each.pauses),
        endures=any(each.endures for each in said),
    )


def _spelled(attempts: int, seconds: float) -> str:
    times = "1 attempt" if attempts == 1 else f"up to {attempts} attempts"
    if seconds == inf:
        return f"{times}, and no bound on time"
    return f"{times}, {write_duration(round(seconds, 3))}"
