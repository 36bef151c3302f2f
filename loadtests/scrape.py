"""How long a scrape of /metrics holds the event loop, at worst.

The real metrics port with the real page behind it; the scraper is another process. A callback
that runs in every turn of the loop measures the turns, in wall time and in CPU time: the second
is what the page itself costs, the first has in it what else the machine did.
`python -m loadtests.scrape` prints a line per number of series; `make bench` has the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import uvloop

from meshproxy.control.probes import OPENMETRICS, TEXT, metrics_application
from meshproxy.control.serving import Port
from meshproxy.control.view import View
from meshproxy.core.exchange import Exchange
from meshproxy.core.report import Sample
from meshproxy.shown import Alone
from meshproxy.telemetry.bugs import Bugs
from meshproxy.telemetry.metrics import Telemetry, samples_of
from meshproxy.telemetry.series import BOUNDS

LINES_OF_A_ROUTE = 4 + 2 * (len(BOUNDS) + 3) + 1
"""Four counters, two histograms, one gauge."""
LINES_OF_A_CELL = 5
TRACE = (b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7", True, None)
SCRAPER = """
import sys, urllib.request
accept, port, times = sys.argv[1:]
for _ in range(int(times)):
    ask = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    assert urllib.request.urlopen(ask, timeout=30).read().count(b"\\n") > 100
"""


class Cell:
    """State of an endpoint, as a breaker has it."""

    def __init__(self, number: int) -> None:
        self._where = (("upstream", f"upstream-{number % 50}"), ("endpoint", f"10.0.0.{number}"))

    def samples(self) -> Iterator[Sample]:
        yield Sample("meshproxy_breaker_state", self._where, 0.0)
        for at in range(LINES_OF_A_CELL - 1):
            turn = (("from", "closed"), ("to", f"state-{at}"))
            yield Sample("meshproxy_breaker_transitions_total", (*self._where, *turn), 1.0)


def filled(series: int, istio: bool) -> tuple[Telemetry, list[Cell]]:
    """About so many series: three quarters of traffic, one of state."""
    telemetry = Telemetry()
    if istio:
        telemetry.speak(["istio"], SimpleNamespace(name="orders", version="1"))
    for number in range(round(series * 0.75 / LINES_OF_A_ROUTE)):
        row = telemetry.series("outbound", f"route-{number}", f"upstream-{number % 50}")
        for method, status, flags in (
            (b"GET", 200, ""), (b"POST", 201, ""), (b"GET", 404, ""), (b"GET", 503, "UF,URX"),
        ):  # fmt: skip
            fields = {"method": method, "status": status, "flags": flags, "refusal": None}
            made = SimpleNamespace(**fields, began=1.0, first_byte=1.03, trace=TRACE)
            row.series.sampled(row.place, cast(Exchange, made), 1.06)
            row.series.ended(row.place, cast(Exchange, made), 1.06)
    return telemetry, [Cell(number) for number in range(round(series * 0.25 / LINES_OF_A_CELL))]


class Turns:
    """The turns of the loop, each measured from its own beginning to that of the next one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._on = True
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self._last = (time.perf_counter(), time.thread_time())
        loop.call_soon(self._turn)

    def _turn(self) -> None:
        now = time.perf_counter(), time.thread_time()
        self.wall.append(now[0] - self._last[0])
        self.cpu.append(now[1] - self._last[1])
        self._last = now
        if self._on:
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        self._on = False


async def measure(telemetry: Telemetry, cells: list[Cell], accept: str, times: int) -> str:
    """Serve `times` scrapes and tell of the longest turns."""

    def page(openmetrics: bool) -> Iterator[bytes]:
        return telemetry.render(openmetrics, samples_of(cells))

    bugs = Bugs(_told, time.time, time.monotonic)
    view = cast(View, SimpleNamespace(metrics=page, tell=_told, company=Alone(), bugs=bugs))
    port = Port(metrics_application(view), bugs.caught)
    sock = socket.create_server(("127.0.0.1", 0))
    number = str(sock.getsockname()[1])
    await port.open(sock)
    pieces = list(page(openmetrics=True))  # the imports of the first page are no part of it
    gc.collect()
    gc.freeze()
    scraper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRAPER, accept, number, str(times)
    )
    turns = Turns(asyncio.get_running_loop())  # to start a process is no part of it either
    failed = await scraper.wait()
    turns.stop()
    await port.close()
    if failed:
        raise SystemExit("the scraper failed")
    lines = b"".join(pieces).count(b"\n")
    parts = len(pieces)
    return (
        f"{lines:8d} {sum(map(len, pieces)) / 1024:8.0f} {parts:7d}"
        f" {_milliseconds(turns.wall)} {_milliseconds(turns.cpu)}"
    )


def _told(event: str, **fields: Any) -> None:
    """What would be a line of the log."""
    print(event, fields, file=sys.stderr)


def _milliseconds(turns: Sequence[float]) -> str:
    """The longest, and the median of the hundred longest: one of them is often the machine's."""
    longest = sorted(turns)[-100:]
    return f"{longest[-1] * 1e3:9.2f} {statistics.median(longest) * 1e3:9.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--series", type=int, nargs="*", default=[1000, 10_000, 40_000])
    parser.add_argument("--scrapes", type=int, default=50)
    parser.add_argument("--descriptors", type=int, default=0, help="open files, as of clients")
    parser.add_argument("--text", action="store_true", help="the older format")
    parser.add_argument("--istio", action="store_true", help="metrics.compat: [istio]")
    options: Any = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(options.descriptors)]
    print("turns of the loop in ms:            wall, longest / usual      CPU, longest / usual")
    print("   lines      KiB  pieces")
    for series in options.series:
        telemetry, cells = filled(series, options.istio)
        accept = TEXT if options.text else OPENMETRICS
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(runner.run(measure(telemetry, cells, accept, options.scrapes)), flush=True)
    for fd in held:
        os.close(fd)


if __name__ == "__main__":
    main()
