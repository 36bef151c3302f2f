"""What a request costs without sockets, with few and with many routes or endpoints.

Counts the bytecodes of an exchange, which are the same on every machine and in every minute;
`python -m loadtests.flat` prints them, with `--time` beside microseconds of CPU. The real
data plane is played, as in `bench_exchange`. `shapes` are the configs; `scale` plays them, too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, Protocol

import uvloop

from loadtests.bench_exchange import ANSWER, Rig, measure
from loadtests.report import table
from loadtests.shapes import BALANCERS, ROUTES, Shape, endpoints_file, request, routes_file
from meshproxy.dataplane.targets import LONGEST_REMEMBERED

WARM = 3000
EXCHANGES = 100
ROUTES_OF = (1, 10, 100, 1000)
ENDPOINTS_OF = (1, 2, 10, 100, 1000)


UNSEEN = f";{'x' * LONGEST_REMEMBERED}"
"""Makes a path too long to be remembered: it is read, and its route found, each time.

A parameter, as the rule of a path is that of the path without it."""


class Runs(Protocol):
    """Whatever does one thing over and over."""

    def run(self, count: int) -> None: ...


def steps(rig: Runs, count: int = EXCHANGES) -> float:
    """Bytecodes per exchange, in Python functions of any module."""
    counted = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal counted
        frame.f_trace = trace  # which Python 3.13 wants to have before the next
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # noqa: SLF001  # Python 3.12 and later look for it at `settrace`
    sys.settrace(trace)
    try:
        rig.run(count)
    finally:
        sys.settrace(before)
    return counted / count


def routed(
    shape: Shape,
    count: int,
    place: float,
    loop: asyncio.AbstractEventLoop,
    direction: str,
    more: str = "",
) -> Rig:
    """A request for the route at `place`, 0.0 to 1.0, among `count` of one shape; above 1: none."""
    host, at = "svc", round(place * (count - 1))
    asked = request(shape, at, host, more) if place <= 1.0 else _nowhere(host)
    return Rig(routes_file(shape, count, direction), loop, direction, asked, ANSWER)


def _nowhere(host: str) -> bytes:
    return f"GET /nowhere/at/all HTTP/1.1\r\nHost: {host}\r\nx-client-id: bench\r\n\r\n".encode()


def spread(service: Mapping[str, str], count: int, loop: asyncio.AbstractEventLoop) -> Rig:
    """One service with `count` endpoints, each of which has a connection."""
    asked = b"GET /small HTTP/1.1\r\nHost: svc\r\nx-client-id: bench\r\n\r\n"
    rig = Rig(endpoints_file(service, count), loop, "outbound", asked, ANSWER)
    rig.run(max(WARM, 5 * count))
    return rig


PLACES = {"first": 0.0, "middle": 0.5, "last": 1.0, "none": 2.0}


def routes(loop: asyncio.AbstractEventLoop, direction: str) -> Iterator[tuple[str, dict[int, Rig]]]:
    """Every shape, and the place in the list of the route that a request is for."""
    for name, shape in ROUTES.items():
        for place, share in PLACES.items():
            yield (
                f"{direction}, {name}, {place}",
                {count: routed(shape, count, share, loop, direction) for count in ROUTES_OF},
            )
        yield (
            f"{direction}, {name}, last, anew",
            {count: routed(shape, count, 1.0, loop, direction, UNSEEN) for count in ROUTES_OF},
        )


def endpoints(loop: asyncio.AbstractEventLoop) -> Iterator[tuple[str, dict[int, Rig]]]:
    for name, service in BALANCERS.items():
        yield name, {count: spread(service, count, loop) for count in ENDPOINTS_OF}


async def tell(args: argparse.Namespace) -> None:
    """One table each: routes by shape and place, endpoints by balancer."""
    loop = asyncio.get_running_loop()
    wanted = args.only
    for head, each in (
        (ROUTES_OF, routes(loop, "inbound")),
        (ROUTES_OF, routes(loop, "outbound")),
        (ENDPOINTS_OF, endpoints(loop)),
    ):
        rows = []
        for name, rigs in each:
            if wanted and wanted not in name:
                continue
            for rig in rigs.values():
                rig.prove()
                rig.run(WARM)
            rows.append([name, "steps", *(f"{steps(rig):.0f}" for rig in rigs.values())])
            if args.time:
                rows.append(["", "µs", *await _times(rigs, args.rounds)])
        if rows:
            print("\n" + table(["request", "", *map(str, head)], rows), flush=True)


async def _times(rigs: Mapping[int, Rig], rounds: int) -> list[str]:
    """Each with its ratio to the first: within a round, median over the rounds."""
    taken = await measure({str(n): rig for n, rig in rigs.items()}, 2000, rounds, lambda _: None)
    base = next(iter(taken.values()))
    return [
        f"{min(each):.1f} ({statistics.median(a / b for a, b in zip(each, base, strict=True)):.2f})"
        for each in taken.values()
    ]


def main(argv: list[str] | None = None) -> int:
    """Print the tables; 0 when it ran."""
    parser = argparse.ArgumentParser(prog="loadtests.flat", description=__doc__)
    parser.add_argument("--only", default="", help="rows with this in their name")
    parser.add_argument("--time", action="store_true", help="microseconds as well")
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args(argv)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    uvloop.run(tell(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
