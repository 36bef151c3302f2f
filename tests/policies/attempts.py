"""What the tests of resilience policies stand on: a scope, exchanges, and the walk in small.

`Walk` asks and tells policies in the order in which the data plane does, with a clock that is
a number and an upstream that is a function.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from meshproxy.core.classify import Classifier
from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.ledger import Draft, Ledger
from meshproxy.core.route import Cluster, Endpoint
from meshproxy.core.verdict import Failure, Refusal
from meshproxy.policies.contract import Scope, gather

Outcome = int | Failure
Upstream = Callable[[Endpoint, float], Outcome]


class Told(list[dict[str, Any]]):
    """The log lines that were written."""

    def __call__(self, event: str, **fields: Any) -> None:
        self.append({"event": event, **fields})


def scope_of(
    *names: str,
    draft: Draft | None = None,
    failures: Sequence[object] | None = None,
    seed: int = 1,
    owner: str = "outbound.defaults.payments",
) -> Scope:
    """A route of the cluster `payments`, whose endpoints live in the ledger as in the product."""
    draft = draft if draft is not None else Ledger().open()
    endpoints = tuple(
        draft.state(("endpoint", "payments", name), lambda name=name: Endpoint(name, name, 80))
        for name in names
    )
    return Scope(
        direction="outbound",
        route="default",
        owner=owner,
        rule="outbound.defaults (mesh.yaml:7)",
        cluster=Cluster("payments", endpoints, cast(Any, None)),
        classifier=Classifier() if failures is None else Classifier(failures),
        now=0.0,
        random=random.Random(seed),
        draft=draft,
        tell=Told(),
    )


def exchange_of(method: bytes = b"GET", deadline: float = 0.0, **headers: str) -> Exchange:
    plan = cast(Any, SimpleNamespace(unmatched=SimpleNamespace(name="default")))
    exchange = Exchange(None, Peer("127.0.0.1", trusted=False, forwarded=b""), plan, 0.0)
    exchange.method = method
    exchange.deadline = deadline
    exchange.taken = {k.replace("_", "-").encode(): v.encode() for k, v in headers.items()}
    return exchange


def depart(policies: Sequence[object], exchange: Exchange, endpoint: Endpoint, now: float) -> None:
    """An attempt starts, as the data plane starts it."""
    exchange.attempts += 1
    exchange.endpoint = endpoint
    exchange.failure, exchange.status, exchange.retry_after = None, 0, -1.0
    exchange.sent_at, exchange.sent_upstream = now, False
    for phase in gather(policies).depart:
        phase(exchange, now)


def settle(policies: Sequence[object], exchange: Exchange, outcome: Outcome, now: float) -> None:
    """It ends with a status or a failure."""
    if isinstance(outcome, Failure):
        exchange.failure = outcome
        exchange.sent_upstream = outcome.condition != "connect-failure"
    else:
        exchange.status = outcome
        exchange.sent_upstream = True
    for phase in gather(policies).settle:
        phase(exchange, now)


class Walk:
    """Requests one after the other through a few policies, one of which picks."""

    def __init__(self, policies: Sequence[Any], upstream: Upstream, now: float = 100.0) -> None:
        self.policies = policies
        self.phases = gather(policies)
        self.pick = next(policy.pick for policy in policies if hasattr(policy, "pick"))
        self.upstream = upstream
        self.now = now
        self.sent: list[Endpoint] = []

    def ask(self, exchange: Exchange | None = None, takes: float = 0.0) -> Outcome | Refusal:
        """One request to its end, retries and their waits included."""
        exchange = exchange or exchange_of()
        while True:
            endpoint = self.pick(exchange, self.phases.allowed, self.now)
            if endpoint is None:
                refusals = [barred(exchange, self.now) for barred in self.phases.barred]
                return next(refusal for refusal in refusals if refusal is not None)
            depart(self.policies, exchange, endpoint, self.now)
            self.sent.append(endpoint)
            outcome = self.upstream(endpoint, self.now)
            self.now += takes
            settle(self.policies, exchange, outcome, self.now)
            waits = [retry(exchange, self.now) for retry in self.phases.retry]
            wait = next((wait for wait in waits if wait is not None), None)
            if wait is None:
                return outcome
            exchange.tried = (*exchange.tried, endpoint)
            self.now += wait
