"""Scenes that are about a number: how exact a limit is, how late a timeout, whether bytes are kept.

Like `scenes` they take their length as an argument and judge nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.harness.client import Client, fetch
from tests.e2e.harness.message import Message
from tests.e2e.harness.origin import Conversation, Origin, answering, reply
from tests.e2e.harness.ports import LOOPBACK, BlackHole, closed_port
from tests.e2e.harness.sidecar import Sidecar

from .echo import Upstream
from .relay import Relay, Toxics
from .scenes import Run
from .traffic import Deed, Traffic

LIMIT, BURST = 50, 50
LIMITED = """
outbound:
  listen: <outbound>
  defaults:
    concurrency: off
    idle_timeout: {idle}
    rate_limits: [{{limit: 50/s, burst: 50}}]
  services:
    times-1: {{endpoints: [<app>]}}
    times-2: {{endpoints: [<app>]}}
    times-10: {{endpoints: [<app>]}}
logs: {{level: error, access: {{errors: false}}}}
"""


def limits(folder: Path, seconds: float, reload_every: float) -> dict[int, Run]:
    """One, two and ten times a limit side by side, while the file is changed again and again."""
    with (
        Upstream.running(folder) as app,
        Sidecar.running(LIMITED.format(idle="60s"), app=app.address) as sidecar,
    ):

        def reload() -> None:
            sidecar.write(LIMITED.format(idle=f"{61 + int(time.monotonic()) % 1000}s"))
            assert sidecar.reload().status == 200

        turns = int(seconds / reload_every)
        deeds: list[Deed] = [(turn * reload_every, reload) for turn in range(1, turns)]

        async def one(times: int, deeds: Sequence[Deed]) -> Run:
            async with Traffic(sidecar.outbound, f"times-{times}") as traffic:
                await traffic.steady(LIMIT * times, seconds, ("GET",), deeds)
                return Run(traffic.ledger, [], sidecar.rss())

        async def all_of_them() -> list[Run]:
            return list(await asyncio.gather(one(1, deeds), one(2, ()), one(10, ())))

        return dict(zip((1, 2, 10), asyncio.run(all_of_them()), strict=True))


TIMES = """
outbound:
  listen: <outbound>
  defaults: {circuit_breaker: off, retry: off, timeout: 5s, connect_timeout: 300ms}
  services:
    refused: {endpoints: [<closed>]}
    hole: {endpoints: [<hole>]}
    silent: {endpoints: [<app>], retry: {attempts: 0, per_try_timeout: 300ms}}
    call: {endpoints: [<app>], timeout: 300ms}
"""
BOUND = {"refused": 0.0, "hole": 0.3, "silent": 0.3, "call": 0.3}
"""Seconds after which the answer of each service is due."""


def times(rounds: int) -> dict[str, list[tuple[int, float]]]:
    """Status and seconds of each answer where nobody answers."""

    def silent(peer: Conversation) -> None:
        while peer.request() is not None:
            pass

    with (
        Origin.running(silent) as app,
        BlackHole.running() as hole,
        Sidecar.running(TIMES, app=app.address, hole=hole.address, closed=closed_port()) as sidecar,
    ):
        return {name: [_timed(sidecar, name) for _ in range(rounds)] for name in BOUND}


def _timed(sidecar: Sidecar, service: str) -> tuple[int, float]:
    began = time.monotonic()
    answer = fetch(sidecar.outbound, headers={"Host": service})
    return answer.status, time.monotonic() - began


def slices(count: int) -> int:
    """Requests in segments of one byte, both ways on both sides; how many bodies were wrong."""

    def echo(seen: Message) -> bytes:
        return reply(body=seen.body)

    config = "inbound: {listen: <inbound>, app: 'http://<app>', retry: off}"
    with (
        Origin.running(answering(echo)) as app,
        Relay.running(app.address) as behind,
        Sidecar.running(config, app=behind.address) as sidecar,
        Relay.running(f"{LOOPBACK}:{sidecar.inbound[1]}") as front,
        Client((LOOPBACK, front.port)) as client,
    ):
        front.up = front.down = behind.up = behind.down = Toxics(slices=1)
        wrong = 0
        for number in range(count):
            body = bytes((number * 31 + i * 7) % 256 for i in range(number % 200))
            got = client.ask("POST", f"/{number}", body=body).body
            wrong += hashlib.sha256(got).digest() != hashlib.sha256(body).digest()
        return wrong
