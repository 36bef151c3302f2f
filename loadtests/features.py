"""What each feature adds to the CPU of a request, one by one, without sockets.

`python -m loadtests.features` prints the table that `make bench` puts into RESULTS.md. The base
is a service of three endpoints with the policies that a file is likely to have; each row adds
one feature to it, and the figure is the difference within a round, median over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import uvloop

from loadtests.bench_exchange import ANSWER, POLICIES, Rig, measure
from loadtests.processes import cores, pinned
from loadtests.report import FEATURE_HEAD, Features, table

REQUEST = b"GET /small HTTP/1.1\r\nHost: svc\r\nx-client-id: bench\r\n\r\n"
FRESH = ANSWER.replace(b"Server: origin", b"Cache-Control: max-age=86400")
ENDPOINTS = ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
TIERED = ("10.0.0.1:80", "10.0.0.2:80", "{address: 10.0.0.3:80, tier: 1}")
BASE = "the base"


@dataclass(frozen=True, slots=True)
class Feature:
    """Keys that are added to the service or to the file, and what the client sends then."""

    service: Mapping[str, str] = field(default_factory=dict)
    file: Mapping[str, str] = field(default_factory=dict)
    asks: bytes = b""
    answer: bytes = ANSWER
    endpoints: tuple[str, ...] = ENDPOINTS

    def text(self) -> str:
        """The whole file."""
        service = {**POLICIES, "endpoints": f"[{', '.join(self.endpoints)}]", **self.service}
        file = {
            "tracing": "{propagate: [tracecontext, b3], sample: 0%}",
            "logs": "{access: {errors: true, slower_than: off, sample: 0%}}",
            **self.file,
        }
        lines = [f"{key}: {value}" for key, value in file.items()]
        lines += ["outbound:", "  services:", "    svc:"]
        lines += [f"      {key}: {value}" for key, value in service.items()]
        return "\n".join(lines) + "\n"

    def said(self) -> str:
        """What was added, as it is written."""
        return ", ".join(
            f"`{key}: {value}`" for key, value in {**self.service, **self.file}.items()
        )

    def rig(self, loop: asyncio.AbstractEventLoop) -> Rig:
        request = REQUEST.replace(b"\r\n\r\n", b"\r\n" + self.asks + b"\r\n")
        return Rig(self.text(), loop, "outbound", request, self.answer)


SHADOWED = "{consecutive_failures: 7, failure_rate: 50%, window: 10s, mode: shadow}"
NO_FAULT = "{inject: [{delay: 1ms, percent: 0.0001%}]}"
SPANS = "{propagate: [tracecontext, b3], sample: %s, export: 'http://127.0.0.1:4318'}"
COOKIE = b"cookie: meshproxy_upstream=0123456789abcdef\r\n"

FEATURES: dict[str, Feature] = {
    BASE: Feature(),
    "health_check": Feature({"health_check": "{path: /healthz}"}),
    "panic: 50%": Feature({"circuit_breaker": "{consecutive_failures: 7, panic: 50%}"}),
    "circuit_breaker, mode: shadow": Feature({"circuit_breaker": SHADOWED}),
    "load_balancer: least_request": Feature({"load_balancer": "least_request"}),
    "load_balancer: ring_hash": Feature(
        {"load_balancer": "{strategy: ring_hash, hash: header:x-client-id, bound: 125%}"}
    ),
    "slow_start": Feature({"load_balancer": "{strategy: peak_ewma, slow_start: 30s}"}),
    "sticky, a client that was here": Feature({"sticky": "{}"}, asks=COOKIE),
    "a second tier": Feature(endpoints=TIERED),
    "hedge: p95": Feature({"hedge": "{after: p95}"}),
    "deadlines, none given": Feature({"deadlines": "{}"}),
    "deadlines, one given": Feature({"deadlines": "{}"}, asks=b"x-request-deadline: 5000\r\n"),
    "fallback: static": Feature({"fallback": "{static: {body: sorry}}"}),
    "cache, nothing to store": Feature(
        {"cache": "{}"}, answer=ANSWER.replace(b"Server: origin", b"Cache-Control: no-store")
    ),
    "cache, a hit (and no upstream)": Feature({"cache": "{}"}, answer=FRESH),
    "concurrency: adaptive": Feature({"concurrency": "{max: adaptive}"}),
    "priority by header": Feature(
        {"priority": "{header: x-priority}"}, asks=b"x-priority: normal\r\n"
    ),
    "overload": Feature(file={"overload": "{loop_lag: 100ms, memory: 90%}"}),
    "faults, none injected": Feature({"faults": NO_FAULT}),
    "rate limit, mode: shadow": Feature(
        {"rate_limits": "[{name: try, limit: 1000000/s, burst: 1000000, mode: shadow}]"}
    ),
    "spans of none": Feature(file={"tracing": SPANS % "0%"}),
    "spans of 1%": Feature(file={"tracing": SPANS % "1%"}),
    "spans of all": Feature(file={"tracing": SPANS % "100%"}),
}


def costs(count: int, rounds: int, tell: Callable[[str], None] = print) -> Features:
    """Measure the base and each feature beside it."""

    async def run() -> dict[str, list[float]]:
        loop = asyncio.get_running_loop()
        rigs = {name: feature.rig(loop) for name, feature in FEATURES.items()}
        return await measure(rigs, count, rounds, tell)

    taken = uvloop.run(run())
    base = taken.pop(BASE)
    rows = [_row(name, base, figures) for name, figures in taken.items()]
    return Features(statistics.median(base), rows)


def _row(name: str, base: list[float], figures: list[float]) -> list[str]:
    """Less is possible: a rate limit in shadow stands in the place of two that are enforced."""
    each = [mine - without for mine, without in zip(figures, base, strict=True)]
    return [
        name,
        FEATURES[name].said(),
        *(f"{one:+.2f}" for one in (statistics.median(each), min(each), max(each))),
    ]


def main(argv: list[str] | None = None) -> int:
    """Print the table; 0 when it ran."""
    parser = argparse.ArgumentParser(prog="loadtests.features", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="exchanges per round")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args(argv)
    with pinned(cores()[0]):
        found = costs(args.count, args.rounds)
    print(f"\n{BASE}: {found.base:.2f} µs per exchange\n\n{table(FEATURE_HEAD, found.rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
