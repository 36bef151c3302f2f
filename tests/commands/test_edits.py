"""A text says something new and is otherwise what it was."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.commands.edits import read, written
from meshproxy.settings.errors import ConfigError


def changed(text: str, after: Any) -> tuple[str, bool]:
    return written(read(text.encode(), "f.yaml"), [after])


@pytest.mark.parametrize(
    ("before", "after", "printed"),
    [
        ("a: 1 # why\n", {"a": 2}, "a: 2 # why\n"),
        ("a: 1", {"a": 1, "b": 2}, "a: 1\nb: 2\n"),
        ("a:\n  b: 1\n# end\nc: 3\n", {"a": {"b": 1, "x": 2}, "c": 3},
         "a:\n  b: 1\n  x: 2\n# end\nc: 3\n"),
        ("a: {b: 1} # x\nc: 3\n", {"a": {"b": 2}, "c": 3}, 'a: {"b": 2} # x\nc: 3\n'),
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
        True,
    )


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
