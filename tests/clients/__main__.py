"""Runs the suites of real clients with the sidecar in the way and without, and compares them.

Ends with 1 if a test fails through the sidecar that does not fail without it.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.clients import autobahn, page
from tests.clients.page import Part
from tests.clients.runs import broken, outcomes
from tests.clients.suites import DIRECT, INBOUND, MODES, OUTBOUND, SUITES, Suite

_NOTE = """\
What fails without the sidecar is the library's affair. "Not strict" is a server that answers an
error before the message in front of it, because it read both at once; TCP may deliver them so.
Left out: of the groups 12 and 13 (compression) all but small messages, which take long."""


def compared(suite: Suite) -> Part:
    """The suite in all modes at once; what breaks gets a second try, alone."""
    say(f"{suite.name} {suite.version}: setting up")
    suite.install()
    say(f"{suite.name} {suite.version}: running, directly and through the sidecar")
    with ThreadPoolExecutor(len(MODES)) as pool:
        runs = dict(zip(MODES, pool.map(lambda mode: outcomes(suite, mode), MODES), strict=True))
    part = Part(f"{suite.name} {suite.version}", dict(runs), differs=suite.differs, note=suite.note)
    for mode in (INBOUND, OUTBOUND):
        expected = [one.test for one in suite.differs if mode in one.modes]
        worse = [name for name in broken(runs[DIRECT], runs[mode]) if name not in expected]
        if worse:
            again = outcomes(suite, mode, worse)
            worse = [name for name in worse if again.get(name) == "failed"]
        gone = [name for name in expected if runs[mode].get(name) != "failed"]
        part.broken[mode] = worse + [f"{name} (expected to differ, and does not)" for name in gone]
    return part


def fuzzed() -> Part:
    """Autobahn's cases, one by one."""
    title = f"Autobahn {autobahn.VERSION}, fuzzing client, against the Python library websockets"
    python = autobahn.python2()
    if python is None:
        return Part(title, {}, note="Not run: it needs Python 2.7 with pip (or name one: PYTHON2).")
    say(title)
    direct, through = autobahn.verdicts(python)
    return Part(
        title, {DIRECT: direct, INBOUND: through}, {INBOUND: broken(direct, through)}, note=_NOTE
    )


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make clients", description=__doc__)
    names = [suite.name for suite in SUITES] + ["autobahn"]
    parser.add_argument("only", nargs="*", metavar="SUITE", help=f"of {', '.join(names)}")
    only = parser.parse_args().only
    parts = [compared(suite) for suite in SUITES if not only or suite.name in only]
    if not only or "autobahn" in only:
        parts.append(fuzzed())
    if not only:
        page.write(parts)
    for part in parts:
        say("\n".join(page.section(part)))
    fine = all(part.fine for part in parts)
    say("no client saw a difference" if fine else "a client saw a difference")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
