"""`python -m tests.conformance.differential`: both comparisons, and the page that tells of them.

Exits with 1 when meshproxy takes what it must refuse, or a server disagrees with it.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from loadtests import tools

from .agreement import agree
from .comparison import compare
from .page import page
from .servers import SERVERS

PAGE = Path(__file__).resolve().parents[1] / "RESULTS.md"


def main() -> int:
    try:
        tools.ensure({"nginx", "haproxy"}, wheel=True)
    except tools.MissingError as missing:
        print(missing, file=sys.stderr)
        return 1
    verdicts = [agree(name, _tell) for name in SERVERS]
    columns = compare(_tell)
    PAGE.write_text(page(datetime.now(UTC).date(), columns, verdicts))
    _tell(f"written: tests/conformance/{PAGE.name}")
    ours = columns[0]
    wrong = [wrong for each in verdicts for wrong in each.disagreements]
    for line in wrong:
        _tell(line)
    return int(bool(wrong or ours.accepted or ours.not_taken or ours.poisoned))


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
