"""Real servers that close idle connections when they please, asked around those times.

gunicorn and uvicorn run with their defaults; each gets a sidecar of its own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.e2e.harness.client import fetch
from tests.e2e.harness.ports import LOOPBACK, Address, free_port
from tests.e2e.harness.sidecar import ROOT, Sidecar, environment
from tests.e2e.harness.waiting import eventually

from .checker import Ledger, read
from .relay import Relay, Toxics
from .scenes import Run
from .traffic import Traffic

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
FAR = Toxics(latency=0.02, slow_close=0.02)
"""The way to the server and back, so that a request can be on it while the server closes."""


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
    folder: Path, pauses: Mapping[str, Sequence[float]], lanes: Mapping[str, int]
) -> dict[str, Run]:
    """All of these servers at the same time; each of `lanes` asks once between two pauses."""
    with ExitStack() as stack:
        parts = []
        for kind in pauses:
            app, log = stack.enter_context(serving(kind, folder))
            relay = stack.enter_context(Relay.running(app))
            relay.up = relay.down = FAR
            sidecar = stack.enter_context(Sidecar.running(IDLE, app=relay.address))
            parts.append((kind, sidecar, log))
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
        eventually(partial(_answers, sidecar.inbound), 20, "the app")


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


def _answers(address: Address) -> bool:
    return fetch(address).status == 200
