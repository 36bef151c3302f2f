"""Runs of minutes in small: what is set up, what is done to it, and what is counted after.

Each scene takes its length as an argument: the tests play it for seconds, `make resilience` for
as long as the fault catalogue says. A scene returns figures and judges nothing.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.harness.client import fetch
from tests.e2e.harness.ports import LOOPBACK, free_port
from tests.e2e.harness.sidecar import ROOT, Sidecar, environment
from tests.e2e.harness.waiting import eventually

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
def pair(folder: Path) -> Iterator[tuple[Sidecar, Scene, Upstream]]:
    """A sidecar before two upstreams; the first one can be hurt."""
    with (
        Upstream.running(folder) as hurt,
        Upstream.running(folder) as sound,
        Relay.running(hurt.address) as relay,
        Sidecar.running(PAIR, hurt=relay.address, sound=sound.address) as sidecar,
    ):
        yield sidecar, Scene(hurt, relay), sound


def hurt_one(
    stage: tuple[Sidecar, Scene, Upstream], fault: str, rate: float, seconds: float
) -> Run:
    """Hurt one of two in the middle third of the time, and mend it."""
    sidecar, scene, sound = stage
    hurt, mend = FAULTS[fault]
    third = seconds / 3.0
    deeds: list[Deed] = [(third, lambda: hurt(scene)), (2.0 * third, lambda: mend(scene))]
    logs = (scene.upstream.log, sound.log)
    before = [len(read(log)) for log in logs]
    ledger = asyncio.run(
        _ask(sidecar.outbound, "pair", rate, seconds, deeds, ("GET", "GET", "POST"))
    )
    hurt_saw, sound_saw = (read(log)[old:] for log, old in zip(logs, before, strict=True))
    assert len(hurt_saw) > rate * third / 4.0, "the one that is hurt had no traffic"
    seen = hurt_saw + sound_saw
    return Run(ledger, seen, sidecar.rss(), ledger.verdicts(seen, TRIES))


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
PLACES, TAKES = 10, 0.1
CAPACITY = PLACES / TAKES


def overload(folder: Path, times: float, seconds: float) -> Run:
    """`times` what the app can do arrives at it; whoever waits for a second gives up."""
    with (
        Upstream.running(folder, places=PLACES, takes=TAKES) as app,
        Sidecar.running(BOUNDED, app=app.address) as sidecar,
    ):
        ledger = asyncio.run(
            _ask(sidecar.inbound, "app", times * CAPACITY, seconds, methods=("GET",), patience=1.0)
        )
        return Run(ledger, read(app.log), sidecar.rss())


def outage(folder: Path, before: float, down: float, after: float) -> Run:
    """At nine tenths of its capacity the upstream goes away; each caller tries three times."""
    with (
        Upstream.running(folder, places=PLACES, takes=TAKES) as app,
        Relay.running(app.address) as relay,
        Sidecar.running(BOUNDED, app=relay.address) as sidecar,
    ):
        deeds: list[Deed] = [(before, relay.cut), (before + down, relay.mend)]
        ledger = asyncio.run(
            _ask(
                sidecar.outbound,
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


# Real servers that close idle connections when they please

IDLE = """
inbound:
  listen: <inbound>
  app: http://<app>
  circuit_breaker: off
  retry: off
  concurrency: off
logs: {level: error, access: {errors: false}}
"""
SERVERS: dict[str, tuple[str, ...]] = {
    "gunicorn": (
        "-m", "gunicorn", "tests.chaos.served:wsgi", "-k", "gthread", "--threads", "4",
        "--log-level", "error", "-b", "127.0.0.1:{port}",
    ),
    "uvicorn": (
        "-m", "uvicorn", "tests.chaos.served:asgi", "--log-level", "error", "--port", "{port}",
    ),
}  # fmt: skip
KEEPS = {"gunicorn": 2.0, "uvicorn": 5.0}
"""Seconds for which they keep an idle connection by default."""


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """A real server with its defaults; its address and its log of ids."""
    port, log = free_port(), folder / f"{kind}.log"
    command = [sys.executable, *(word.format(port=port) for word in SERVERS[kind])]
    process = subprocess.Popen(command, cwd=ROOT, env={**environment(), "CHAOS_LOG": str(log)})
    try:
        eventually(log.exists, 20, f"{kind} up")
        yield f"{LOOPBACK}:{port}", log
    finally:
        process.terminate()
        process.wait(20)


def idle_servers(
    folder: Path, pauses: dict[str, Sequence[float]], lanes: dict[str, int]
) -> dict[str, Run]:
    """All of these servers at the same time; each of `lanes` asks once between two pauses."""
    with ExitStack() as stack:
        parts = []
        for kind in pauses:
            app, log = stack.enter_context(serving(kind, folder))
            parts.append((kind, stack.enter_context(Sidecar.running(IDLE, app=app)), log))
        wait_up([sidecar for _, sidecar, _ in parts])

        async def all_of_them() -> list[Ledger]:
            return await asyncio.gather(
                *(_spaced(sidecar, pauses[kind], lanes[kind]) for kind, sidecar, _ in parts)
            )

        ledgers = asyncio.run(all_of_them())
        runs = {}
        for (kind, sidecar, log), ledger in zip(parts, ledgers, strict=True):
            seen = [one for one in read(log) if one[1]]
            # A reused connection may prove nothing to a GET; nothing else is sent again.
            runs[kind] = Run(ledger, seen, sidecar.rss(), ledger.verdicts(seen, tries=2))
        return runs


def wait_up(sidecars: Sequence[Sidecar]) -> None:
    """Wait until each one's app answers; these requests carry no id."""
    for sidecar in sidecars:
        eventually(lambda at=sidecar.inbound: fetch(at).status == 200, 20, "the app")


async def _spaced(sidecar: Sidecar, pauses: Sequence[float], lanes: int) -> Ledger:
    """Rounds of one request per lane, GET and POST in turn, all lanes within a tenth of a second.

    So many connections grow old together, and each pause falls on some that are a little
    younger than their server allows and on some that are a little older.
    """
    async with Traffic(sidecar.inbound, "app", patience=30.0) as traffic:

        async def one(lane: int, turn: int) -> None:
            await asyncio.sleep(0.1 * lane / lanes)
            await traffic.ask("POST" if (lane + turn) % 2 else "GET", b"")

        for turn, pause in enumerate((0.0, *pauses)):
            await asyncio.sleep(pause)
            await asyncio.gather(*(one(lane, turn) for lane in range(lanes)))
        return traffic.ledger
