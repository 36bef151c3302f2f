"""A fleet of servers in virtual time, and a stream of requests that a balancer spreads over it.

No sockets, no clock, no sleeping: time is a number that jumps from event to event, and all
chance comes from one seed, so a run is the same on every machine. The balancer is the
product's own object; what it is told is what the data plane would tell it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp
from types import SimpleNamespace
from typing import Any, cast

from meshproxy.core.classify import Classifier
from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Cluster, Endpoint
from meshproxy.policies.contract import Scope, Spec, gather

START = 1000.0
"""When every run begins; anything but zero, which means "never" in places."""

_PLAN = cast(Any, SimpleNamespace(unmatched=None))
_PEER = Peer("127.0.0.1", trusted=False, forwarded=b"")


@dataclass(slots=True)
class Server:
    """How one server behaves. Times are seconds after START, latencies seconds.

    A request takes a lognormal time around `median` on one of `workers`, and waits for one
    that is free. Every `pause_every` on average everything stands still for `pause`. Within
    `fails` it answers 503 at once; within `away` nobody can reach it, and afterwards it is
    `cold`: ten times as slow at first, as caches fill over some 5 s.
    """

    name: str
    median: float = 0.008
    workers: int = 8
    pause_every: float = 10.0
    pause: float = 0.08
    fails: tuple[float, float] = (0.0, 0.0)
    away: tuple[float, float] = (0.0, 0.0)
    cold: float = 9.0
    free: list[float] = field(default_factory=list)
    pauses: list[tuple[float, float]] = field(default_factory=list)

    def begin(self, source: random.Random, seconds: float) -> None:
        """Everyone idle; the pauses of the whole run are drawn now."""
        self.free = [START] * self.workers
        self.pauses = []
        at = START
        while (at := at + source.expovariate(1.0 / self.pause_every)) < START + seconds:
            length = self.pause * source.uniform(0.5, 1.5)
            self.pauses.append((at, at + length))
            at += length

    def reachable(self, now: float) -> bool:
        return not _within(self.away, now)

    def answer(self, now: float, source: random.Random) -> tuple[int, float]:
        """The status and the time of the answer to a request that comes now."""
        if _within(self.fails, now):
            return 503, now + 0.001
        began = max(now, heapq.heappop(self.free))
        done = began + self.median * source.lognormvariate(0.0, 0.4) * self._coldness(now)
        for pause, over in self.pauses:
            if pause < done and over > began:
                done += over - max(pause, began)
        heapq.heappush(self.free, done)
        return 200, done

    def _coldness(self, now: float) -> float:
        age = now - START - self.away[1]
        return 1.0 + self.cold * exp(-age / 5.0) if self.away[1] and age >= 0.0 else 1.0


def _within(span: tuple[float, float], now: float) -> bool:
    return span[0] <= now - START < span[1]


def skewed(seconds: float) -> list[Server]:
    """Ten servers: six are well, four have something the matter with them."""
    return [
        *(Server(f"well-{number}") for number in range(1, 7)),
        Server("slow", median=0.040),
        Server("failing", fails=(0.2 * seconds, 0.8 * seconds)),
        Server("restarted", away=(0.3 * seconds, 0.4 * seconds)),
        Server("pausing", pause_every=1.0, pause=0.15),
    ]


@dataclass(slots=True)
class Outcome:
    """What callers saw: (second, latency) of every good answer; and who was asked when."""

    good: list[tuple[float, float]] = field(default_factory=list)
    errors: int = 0
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        return len(self.good) + self.errors

    def percentile(self, share: float, since: float = 0.0, until: float = 1e9) -> float:
        """The latency that `share` of the good answers of a span of time did not exceed."""
        found = sorted(latency for at, latency in self.good if since <= at < until)
        return found[int(share * (len(found) - 1))] if found else 0.0

    def share_of(self, name: str) -> float:
        return self.asked[name] / max(1, self.requests)


class World:
    """One run: `rate` requests per second for `seconds`, by many users of unlike zeal."""

    def __init__(self, servers: list[Server], rate: float, seconds: float, seed: int) -> None:
        self._seconds = seconds
        self._rate = rate
        # Chance of the fleet, of the callers and of the balancer are apart: so every
        # balancer meets the same pauses and the same requests.
        self._fleet = random.Random(seed)
        self._callers = random.Random(seed + 1)
        self._order = itertools.count()
        self._servers = {Endpoint(each.name, each.name, 80): each for each in servers}
        for each in servers:
            each.begin(random.Random(f"{seed} {each.name}"), seconds)
        self.scope = self._scope(random.Random(seed + 2))

    def _scope(self, source: random.Random) -> Scope:
        return Scope(
            direction="outbound",
            route="default",
            owner="outbound.services.fleet",
            rule="",
            cluster=Cluster("fleet", tuple(self._servers), cast(Any, None)),
            classifier=Classifier(),
            now=START,
            random=source,
            draft=Ledger().open(),
            tell=lambda event, **fields: None,
        )

    def run(self, spec: Spec) -> Outcome:
        """All requests, each at its time, to the end."""
        balancer: Any = spec.build(self.scope)
        settles = gather([balancer]).settle
        outcome = Outcome()
        under_way: list[tuple[float, int, Exchange]] = []
        for now, user in self._requests():
            while under_way and under_way[0][0] <= now:
                at, _, ended = heapq.heappop(under_way)
                _end(ended, at, settles, outcome)
            self._send(balancer, user, now, under_way, outcome)
        for at, _, ended in sorted(under_way):
            _end(ended, at, settles, outcome)
        return outcome

    def _requests(self) -> Iterator[tuple[float, int]]:
        """Times and users: a tenth of the users makes nearly half of the requests."""
        now = START
        while (now := now + self._callers.expovariate(self._rate)) < START + self._seconds:
            yield now, int(10_000 * self._callers.random() ** 3)

    def _send(
        self,
        balancer: Any,
        user: int,
        now: float,
        under_way: list[tuple[float, int, Exchange]],
        outcome: Outcome,
    ) -> None:
        exchange = Exchange(None, _PEER, _PLAN, now)
        exchange.taken = {b"x-user": b"%d" % user}
        endpoint: Endpoint = balancer.pick(exchange, self._allowed, now)
        endpoint.load += 1
        exchange.endpoint, exchange.sent_at = endpoint, now
        exchange.status, done = self._servers[endpoint].answer(now, self._fleet)
        outcome.asked[endpoint.name] += 1
        heapq.heappush(under_way, (done, next(self._order), exchange))

    def _allowed(self, endpoint: Endpoint, now: float) -> bool:
        """As a health check would have it: nobody is sent where nobody answers."""
        server = self._servers[endpoint]
        if not server.reachable(now):
            endpoint.ramp_since = START + server.away[1]
            return False
        return True


def _end(exchange: Exchange, now: float, settles: Any, outcome: Outcome) -> None:
    endpoint = exchange.endpoint
    assert endpoint is not None
    for settle in settles:
        settle(exchange, now)
    endpoint.load -= 1
    if exchange.status == 200:
        outcome.good.append((exchange.began - START, now - exchange.began))
    else:
        outcome.errors += 1
