"""A text says something new and is otherwise what it was."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.commands.documents import read
from meshproxy.commands.edits import written
from meshproxy.settings.errors import ConfigError


def changed(text: str, after: Any) -> tuple[str, bool]:
    printed, lost = written(read(text.encode(), "f.yaml"), [after])
    return printed, not lost


@pytest.mark.parametrize(
    ("before", "after", "printed"),
    [
        ("a: 1 # why\n", {"a": 2}, "a: 2 # why\n"),
        ("a: 1", {"a": 1, "b": 2}, "a: 1\nb: 2\n"),
        ("a:\n  b: 1\n# end\nc: 3\n", {"a": {"b": 1, "x": 2}, "c": 3},
         "a:\n  b: 1\n  x: 2\n# end\nc: 3\n"),
        ("a: {b: 1} # x\nc: 3\n", {"a": {"b": 2}, "c": 3}, "a: {b: 2} # x\nc: 3\n"),
        ("a:\n- 1\n- 2\nb: 3\n", {"a": [1, 2, 4], "b": 3}, "a:\n- 1\n- 2\n- 4\nb: 3\n"),
        ("a:\n  - 1\n  - 2\n", {"a": [0, 1, 2]}, "a:\n  - 0\n  - 1\n  - 2\n"),
        ("a: []\n", {"a": [1]}, "a: [1]\n"),
        ("a:\nb: 2\n", {"a": {"x": 1}, "b": 2}, 'a: {"x": 1}\nb: 2\n'),
        ("a:\n  - b: |\n      one\n\n      two\n", {"a": [{"b": "one\n\ntwo\n", "c": 1}]},
         "a:\n  - b: |\n      one\n\n      two\n    c: 1\n"),
        ("a: >-\n  one\n  two\nb: 1\n", {"a": "one two", "b": 1, "c": 2},
         "a: >-\n  one\n  two\nb: 1\nc: 2\n"),
        ("a: 'é' # ü\n", {"a": "é", "b": "ö"}, "a: 'é' # ü\nb: ö\n"),
        ("a: 1\r\nb: 2\r\n", {"a": 3, "b": 2, "c": 4}, "a: 3\r\nb: 2\r\nc: 4\r\n"),
        ("a: [\r\n  1\r\n]\r\n", {"a": [2]}, "a: [\r\n  2\r\n]\r\n"),
        ("---\na: 1\n...\n", {"a": 1, "b": 2}, "---\na: 1\nb: 2\n...\n"),
        ("a: [ # why\n  # lead\n  1, # one\n]\n", {"a": [0, 1]},
         "a: [ # why\n  0,\n  # lead\n  1, # one\n]\n"),
        ("a: [ # why\n  1, # one\n]\n", {"a": [1, 2]}, "a: [ # why\n  1, # one\n  2\n]\n"),
        ("a: [ # why\n  1 # one\n]\n", {"a": [1, 2]}, "a: [ # why\n  1, # one\n  2\n]\n"),
        ("a: [1, 2] # b\n", {"a": [0, 1, 2]}, "a: [0, 1, 2] # b\n"),
        ("a: [1, 2, ]\n", {"a": [1, 2, 3]}, "a: [1, 2, 3, ]\n"),
        ("a: [ # none\n]\n", {"a": [1]}, "a: [1 # none\n]\n"),
        ("a: [# none\n]\n", {"a": [1]}, "a: [1 # none\n]\n"),
        ("a: { # c\n    b: 1 # d\n  }\n", {"a": {"b": 1, "c": {"d": "y"}}},
         'a: { # c\n    b: 1, # d\n    "c": {\n        "d": "y"\n    }\n  }\n'),
        ("a: {b: }\n", {"a": {"b": None, "c": 1}}, 'a: {b: , "c": 1}\n'),
        ("a: {b}\n", {"a": {"b": None, "c": 1}}, 'a: {b, "c": 1}\n'),
        ("a: &x {b: 1}\nc: *x # kept\n", {"a": {"b": 1}, "c": {"b": 1}, "d": "y"},
         "a: &x {b: 1}\nc: *x # kept\nd: 'y'\n"),
        ("a: &x\n  - 1\n", {"a": [1, 2]}, "a: &x\n  - 1\n  - 2\n"),
        ("a: &x\n  b: 1\n", {"a": {"b": 1, "c": 2}}, "a: &x\n  b: 1\n  c: 2\n"),
        ("a: {<<: &x {b: 1}}\n", {"a": {"b": 1}, "c": 2}, "a: {<<: &x {b: 1}}\nc: 2\n"),
        ("a: # all\n\n# lead\n- b: 1\n", {"a": [{"c": 2}, {"b": 1}]},
         "a: # all\n- c: 2\n\n# lead\n- b: 1\n"),
        ("a: # all\n  # lead\n  - 1 # one\n", {"a": [0, 1]},
         "a: # all\n  - 0\n  # lead\n  - 1 # one\n"),
        ("a: 1 # x\u2028# y\nc: 1\n", {"a": 1, "c": 2}, "a: 1 # x\u2028# y\nc: 2\n"),
        ("a: 12:30:45\nb: 0o440\nc: '08'\n", {"a": "12:30:45", "b": 0o440, "c": "08", "d": "n"},
         "a: 12:30:45\nb: 0o440\nc: '08'\nd: 'n'\n"),
    ],
)  # fmt: skip
def test_only_what_differs_is_written(before: str, after: Any, printed: str) -> None:
    assert changed(before, after) == (printed, True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: &x {b: 1}\nc: *x # lost\n", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: &x\n  b: 1\nc: *x # lost\n", {"a": {"b": 2}, "c": {"b": 1}}),
        ("a: 1 # lost\nb: 2\n", {"a": 1}),
        ("a: | # lost\n  text\n", {"a": "other"}),
    ],
)
def test_what_stands_in_the_way_has_it_written_anew(before: str, after: Any) -> None:
    text, kept = changed(before, after)
    assert not kept
    assert yaml.safe_load(text) == after


def test_other_documents_of_the_stream_are_untouched() -> None:
    text = "# first\na: 1\n---\n# second\nb:   2\n---\nc: 3\n"
    before = read(text.encode(), "f.yaml")
    assert written(before, [{"a": 1}, {"b": 2, "x": 1}, {"c": 3}]) == (
        "# first\na: 1\n---\n# second\nb:   2\nx: 1\n---\nc: 3\n",
        [],
    )


@pytest.mark.parametrize(
    ("before", "after", "printed"),
    [
        ("# top\na: &x {b: \"y\", c: 0o17} # lost\nd: *x\n# end\n",
         {"a": {"b": "y", "c": 15, "e": "n"}, "d": {"b": "y", "c": 15}},
         "# top\na: {b: \"y\", c: 0o17, e: 'n'}\nd: {b: \"y\", c: 0o17}\n# end\n"),
        ("--- {a: &x [\"1e3\"], b: *x}\n", {"a": ["1e3", "08"], "b": ["1e3"]},
         "--- \n{a: [\"1e3\", '08'], b: [\"1e3\"]}\n"),
    ],
)  # fmt: skip
def test_a_document_that_is_written_anew_keeps_what_its_values_were_written_as(
    before: str, after: Any, printed: str
) -> None:
    assert changed(before, after) == (printed, False)


def test_what_spoils_one_document_costs_the_others_nothing() -> None:
    before = read(b"a: &x [1]\nb: *x # lost\n---\nc: 1 # kept\n", "f.yaml")
    after = [{"a": [1, 2], "b": [1]}, {"c": 1, "d": 2}]
    text, lost = written(before, after)
    assert text == "a: [1, 2]\nb: [1]\n---\nc: 1 # kept\nd: 2\n"
    assert lost == [0]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab1:-#'\"\n é", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    before=st.dictionaries(st.text("abc", min_size=1), PLAIN, min_size=1, max_size=4),
    more=st.dictionaries(st.text("abc", min_size=1), PLAIN, max_size=3),
    flow=st.sampled_from([False, True, None]),
)
def test_whatever_is_written_says_what_it_should(
    before: dict[str, Any], more: dict[str, Any], flow: bool | None
) -> None:
    text = yaml.safe_dump(before, default_flow_style=flow, allow_unicode=True)
    after = {**before, **more}
    assert yaml.safe_load(changed(text, after)[0]) == after


PIECES = st.sampled_from(
    ['"y"', "'n'", '"1e3"', "1e3", "'08'", "08", "0o17", '"0o17"', "1:30", "'1:30'", "~", "text",
     "2026-11-28", "'1e+3'", "on", "", "# x", "[1, '2']", "{a: 'y'}", "*x"]
)  # fmt: skip


def scalars(text: str) -> Counter[tuple[str, bool]]:
    """Each scalar's own text and whether it may be other than text, as the library parses it."""
    events = [event for event in yaml.parse(text) if isinstance(event, yaml.ScalarEvent)]
    return Counter((event.value, event.implicit[0]) for event in events)


@given(
    pieces=st.lists(PIECES, min_size=1, max_size=5),
    flow=st.booleans(),
    lines=st.booleans(),
    into=st.sampled_from(["first", "last", "beside"]),
)
def test_every_scalar_and_comment_of_the_text_is_still_there(
    pieces: list[str], flow: bool, lines: bool, into: str
) -> None:
    inside = [f"{piece or '~'}" for piece in pieces if piece != "# x"]
    comments = iter(f" # {number}\n  " if lines else " " for number in range(99))
    if flow:
        text = "[" + next(comments) + "".join(f"{one},{next(comments)}" for one in inside) + "]"
    else:
        text = "".join(f"\n  #{next(comments).strip()}\n  - {one}" for one in inside) or "[]"
    whole = f"x: &x 'y'\nk: {text}\nl: 1 # end\n"
    before = read(whole.encode(), "f.yaml")
    (old,) = before.documents
    items = {"first": ["no", *old["k"]], "last": [*old["k"], "no"], "beside": old["k"]}[into]
    printed, lost = written(before, [{**old, "k": items, "new": "no"}])
    assert lost == []
    fresh = scalars(printed) - scalars(whole)
    assert fresh.pop(("no", False)) == (1 if into == "beside" else 2)
    assert [value for value, _ in fresh] == ["new"]
    assert scalars(whole) - scalars(printed) == Counter()
    assert re.findall("#.*", printed) == re.findall("#.*", whole)


def problems(text: bytes) -> str:
    with pytest.raises(ConfigError) as error:
        read(text, "f.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a: [1\nb: 2\n", "f.yaml:2:2: "),
        (b"a: 1\nb: {c: 1, c: 2}\n", "f.yaml:2:11: b.c: is here twice"),
        (b"a: \xff\n", "this is not UTF-8"),
        (b"a: !!python/object:x {}\n", "f.yaml:1:4: "),
        (b"[" * 100_000, "more than 64 levels deep"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: bytes, told: str) -> None:
    assert told in problems(text)


def test_dates_stay_text_and_octal_modes_are_numbers() -> None:
    (document,) = read(b"on: 2026-11-28\nmode: 0644\n", "f.yaml").documents
    assert list(document.values()) == ["2026-11-28", 0o644]
