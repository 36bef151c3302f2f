"""What is written without a text to keep says the same to every reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.commands.anew import agree, becoming, block, leading, made, same
from meshproxy.commands.documents import composed
from meshproxy.commands.scalars import doubtful, resolve

TEXTS = st.text("0123456789abefoxynlusBOX._:+-~=< '\"#\n", max_size=6)

TREES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers(-(2**63), 2**63),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def anew(text: str) -> str:
    """A text as it is written where nothing in it changes but that it is written."""
    (node,) = composed(text)
    return block(node)


@pytest.mark.parametrize("value", ["y", "n", "1e3", "1e+3", "0o17", "08", "1:30", "", "null", "="])
def test_our_own_strings_get_quotes_where_there_is_a_doubt(value: str) -> None:
    assert block(made({"a": value})) == f"a: '{value}'\n"


def test_others_get_none() -> None:
    tree = {"a": ["run", ":8080"], "b": True, "c": None, "d": 15006, "e": {}}
    assert block(made(tree)) == "a:\n- run\n- :8080\nb: true\nc: null\nd: 15006\ne: {}\n"


@pytest.mark.parametrize(
    "text",
    ["a: \"y\"\n", "a: 'y'\n", "a: y\n", "a: 0o17\n", "a: \"0o17\"\n", "a: 1e3\n", "a: '1e+3'\n",
     "a: 12:30:45\n", "a: 2026-11-28\n", "a: |\n  one\n  two\n", "'on': 1\n", "on: 1\n",
     "a: {b: \"n\", c: 08}\n", "a: ~\n", "a: '# no comment'\n"],
)  # fmt: skip
def test_what_comes_from_the_input_keeps_its_text_and_quotes(text: str) -> None:
    assert anew(text) == text


def test_a_value_of_no_text_does_not_become_a_string() -> None:
    assert anew("{a: , b: 1}\n") == "{a: null, b: 1}\n"


def test_what_stands_there_twice_is_an_alias_the_second_time() -> None:
    assert anew("a: &x\n  b: 1\nc: *x\n") == "a: &id001\n  b: 1\nc: *id001\n"


def test_pieces_that_say_the_same_are_kept_and_others_are_ours() -> None:
    (node,) = composed('a: "y"\nb: [0o17, "1e3"]\nc: 1\n')
    after = becoming(node, {"a": "y", "b": [5, 15, "1e3", "n"], "c": 2, "d": "off"})
    assert block(after) == "a: \"y\"\nb: [5, 15, '1e3', 'n']\nc: 2\nd: 'off'\n"


def test_equal_is_not_the_same() -> None:
    assert not same({"a": [1]}, {"a": [True]})
    assert not same(1, 1.0)
    assert same({"a": [1], "b": None}, {"b": None, "a": [1]})


def test_only_what_was_put_before_all_others_leads() -> None:
    assert leading([1, 2], [0, 1, 2]) == 1
    assert leading([1, 2], [1, 2, 3]) == 0
    assert leading([1, 2], [2]) == 0


@pytest.mark.parametrize(
    ("one", "other", "agreed"),
    [
        ("a: 'y'\n", 'a: "y"\n', True),
        ("a: y\n", "a: 'y'\n", False),
        ("a: 1:30\n", "a: '1:30'\n", False),  # a number to readers of YAML 1.1
        ("a: '1:30'\n", "a: 1:30\n", True),  # text to kubectl, and now to all others as well
        ("a: '1e3'\n", "a: 1e3\n", False),
        ("a: 017\n", "a: 15\n", False),
        ("a: ~\n", "a:\n", True),
        ("a: text\n", "a: 'text'\n", True),
        ("on: 1\n", "'on': 1\n", False),
    ],
)
def test_texts_agree_if_all_readers_see_the_same(one: str, other: str, agreed: bool) -> None:
    assert agree(composed(one)[0], composed(other)[0]) is agreed


@given(TREES)
def test_another_reader_sees_what_ours_does(value: Any) -> None:
    text = block(made({"a": value}))
    assert yaml.safe_load(text) == {"a": value}
    assert composed(text)[0].value == {"a": value}


@given(texts=st.lists(TEXTS, min_size=1, max_size=4), flow=st.booleans())
def test_quoted_strings_stay_quoted_whoever_reads(texts: list[str], flow: bool) -> None:
    quoted = [json.dumps(text) for text in texts]
    text = f"a: [{', '.join(quoted)}]\n" if flow else "".join(f"- {one}\n" for one in quoted)
    written = anew(text)
    told = [event.value for event in yaml.parse(written) if isinstance(event, yaml.ScalarEvent)
            and not event.implicit[0]]  # fmt: skip
    # The parser of the library alone: what is not plain is text to any reader.
    assert [one for one in told if one != "a"] == [one for one in texts if one != "a"]


@given(TEXTS.filter(lambda text: not doubtful(text)))
def test_no_text_without_a_doubt_is_anything_else(text: str) -> None:
    assert resolve(text) == text
