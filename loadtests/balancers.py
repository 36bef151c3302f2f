"""Every balancer on the same skewed fleet, in virtual time: `make simulate`.

Prints a table and writes it with a plot beside this file. The world is `fleet`; here stand the
contenders and how they are shown. Neither breaker nor retries help: it is the balancers alone.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests.fleet import Outcome, World, skewed
from loadtests.report import table
from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Allowed, Endpoint, Pick
from meshproxy.logic import balance
from meshproxy.policies.contract import Scope, Spec
from meshproxy.policies.load_balancer import LoadBalancerSpec

HERE = Path(__file__).parent
PAGE, PLOT = HERE / "BALANCERS.md", HERE / "balancers.png"
ODD = ("slow", "failing", "restarted", "pausing")
BY_USER = {"strategy": "ring_hash", "hash": "header:x-user"}
NAIVE = "peak_ewma, errors count as answers"


class Naive(Spec):
    """What peak_ewma would be if a failure counted for no more than the time it took."""

    def build(self, scope: Scope) -> NaivePeak:
        return NaivePeak(LoadBalancerSpec().build(scope).pick)


class NaivePeak:
    """The product's choice, with another lesson learned from failures."""

    def __init__(self, pick: Pick) -> None:
        self._pick = pick

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        return self._pick(exchange, allowed, now)

    def settle(self, exchange: Exchange, now: float) -> None:
        if exchange.endpoint is not None:
            balance.observe(exchange.endpoint, now - exchange.sent_at, now)


def contenders() -> dict[str, Spec]:
    """Every strategy as the file would say it; and one that we do not have, to see why."""
    read = LoadBalancerSpec.model_validate
    return {
        "random": read("random"),
        "round_robin": read("round_robin"),
        "least_request": read("least_request"),
        "least_request, slow start": read({"strategy": "least_request", "slow_start": "30s"}),
        "peak_ewma": read("peak_ewma"),
        "peak_ewma, slow start": read({"slow_start": "30s"}),
        "ring_hash, no bound": read({**BY_USER, "bound": "off"}),
        "ring_hash, 125%": read(BY_USER),
        NAIVE: Naive(),
    }


def main(argv: list[str] | None = None) -> int:
    """Run all, show all; 0 also where there is nothing to plot with."""
    args = read_options(argv)
    outcomes = simulate(args.rate, args.seconds, args.seed)
    print("\n" + table(HEAD, rows(outcomes, args.seconds)))
    if args.write:
        PAGE.write_text(page(outcomes, args))
        print(f"\nwritten: {PAGE}")
        plotted = plot(outcomes, args.seconds)
        print(f"written: {PLOT}" if plotted else "no plot: pip install matplotlib")
    return 0


def simulate(rate: float, seconds: float, seed: int) -> dict[str, Outcome]:
    outcomes = {}
    for name, spec in contenders().items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        outcomes[name] = World(skewed(seconds), rate, seconds, seed).run(spec)
    return outcomes


HEAD = ["balancer", "", "p50 ms", "p99 ms", "p99 calm", "p99 cold", "p99.9 ms", "errors"]
HEAD += [f"to {name}" for name in ODD]


def rows(outcomes: Mapping[str, Outcome], seconds: float) -> list[list[str]]:
    return [_row(name, outcome, seconds) for name, outcome in outcomes.items()]


def _row(name: str, outcome: Outcome, seconds: float) -> list[str]:
    calm, back = 0.2 * seconds, 0.4 * seconds
    latencies = (
        outcome.percentile(0.50),
        outcome.percentile(0.99),
        outcome.percentile(0.99, 0.0, calm),
        outcome.percentile(0.99, back, back + calm / 2),
        outcome.percentile(0.999),
    )
    return [
        name,
        "",
        *(f"{latency * 1e3:.1f}" for latency in latencies),
        f"{outcome.errors / outcome.requests:.2%}",
        *(f"{outcome.share_of(odd):.1%}" for odd in ODD),
    ]


PAGE_TEXT = """# Balancers on a skewed fleet

Made by `make simulate` in virtual time: no sockets, no clock, the same figures everywhere.
{rate:g} requests per second for {seconds:g} s, seed {seed}, over ten servers of 8 workers each.
The balancers are the proxy's own objects. Nothing helps them: no breaker, no retries.

Six servers are well: lognormal around 8 ms, and a pause of 80 ms every 10 s or so. The others:

- `slow` takes five times as long, always.
- `failing` answers 503 within 1 ms, from {fail:g} s to {heal:g} s.
- `restarted` is away from {away:g} s to {back:g} s, and then ten times as slow at first.
- `pausing` stands still for 150 ms about every second, as with a full heap.

{table}

Percentiles are of good answers alone. `calm` is before anything fails, `cold` right after
`restarted` is back. The last columns are the share of all requests that went there; a tenth is
an even share, and only `slow` and `pausing` are there in the same way all the time.

![p50 and p99 per balancer, and p99 over time](balancers.png)

What it shows:

- Errors are fast, and attract traffic. Whoever counts requests in flight sends `failing` more
  than its share, as its failures never pile up; so does the last row, which is no strategy of
  ours: it takes an error for a quick answer. `peak_ewma` counts a failure (and a 429) as
  {penalty:g} s, or as long as its Retry-After asks for, and tries `failing` once in that time.
- In turn and by chance, the callers of `slow` wait in its queue. `least_request` and `peak_ewma`
  both send it less; in latency alone they are close.
- A server that comes back cold gets its full share at once unless `slow_start` is set: see `cold`.
- `ring_hash` cannot avoid a home that is slow, cold or failing, and without a bound its keys
  queue there. With one they move on. Fast errors pile up nowhere, so they attract what moves:
  leave the circuit breaker on.
"""


def page(outcomes: Mapping[str, Outcome], args: argparse.Namespace) -> str:
    """The page, as Markdown."""
    seconds = args.seconds
    head = [HEAD[0], *HEAD[2:]]
    body = [[row[0], *row[2:]] for row in rows(outcomes, seconds)]
    return PAGE_TEXT.format(
        rate=args.rate,
        seconds=seconds,
        seed=args.seed,
        fail=0.2 * seconds,
        heal=0.8 * seconds,
        away=0.3 * seconds,
        back=0.4 * seconds,
        penalty=balance.PENALTY,
        table=table(head, body, markdown=True),
    )


def plot(outcomes: Mapping[str, Outcome], seconds: float) -> bool:
    """Draw the bars and the course of p99; False where matplotlib is not installed."""
    try:
        drawing: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        return False
    figure = drawing.Figure(figsize=(13, 5.5), layout="constrained")
    bars, course = figure.subplots(1, 2, width_ratios=(1, 1.15))
    bars.set(xscale="log", xlim=(1.0, 2000.0), xlabel="milliseconds, good answers")
    bars.set_title("Skewed fleet: one slow, one failing, one cold, one pausing", fontsize=10)
    course.set(yscale="log", xlabel="seconds", ylabel="p99, milliseconds")
    course.set_title("p99 over time", fontsize=10)
    for axis in (bars.xaxis, course.yaxis):
        axis.set_major_formatter("{x:g}")
    _bars(bars, outcomes)
    _course(course, outcomes, seconds)
    figure.savefig(PLOT, dpi=110, metadata={"Software": None})
    return True


def _bars(axes: Any, outcomes: Mapping[str, Outcome]) -> None:
    names = list(outcomes)
    for offset, share, colour in ((0.2, 0.50, "tab:blue"), (-0.2, 0.99, "tab:orange")):
        values = [outcome.percentile(share) * 1e3 for outcome in outcomes.values()]
        places = [len(names) - index + offset for index in range(len(names))]
        drawn = axes.barh(places, values, height=0.38, color=colour, label=f"p{share * 100:g}")
        axes.bar_label(drawn, fmt="%.1f", padding=3, fontsize=8)
    errors = [
        f"{name}\n{each.errors / each.requests:.2%} errors" for name, each in outcomes.items()
    ]
    axes.set_yticks([len(names) - index for index in range(len(names))], errors, fontsize=8)
    axes.legend(loc="lower right", fontsize=8)


SHOWN = ("random", "least_request", "peak_ewma", "peak_ewma, slow start", "ring_hash, 125%")


def _course(axes: Any, outcomes: Mapping[str, Outcome], seconds: float) -> None:
    step = seconds / 60
    middles = [(index + 0.5) * step for index in range(60)]
    for name in SHOWN:
        spans = [(index * step, (index + 1) * step) for index in range(60)]
        values = [outcomes[name].percentile(0.99, *span) * 1e3 for span in spans]
        axes.plot(middles, values, label=name, linewidth=1.4)
    marks = ((0.2, "503s begin"), (0.3, "one away"), (0.4, "back, cold"), (0.8, "503s end"))
    for height, (share, text) in enumerate(marks):
        axes.axvline(share * seconds, color="grey", linestyle=":", linewidth=1)
        axes.text(share * seconds, 0.99 - 0.03 * height, f" {text}", fontsize=8, va="top",
                  transform=axes.get_xaxis_transform())  # fmt: skip
    axes.minorticks_off()
    axes.set_yticks([20, 50, 100, 200, 500, 1000])
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(SHOWN))


def read_options(argv: list[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program (2) on a usage error."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--rate", type=float, default=1500.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=60.0, help="of virtual time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--no-write", dest="write", action="store_false", help="only print the table"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
