"""What reloads, upgrades and dying workers cost the callers: `make fire` runs every trial.

Writes loadtests/FIRE.md and exits 1 when a target was missed. What a trial does is said in
`fire_trials`; it takes about six minutes, and the figures are those of the machine while it
does nothing else.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import meshproxy
from loadtests import fire_trials as trials
from loadtests.processes import end_on_sigterm
from loadtests.report import machine, table
from loadtests.stall_report import HEAD, Figure, screen

PAGE = Path(__file__).parent / "FIRE.md"
TRIALS: dict[str, tuple[Callable[[int], Iterator[Figure]], int]] = {
    "f11": (trials.f11, 1000),
    "f15": (trials.f15, 100),
    "f16": (trials.f16, 50),
    "f17": (trials.f17, 5),
    "upgrades": (trials.upgrades, 100),
    "f45": (trials.f45, 20),
    "breaker": (trials.breaker, 10),
    "memory": (trials.memory, 1),
}


def main(argv: list[str] | None = None) -> int:
    """Run the trials; 0 when every target was met, 1 when not, 130 when interrupted."""
    args = read_options(argv)
    end_on_sigterm()
    try:
        figures = list(run(args.only, args.times))
    except KeyboardInterrupt:
        print("\nfire: interrupted", file=sys.stderr)
        return 130
    print("\n" + screen(figures))
    if args.only == list(TRIALS) and args.times is None:
        PAGE.write_text(page(figures))
    return 1 if any(one.verdict == "MISSED" for one in figures) else 0


def run(names: list[str], times: int | None) -> Iterator[Figure]:
    """Every trial in its turn, told while it runs."""
    for name in names:
        began = time.monotonic()
        print(f"{name} ...", flush=True)
        trial, usual = TRIALS[name]
        for figure in trial(times or usual):
            yield figure
            print("   " + "  ".join(figure.cells()), flush=True)
        print(f"   took {time.monotonic() - began:.0f} s", flush=True)


def page(figures: list[Figure]) -> str:
    """The page of the day, as Markdown."""
    notes = "\n".join(f"- {one.trial}, {one.name}: {one.note}" for one in figures if one.note)
    return f"""# Under fire, measured on {datetime.date.today().isoformat()}

Written by `make fire`; do not edit.

- machine: {machine()}
- meshproxy: {meshproxy.__version__}

{trials.KEPT} callers keep their connection and {trials.ANEW} connect anew each time; they try
nothing again. Every request carries an id that the app writes down and echoes. A promise is broken
if a request was delivered more often than it may be, an answer belongs to another one, or an end
is missing. Callers, sidecar and app share the machine's cores.

{table(HEAD, (one.cells() for one in figures), markdown=True)}

Notes:

{notes}
"""


def read_options(argv: list[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program (2) on a usage error."""
    parser = argparse.ArgumentParser(prog="loadtests.fire", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=list(TRIALS), default=list(TRIALS), help="these trials"
    )
    parser.add_argument("--times", type=int, help="repetitions (f45: seconds); no page is written")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
