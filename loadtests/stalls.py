"""What slow, idle and greedy clients cost the others: `make stalls` runs every trial.

Writes loadtests/STALLS.md and exits 1 when a floor was missed. What a trial does is said in
`stall_trials`, `stall_floods` and `stall_times`; what misbehaves, in `attacks`.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import meshproxy
from loadtests import stall_floods, stall_times, stall_trials, tools
from loadtests.processes import NotReadyError, end_on_sigterm
from loadtests.stall_report import Figure, page, screen

PAGE = Path(__file__).parent / "STALLS.md"
Trial = Callable[[float], Iterator[Figure]]

TRIALS: dict[str, Trial] = {
    "nobody": stall_trials.nobody,
    "slowloris": stall_trials.slowloris,
    "slowhttptest": stall_floods.slowhttptest,
    "slow-readers": stall_trials.slow_readers,
    "slow-uploads": stall_trials.slow_uploads,
    "idle": stall_trials.idle,
    "descriptors": stall_floods.no_descriptors,
    "floods": stall_floods.floods,
    "timeouts": stall_times.timeouts,
}


def main(argv: list[str] | None = None) -> int:
    """Run the trials; 0 when every floor held, 1 when not, 2 when they could not run."""
    args = read_options(argv)
    end_on_sigterm()
    try:
        tools.ensure({"slowhttptest"} if "slowhttptest" in args.only else set(), wheel=False)
        figures = run(args)
    except (NotReadyError, tools.MissingError) as error:
        print(f"stalls: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstalls: interrupted", file=sys.stderr)
        return 130
    print("\n" + screen(figures))
    if args.only == list(TRIALS) or args.write:
        PAGE.write_text(page(figures, datetime.date.today().isoformat(), versions()))
    return 1 if any(one.verdict == "MISSED" for one in figures) else 0


def run(args: argparse.Namespace) -> list[Figure]:
    """Every trial in its turn, told while it runs."""
    figures: list[Figure] = []
    for name in args.only:
        began = time.monotonic()
        print(f"{name} ...", flush=True)
        for figure in TRIALS[name](args.seconds):
            figures.append(figure)
            print("   " + "  ".join(figure.cells()[1:]) + "  " + figure.note, flush=True)
        print(f"   took {time.monotonic() - began:.0f} s", flush=True)
    return figures


def versions() -> dict[str, str]:
    said = {"meshproxy": meshproxy.__version__, "uvloop": version("uvloop")}
    try:
        said["slowhttptest"] = tools.version([tools.program("slowhttptest"), "-h"])
    except tools.MissingError as error:
        said["slowhttptest"] = str(error)
    return said


def read_options(argv: list[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program (2) on a usage error."""
    parser = argparse.ArgumentParser(prog="loadtests.stalls", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=12.0, help="each attack lasts (default 12)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=list(TRIALS), default=list(TRIALS), help="these trials"
    )
    parser.add_argument("--write", action="store_true", help="write the page with --only as well")
    args = parser.parse_args(argv)
    if args.seconds < 6.0:
        parser.error("--seconds: an attack needs at least 6 s to be seen")
    return args


if __name__ == "__main__":
    sys.exit(main())
