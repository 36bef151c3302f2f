"""Samples become a tree whose parts add up, and files that other tools can read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from meshproxy.telemetry.profile import Node, Stacks, collapsed, speedscope, tree
from meshproxy.telemetry.stacks import Call

SCHEMA = json.loads((Path(__file__).parent / "data" / "speedscope.schema.json").read_text())
"""That of speedscope 1.25 itself (MIT licence, Jamie Wong)."""

A, B, C = (Call("meshproxy/a.py", line, name) for line, name in ((1, "a"), (20, "b"), (30, "c")))
IDLE = Call("", 0, "(idle)")
SOME: Stacks = {(A,): 1, (A, B): 4, (A, B, C): 3, (A, C): 1, (B,): 2, (IDLE,): 5}

CALLS = st.sampled_from((A, B, C, IDLE))
STACKS = st.dictionaries(st.lists(CALLS, max_size=6).map(tuple), st.integers(1, 1000), max_size=20)


def every(node: Node) -> Iterator[Node]:
    yield node
    for inner in node.inner.values():
        yield from every(inner)


def test_a_call_stands_once_below_whoever_called_it() -> None:
    root = tree(SOME)
    assert (root.total, root.own) == (16, 0)
    a = root.inner[A]
    assert (a.total, a.own) == (9, 1)
    assert (a.inner[B].total, a.inner[B].own) == (7, 4)
    assert a.inner[B].inner[C].own == 3
    assert (root.inner[B].total, root.inner[B].own) == (2, 2)
    assert root.depth() == 4


@given(STACKS)
def test_the_parts_add_up(stacks: Stacks) -> None:
    root = tree(stacks)
    assert root.total == sum(stacks.values())
    for node in every(root):
        assert node.total == node.own + sum(inner.total for inner in node.inner.values())


@given(STACKS)
def test_the_order_of_the_samples_makes_no_difference(stacks: Stacks) -> None:
    other = dict(reversed(stacks.items()))
    assert collapsed(stacks) == collapsed(other)
    assert speedscope(stacks, "t", 0.01, "x") == speedscope(other, "t", 0.01, "x")
    assert [node.call for node in tree(stacks).sorted()] == [
        node.call for node in tree(other).sorted()
    ]


def test_collapsed_is_a_line_per_stack() -> None:
    assert collapsed(SOME).splitlines() == [
        "(idle) 5",
        "a (meshproxy/a.py:1) 1",
        "a (meshproxy/a.py:1);b (meshproxy/a.py:20) 4",
        "a (meshproxy/a.py:1);b (meshproxy/a.py:20);c (meshproxy/a.py:30) 3",
        "a (meshproxy/a.py:1);c (meshproxy/a.py:30) 1",
        "b (meshproxy/a.py:20) 2",
    ]
    assert collapsed({(Call("", 0, "odd;name\n"),): 2}) == "odd,name  2\n"


@given(STACKS)
def test_speedscope_takes_it(stacks: Stacks) -> None:
    """By its own schema, and by what it expects beyond that: as many weights as samples."""
    made = speedscope(stacks, "orders", 0.01, "meshproxy@1")
    Draft7Validator(SCHEMA).validate(made)
    (profile,) = made["profiles"]
    assert len(profile["samples"]) == len(profile["weights"]) == len(stacks)
    frames = made["shared"]["frames"]
    assert all(0 <= index < len(frames) for stack in profile["samples"] for index in stack)
    assert round(sum(profile["weights"]), 6) == profile["endValue"]


def test_speedscope_has_outermost_calls_first_and_seconds() -> None:
    made = speedscope({(A, B): 4}, "orders", 0.01, "meshproxy@1")
    assert made["shared"]["frames"] == [
        {"name": "a", "file": "meshproxy/a.py", "line": 1},
        {"name": "b", "file": "meshproxy/a.py", "line": 20},
    ]
    assert made["profiles"][0]["samples"] == [[0, 1]]
    assert made["profiles"][0]["weights"] == [0.04]


def test_the_schema_refuses_what_is_none() -> None:
    """So that the test above says something."""
    made = speedscope(SOME, "orders", 0.01, "meshproxy@1")
    del made["profiles"][0]["weights"]
    assert not Draft7Validator(SCHEMA).is_valid(made)
