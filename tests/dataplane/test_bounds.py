"""Every clock with its origin, and the worst case as policies add to it."""

from __future__ import annotations

import pytest

from meshproxy.core.foretold import Question, Worst
from meshproxy.core.ledger import Ledger
from meshproxy.dataplane.foresight import foresee
from tests.settings.build import build

DEADLINE = (("x-request-deadline", "300"),)
IDEMPOTENT, BODY = (("content-length", "4"),), (("transfer-encoding", "chunked"),)


def worst(
    text: str, *fields: tuple[str, str], method: str = "GET", client: str = "10.0.0.9"
) -> Worst:
    file = f"version: 1\ntrust: {{forwarded_from: [10.0.0.0/8]}}\n{text}"
    snapshot = build(file, Ledger(), 50.0)
    question = Question(method, "/", (("Host", "users"), *fields), client)
    plan = next(iter(snapshot.plans.values()))
    found = foresee(plan, question, 50.0).worst
    assert found is not None
    return found


def outbound(service: str, ends: str = "10.0.0.1:80, 10.0.0.2:80") -> str:
    return f"outbound: {{services: {{users: {{endpoints: [{ends}], {service}}}}}}}"


@pytest.mark.parametrize(
    ("file", "fields", "attempts", "seconds"),
    [
        (outbound("retry: off, timeout: 2s"), (), 1, 2.0),
        (outbound("retry: {attempts: 2}, timeout: 2s"), (), 3, 2.0),
        (outbound("retry: {attempts: 2, per_try_timeout: 100ms}, timeout: 9s"), (), 3, 0.4),
        (outbound("retry: off, timeout: off, idle_timeout: 7s"), (), 1, 7.0),
        (outbound("retry: off, timeout: off, idle_timeout: off"), (), 1, None),
        (outbound("retry: off, timeout: 1s, hedge: {after: 10ms}"), (), 2, 1.0),
        (outbound("retry: off, timeout: 1s, hedge: {after: 10ms}", "10.0.0.1:80"), (), 1, 1.0),
        (outbound("retry: off, timeout: 1s, deadlines: {}"), DEADLINE, 1, 0.3),
        (outbound("retry: {attempts: 3}, timeout: 1s"), BODY, 1, 1.0),
        (outbound("retry: {attempts: 3}, timeout: 1s"), IDEMPOTENT, 4, 1.0),
    ],
)  # fmt: skip
def test_the_worst_case(
    file: str, fields: tuple[tuple[str, str], ...], attempts: int, seconds: float | None
) -> None:
    found = worst(file, *fields)
    assert found.attempts == attempts
    assert found.seconds == (None if seconds is None else pytest.approx(seconds))
    assert f"{attempts} attempt" in found.says


def test_what_is_answered_here_takes_no_attempt() -> None:
    found = worst("inbound: {app: 'http://10.0.0.1:80', faults: {inject: [{abort: 503}]}}")
    assert (found.attempts, found.seconds) == (0, 0.0)


def test_a_delay_counts_where_it_is_all_there_is() -> None:
    text = "inbound: {app: 'http://10.0.0.1:80', faults: {inject: [{abort: 503, delay: 70ms}]}}"
    assert worst(text).seconds == pytest.approx(0.07)


def test_the_clock_of_the_queue_and_that_of_the_caller_are_told() -> None:
    text = outbound("concurrency: {queue_timeout: 3s}, deadlines: {}")
    snapshot = build(f"version: 1\n{text}", Ledger(), 50.0)
    question = Question("GET", "/", (("Host", "users"), *DEADLINE))
    clocks = {
        each.what: each for each in foresee(snapshot.plans["outbound"], question, 50.0).clocks
    }
    assert clocks["queue_timeout"].seconds == 3.0
    place = "outbound.services.users.concurrency.queue_timeout (f.yaml:2)"
    assert clocks["queue_timeout"].rule == place
    assert clocks["the caller's deadline"].seconds == pytest.approx(0.3)
    assert clocks["the caller's deadline"].rule == "outbound.services.users.deadlines (f.yaml:2)"
