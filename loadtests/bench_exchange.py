"""Microseconds of CPU per exchange, without sockets.

The real listener, parser, conductor, policies, metrics and access log, on two transports
that swallow what is written. What `bench` measures beyond this is the kernel's, the
loop's and the other side's. `python -m loadtests.bench_exchange` prints one line per config.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import uvloop

from loadtests.proxies import SMALL_JSON
from meshproxy.core.ledger import Ledger
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.downstream import Downstream
from meshproxy.dataplane.kinds import Kinds
from meshproxy.dataplane.listener import Listener
from meshproxy.dataplane.pool import Pool
from meshproxy.dataplane.room import Room
from meshproxy.dataplane.upstream import Upstream
from meshproxy.settings.compile import Tools, compile_snapshot
from meshproxy.settings.validate import validate
from meshproxy.telemetry.access_log import AccessLog
from meshproxy.telemetry.metrics import Telemetry

REQUEST = b"GET /small HTTP/1.1\r\nHost: 127.0.0.1:15006\r\nx-client-id: bench\r\n\r\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 01 Nov 2026 10:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n%s"
) % (len(SMALL_JSON), SMALL_JSON.encode())
TURN = 500  # exchanges between two turns of the loop, which lets cancelled timers go

BASE = {
    "listen": "127.0.0.1:15006",
    "app": "http://127.0.0.1:8080",
    "concurrency": "off",
    "rate_limits": "off",
    "retry": "off",
    "circuit_breaker": "off",
}
LIMIT = "{name: all, limit: 1000000/s, burst: 1000000}"
PER_CLIENT = "{name: each, limit: 1000000/s, burst: 1000000, per: [header:x-client-id, ip]}"
POLICIES = {
    "concurrency": "{max: 1024, queue: 1024, queue_timeout: 1s}",
    "rate_limits": f"[{LIMIT}, {PER_CLIENT}]",
    "retry": "{attempts: 2, per_try_timeout: 5s}",
    "circuit_breaker": "{consecutive_failures: 7, failure_rate: 50%, window: 10s}",
}
VARIANTS: dict[str, dict[str, str]] = {
    "all policies off": {},
    **{f"only {name}": {name: text} for name, text in POLICIES.items()},
    "all policies on": POLICIES,
}


class Silent(asyncio.Transport):
    """A transport that is always open, never full, and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.status = b""

    def write(self, data: Any) -> None:
        self.written += len(data)
        self.status = data[9:12]

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """An upstream that was idle for too long between two turns: the next one is fresh."""

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def is_reading(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Never full, so never paused."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40000) if name == "peername" else default


class Wire(Silent):
    """To an upstream: whoever was written to last has a request to answer."""

    def __init__(self, rig: Rig, upstream: Upstream) -> None:
        super().__init__()
        self._rig = rig
        self._upstream = upstream

    def write(self, data: Any) -> None:
        super().write(data)
        self._rig.asked = self._upstream


def _nothing(event: str, **fields: Any) -> None:
    """A log that nobody reads."""


class Rig:
    """One compiled config, one client and silent upstreams that give one and the same answer.

    `key` is the listener that is played, as in `Snapshot.plans`.
    """

    def __init__(
        self,
        text: str,
        loop: asyncio.AbstractEventLoop,
        key: str = "inbound",
        request: bytes = REQUEST,
        answer: bytes = ANSWER,
    ) -> None:
        clock = time.monotonic
        self._request = request
        self._answer = answer
        self.asked: Upstream | None = None
        self.answers = Silent()
        self._pool = Pool(self._dial, clock)
        conductor = self._pool.conductor = Conductor(clock, loop.call_later, self._pool)
        plan = compile_plan(text, clock(), key, conductor)
        with socket.socket() as unused:
            listener = Listener(unused, plan, conductor, clock, Room(1024), _nothing)
        self.client = Downstream(listener)
        self.client.connection_made(self.answers)

    def _dial(self, upstream: Upstream, _seconds: float) -> None:
        upstream.connection_made(Wire(self, upstream))
        self._pool.dialled(upstream, None)

    def prove(self) -> None:
        """Two exchanges, looked at: the client must get an answer as long as the upstream's."""
        for _ in range(2):
            self.answers.written = 0
            self.run(1)
            if self.answers.written < len(SMALL_JSON) or self.answers.status != b"200":
                raise RuntimeError(f"the exchange came to {self.answers.status!r}")

    def run(self, count: int) -> None:
        """So many exchanges, one after the other; a cache may answer without an upstream."""
        receive, request, answer = self.client.data_received, self._request, self._answer
        for _ in range(count):
            receive(request)
            upstream = self.asked
            if upstream is not None:
                self.asked = None
                upstream.data_received(answer)


def compile_plan(text: str, now: float, key: str, conductor: Conductor) -> Any:
    """A listener's plan of a config, with the real telemetry and the log to nowhere."""
    entropy = random.Random(1)
    settings = validate(text.encode(), "bench.yaml", {})
    access = AccessLog(lambda _: None, entropy.random, time.time)
    access.configure(settings.file.logs)
    conductor.record_by(access.record)
    telemetry = Telemetry()
    tools = Tools(
        series=telemetry.series,
        cluster_series=telemetry.cluster_series,
        kinds=Kinds,
        random=entropy,
        tell=lambda event, **fields: None,
    )
    compiled = compile_snapshot(settings, Ledger().open(), tools, now, 1)
    compiled.adopt()
    return compiled.snapshot.plans[key]


def config(policies: dict[str, str]) -> str:
    """A file with these inbound policies."""
    inbound = "\n".join(f"  {key}: {value}" for key, value in {**BASE, **policies}.items())
    return (
        f"inbound:\n{inbound}\ntracing: {{propagate: [tracecontext, b3], sample: 1%}}\n"
        "logs: {access: {errors: true, sample: 0%}}\n"
    )


async def measure(
    rigs: Mapping[str, Rig], count: int, rounds: int, tell: Callable[[str], None] = print
) -> dict[str, list[float]]:
    """Microseconds of CPU per exchange of each rig, one figure per round, in turn."""
    for rig in rigs.values():
        rig.prove()
        rig.run(TURN)
    gc.collect()
    gc.freeze()
    taken: dict[str, list[float]] = {name: [] for name in rigs}
    for number in range(1, rounds + 1):
        for name, rig in rigs.items():
            began = time.process_time()
            for _ in range(max(count // TURN, 1)):
                rig.run(TURN)
                await asyncio.sleep(0)
            spent = time.process_time() - began
            taken[name].append(spent / (max(count // TURN, 1) * TURN) * 1e6)
        tell(f"round {number}/{rounds}")
    return taken


async def variants(count: int, rounds: int) -> dict[str, list[float]]:
    """The policies that a file is likely to have, one by one and together."""
    loop = asyncio.get_running_loop()
    rigs = {name: Rig(config(policies), loop) for name, policies in VARIANTS.items()}
    return await measure(rigs, count, rounds)


def main(argv: list[str] | None = None) -> int:
    """Print the table; 0 when it ran."""
    parser = argparse.ArgumentParser(prog="loadtests.bench_exchange", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="exchanges per round")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args(argv)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    taken = uvloop.run(variants(args.count, args.rounds))
    print(f"{'one small GET':24}{'least µs':>10}{'median µs':>11}")
    for name, figures in taken.items():
        print(f"{name:24}{min(figures):>10.2f}{statistics.median(figures):>11.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
