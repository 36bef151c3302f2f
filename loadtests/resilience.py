"""What faults of upstreams cost the callers, over minutes: `make resilience` runs every trial.

Prints a line of JSON for each run, writes loadtests/RESILIENCE.md and exits 1 when a floor was
missed. What a trial does is said in `resilience_trials`; its scenes stand in tests/chaos.
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
from loadtests import resilience_trials as trials
from loadtests.processes import end_on_sigterm
from loadtests.report import machine, table
from loadtests.stall_report import HEAD, Figure, screen
from tests.chaos.scenes import CAPACITY

PAGE = Path(__file__).parent / "RESILIENCE.md"
Trial = Callable[[trials.Tell], Iterator[Figure]]

TRIALS: dict[str, Trial] = {
    "waits": trials.waits,
    "slices": trials.slices,
    "limits": trials.limits,
    "overload": trials.overload,
    "storm": trials.storm,
    "outage": trials.outage,
    "hurt": trials.hurt,
    "helped": trials.helped,
    "idle": trials.idle_servers,
}


def main(argv: list[str] | None = None) -> int:
    """Run the trials; 0 when every floor held, 1 when not, 130 when interrupted."""
    args = read_options(argv)
    end_on_sigterm()
    lines: list[str] = []
    try:
        figures = list(run(args.only, lines))
    except KeyboardInterrupt:
        print("\nresilience: interrupted", file=sys.stderr)
        return 130
    print("\n" + screen(figures))
    if args.only == list(TRIALS) or args.write:
        PAGE.write_text(page(figures, lines))
    return 1 if any(one.verdict == "MISSED" for one in figures) else 0


def run(names: list[str], lines: list[str]) -> Iterator[Figure]:
    """Every trial in its turn, told while it runs."""

    def tell(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    for name in names:
        began = time.monotonic()
        print(f"{name} ...", flush=True)
        for figure in TRIALS[name](tell):
            yield figure
            print("   " + "  ".join(figure.cells()), flush=True)
        print(f"   took {time.monotonic() - began:.0f} s", flush=True)


def page(figures: list[Figure], lines: list[str]) -> str:
    """The page of the day, as Markdown."""
    used = ("uvloop", "gunicorn", "uvicorn")
    versions = "\n".join(f"- {name}: {version(name)}" for name in used)
    notes = "\n".join(f"- {one.trial}, {one.name}: {one.note}" for one in figures if one.note)
    runs = "\n".join(lines)
    return f"""# Faults of upstreams, measured on {datetime.date.today().isoformat()}

Written by `make resilience`; do not edit.

- machine: {machine()}
- meshproxy: {meshproxy.__version__}
{versions}

Every request of a run carries an id that the upstream writes down and echoes. A promise is broken
if a POST was delivered more than once, a GET more often than it may be tried, an answer belongs to
another request, or an end is missing. Callers, sidecars and upstreams share the machine's cores.
The upstream of F46 and F48 has {CAPACITY:.0f} requests a second; callers give up after a
second, and the rows without a sidecar show what becomes of it then.

{table(HEAD, (one.cells() for one in figures), markdown=True)}

Notes:

{notes}

Each run (`errors` are the ends that were no success, `p99` is in seconds, `rss` in bytes):

```
{runs}
```
"""


def read_options(argv: list[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program (2) on a usage error."""
    parser = argparse.ArgumentParser(prog="loadtests.resilience", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=list(TRIALS), default=list(TRIALS), help="these trials"
    )
    parser.add_argument("--write", action="store_true", help="write the page with --only as well")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
