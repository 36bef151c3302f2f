"""The page has a row for every case, and totals that are those of the rows."""

from __future__ import annotations

from datetime import date

from tests.conformance.differential import cases

from .agreement import Verdict
from .comparison import Column
from .page import page

NAMES = [case.name for case in cases.REFUSED]
DAY = date(2026, 1, 2)


def column(name: str, accepted: set[str]) -> Column:
    words = {each: "**taken**" if each in accepted else "400" for each in NAMES}
    return Column(name, "1.2.3", words, accepted)


def lines() -> list[str]:
    columns = [column("meshproxy", set()), column("envoy", set(NAMES[:3]))]
    return page(DAY, columns, [Verdict("h11", "0.16.0", refused=["x"])]).splitlines()


def test_every_case_has_a_row() -> None:
    rows = [line for line in lines() if line.endswith(("| 400 |", "taken** |"))]
    assert len(rows) == len(NAMES)
    assert rows[0].startswith(f"| {NAMES[0]} | ")
    assert rows[0].endswith("| 400 | **taken** |")


def test_the_totals_are_those_of_the_rows() -> None:
    assert f"| bad requests taken, of {len(NAMES)} | 0 | 3 |" in lines()


def test_it_says_when_and_what_was_compared() -> None:
    text = "\n".join(lines())
    assert "2026-01-02" in text
    assert "|  | meshproxy 1.2.3 | Envoy 1.2.3 |" in text
    assert f"| h11 0.16.0 | 0 of {len(NAMES)} |" in text
