"""Runs of minutes in small: what is set up, what is done to it, and what is counted after.

Each scene takes its length as an argument: the tests play it for seconds, `make resilience` for
as long as the fault catalogue says. A scene returns figures and judges nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.harness.ports import LOOPBACK
from tests.e2e.harness.sidecar import Sidecar

from .checker import Ledger, read
from .echo import Upstream
from .relay import Relay, Toxics
from .traffic import Deed, Traffic


@dataclass(slots=True)
class Run:
    """What one scene left behind."""

    ledger: Ledger
    seen: list[tuple[str, str]]
    rss: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def attempts(self) -> float:
        """Deliveries upstream for each request."""
        return len(self.seen) / max(1, len(self.ledger.sent))

    def share_ok(self, start: float, end: float) -> float:
        """Of the requests that began then (seconds after the first)."""
        first = self.ledger.sent[0].began
        some = self.ledger.between(first + start, first + end)
        return sum(one.ok for one in some) / max(1, len(some))


# One upstream of two is hurt, under a steady load

PAIR = """
outbound:
  listen: <outbound>
  defaults:
    timeout: 3s
    connect_timeout: 300ms
    retry: {attempts: 2, per_try_timeout: 500ms, budget: {ratio: 100%, min_per_second: 100}}
    circuit_breaker: {open_for: 500ms, max_open_for: 1s}
    load_balancer: round_robin
  services:
    pair: {endpoints: [<hurt>, <sound>]}
logs: {level: error, access: {errors: false}}
"""
TRIES = 3 + 1
"""Deliveries that a GET may cost: three attempts, and one more on a reused connection."""

HELPED = """
    hedge: {after: 50ms, max_extra: 100%}
    fallback: {service: spare}
    deadlines: {}
"""
SPARE = """
    spare: {endpoints: [<sound>], fallback: off}
"""
MOST_TRIES = TRIES + 1 + TRIES
"""The same where a second attempt may run beside the first, and another service may help out."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The upstream that is hurt, and the relay in front of it."""

    upstream: Upstream
    relay: Relay


def _kill(scene: Scene) -> None:
    scene.upstream.kill()


def _start_again(scene: Scene) -> None:
    scene.upstream.start()


def _stop(scene: Scene) -> None:
    scene.upstream.pause()


def _go_on(scene: Scene) -> None:
    scene.upstream.go_on()


def _black_hole(scene: Scene) -> None:
    scene.relay.up = scene.relay.down = Toxics(swallow=True)


def _slow(scene: Scene) -> None:
    scene.relay.down = Toxics(latency=0.8)


def _reset_mid_body(scene: Scene) -> None:
    scene.relay.down = Toxics(reset=1000)


def _mend(scene: Scene) -> None:
    scene.relay.reset_all()
    scene.relay.mend()


FAULTS: dict[str, tuple[Callable[[Scene], None], Callable[[Scene], None]]] = {
    "killed": (_kill, _start_again),
    "stopped": (_stop, _go_on),
    "black-holed": (_black_hole, _mend),
    "slow": (_slow, _mend),
    "reset-mid-body": (_reset_mid_body, _mend),
}


@contextmanager
def pair(folder: Path, helped: bool = False) -> Iterator[tuple[Sidecar, Scene, Upstream]]:
    """A sidecar before two upstreams; the first one can be hurt.

    `helped` adds hedging and a fallback to what it does about that.
    """
    config = PAIR
    if helped:
        config = PAIR.replace(
            "  services:", f"{HELPED.strip(chr(10))}\n  services:{SPARE.rstrip()}"
        )
    with (
        Upstream.running(folder) as hurt,
        Upstream.running(folder) as sound,
        Relay.running(hurt.address) as relay,
        Sidecar.running(config, hurt=relay.address, sound=sound.address) as sidecar,
    ):
        yield sidecar, Scene(hurt, relay), sound


def hurt_one(
    stage: tuple[Sidecar, Scene, Upstream],
    fault: str,
    rate: float,
    seconds: float,
    tries: int = TRIES,
) -> Run:
    """Hurt one of two in the middle third of the time, and mend it."""
    sidecar, scene, sound = stage
    hurt, mend = FAULTS[fault]
    third = seconds / 3.0
    deeds: list[Deed] = [(third, lambda: hurt(scene)), (2.0 * third, lambda: mend(scene))]
    logs = (scene.upstream.log, sound.log)
    before = [len(read(log)) for log in logs]
    counted = sidecar.total("meshproxy_requests_total")
    ledger = asyncio.run(
        _ask(sidecar.outbound, "pair", rate, seconds, deeds, ("GET", "GET", "POST"))
    )
    hurt_saw, sound_saw = (read(log)[old:] for log, old in zip(logs, before, strict=True))
    assert len(hurt_saw) > rate * third / 4.0, "the one that is hurt had no traffic"
    seen = hurt_saw + sound_saw
    broken = ledger.verdicts(seen, tries)
    counted = sidecar.total("meshproxy_requests_total") - counted
    if counted != len(ledger.sent):
        broken.append(f"the sidecar counted {counted} requests of {len(ledger.sent)}")
    return Run(ledger, seen, sidecar.rss(), broken)


async def _ask(
    address: tuple[str, int],
    host: str,
    rate: float,
    seconds: float,
    deeds: Sequence[Deed] = (),
    methods: Sequence[str] = ("GET", "POST"),
    tries: int = 1,
    patience: float = 10.0,
) -> Ledger:
    async with Traffic(address, host, patience=patience) as traffic:
        await traffic.steady(rate, seconds, methods, deeds, tries)
        return traffic.ledger


# F47: everything fails, through two sidecars in a row

HOP = """
outbound:
  listen: <outbound>
  defaults:
    circuit_breaker: off
    concurrency: off
    timeout: 5s
    retry: {{attempts: 3, backoff: {{base: 1ms, max: 5ms}}, budget: {{{budget}}}}}
  services: {{next: {{endpoints: [<next>]}}}}
logs: {{level: error, access: {{errors: false}}}}
"""


def storm(folder: Path, rate: float, seconds: float, budget: str = "ratio: 20%") -> Run:
    """The upstream answers 503 to everything; callers do not retry by themselves."""
    hop = HOP.format(budget=budget)
    with (
        Upstream.running(folder, status=503) as upstream,
        Sidecar.running(hop, next=upstream.address) as near,
        Sidecar.running(hop, next=f"{LOOPBACK}:{near.outbound[1]}") as far,
    ):
        ledger = asyncio.run(_ask(far.outbound, "next", rate, seconds, methods=("GET",)))
        return Run(ledger, read(upstream.log), far.rss() + near.rss())


# F46, F48: an upstream of so many places, and too much for it

BOUNDED = """
inbound:
  listen: <inbound>
  app: http://<app>
  timeout: 5s
  concurrency: {max: 10, queue: 10, queue_timeout: 200ms}
outbound:
  listen: <outbound>
  defaults:
    timeout: 1s
    connect_timeout: 300ms
    concurrency: {max: 10, queue: 20, queue_timeout: 300ms}
  services:
    weak: {endpoints: [<app>]}
logs: {level: error, access: {errors: false}}
"""
ADAPTIVE = BOUNDED.replace(
    "{max: 10, queue: 10, queue_timeout: 200ms}", "{max: adaptive, min: 5, queue_timeout: 200ms}"
)
PLACES, TAKES = 10, 0.1
CAPACITY = PLACES / TAKES


def overload(
    folder: Path, times: float, seconds: float, direct: bool = False, config: str = BOUNDED
) -> Run:
    """`times` what the app can do arrives at it; whoever waits for a second gives up.

    `direct` leaves the sidecar out, to show what it is good for.
    """
    with (
        Upstream.running(folder, places=PLACES, takes=TAKES) as app,
        Sidecar.running(config, app=app.address) as sidecar,
    ):
        where = (LOOPBACK, app.port) if direct else sidecar.inbound
        ledger = asyncio.run(
            _ask(where, "app", times * CAPACITY, seconds, methods=("GET",), patience=1.0)
        )
        return Run(ledger, read(app.log), sidecar.rss())


def outage(folder: Path, before: float, down: float, after: float, direct: bool = False) -> Run:
    """At nine tenths of its capacity the upstream stands still; each caller tries three times.

    What was sent meanwhile waits in its sockets. It is all served later, although those who asked
    have given up: callers that keep trying can keep it busy with nothing else.
    """
    with (
        Upstream.running(folder, places=PLACES, takes=TAKES) as app,
        Sidecar.running(BOUNDED, app=app.address) as sidecar,
    ):
        deeds: list[Deed] = [(before, app.pause), (before + down, app.go_on)]
        ledger = asyncio.run(
            _ask(
                (LOOPBACK, app.port) if direct else sidecar.outbound,
                "weak",
                0.9 * CAPACITY,
                before + down + after,
                deeds,
                ("GET",),
                tries=3,
                patience=1.0,
            )
        )
        return Run(ledger, read(app.log), sidecar.rss())
