"""The last reloads are remembered, and what each changed can be read line by line."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshproxy.control import history
from meshproxy.control.history import AROUND, KEPT, MOST, TOO_MANY, History, unified
from meshproxy.control.reload import Outcome


def outcome(generation: int, ok: bool = True) -> Outcome:
    errors = () if ok else ("f.yaml:3:5: no",)
    return Outcome(ok, "file", generation, f"digest {generation}", errors)


def told(*configs: Any) -> History:
    made = History()
    for number, config in enumerate(configs, 1):
        made.add(outcome(number), float(number), config)
    return made


def test_a_reload_is_told_with_its_diff() -> None:
    first, second = told({"a": "1s", "b": {"c": True}}, {"a": "2s", "b": {"c": True}})
    assert (first.number, first.diff) == (1, [])
    assert (second.number, second.at) == (2, 2.0)
    assert second.diff == ["@@ -1,3 +1,3 @@", "-a: 1s", "+a: 2s", " b:", "   c: true"]


def test_a_refused_and_an_idle_one_change_nothing() -> None:
    made = told({"a": "1s"})
    made.add(outcome(1, ok=False), 2.0, {"a": "1s"})
    made.add(outcome(1), 3.0, {"a": "1s"})
    made.add(outcome(2), 4.0, {"a": "2s"})
    assert [entry.diff for entry in made][1:3] == [[], []]
    assert list(made)[3].diff == ["@@ -1,1 +1,1 @@", "-a: 1s", "+a: 2s"]


def test_only_the_last_are_remembered_and_nothing_behind_them() -> None:
    made = told(*({"k": number} for number in range(50)))
    entries = list(made)
    assert [entry.number for entry in entries] == list(range(51 - KEPT, 51))
    assert all(entry.before is None or entry.before.before is None for entry in entries)
    assert entries[0].diff == ["@@ -1,1 +1,1 @@", "-k: 39", "+k: 40"]


def test_a_huge_config_is_not_kept(monkeypatch: Any) -> None:
    monkeypatch.setattr(history, "LARGEST", 10)
    _, second = told({"a": 1}, {"a": "x" * 50})
    assert second.diff == ["the config is too large to be compared"]


def test_a_long_diff_is_cut_and_a_vast_one_not_made() -> None:
    old, new = [f"{n}: a" for n in range(MOST)], [f"{n}: b" for n in range(MOST)]
    lines = unified(old, new)
    assert (len(lines), lines[-1]) == (MOST + 1, f"and {MOST + 1} lines more")
    (line,) = unified([f"{n}: a" for n in range(TOO_MANY + 1)], [])
    assert "too many to be compared" in line


LINES = st.lists(st.sampled_from("abcdef"), max_size=30)


@given(LINES, LINES)
def test_it_is_the_diff_that_everyone_knows(old: list[str], new: list[str]) -> None:
    """Applied to the old lines, it gives the new ones."""
    assert _applied(old, unified(old, new)) == new


@given(LINES, LINES, LINES)
def test_what_both_share_at_the_ends_costs_and_changes_nothing(
    old: list[str], new: list[str], shared: list[str]
) -> None:
    old, new = [*shared, *old, *shared], [*shared, *new, *shared]
    assert _applied(old, unified(old, new)) == new


def test_a_small_change_of_a_vast_config_is_told_with_its_place() -> None:
    old = [f"{n}: a" for n in range(5 * TOO_MANY)]
    new = [*old[:9000], "9000: b", *old[9001:]]
    place, *lines = unified(old, new)
    assert place == "@@ -8998,7 +8998,7 @@"
    assert lines[AROUND : AROUND + 2] == ["-9000: a", "+9000: b"]
    assert len(lines) == 2 * AROUND + 2


def _applied(old: list[str], lines: list[str]) -> list[str]:
    made: list[str] = []
    at = 0
    for line in lines:
        if line.startswith("@@"):
            start = int(line.split()[1].split(",")[0].lstrip("-")) - 1
            made += old[at:start]
            at = start
        elif line[0] == "+":
            made.append(line[1:])
        else:
            assert old[at] == line[1:]
            at += 1
            if line[0] == " ":
                made.append(line[1:])
    return made + old[at:]
