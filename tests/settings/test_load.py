"""Reading a file: what YAML may say, what stays text, and where each value stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.settings.errors import ConfigError, Problem
from meshproxy.settings.load import MAX_BYTES, MAX_DEPTH, Document, read, resolve


def tree_of(text: str, **environment: str) -> object:
    return read(text.encode(), "f.yaml", environment).tree


def told(text: str, **environment: str) -> list[str]:
    document = read(text.encode(), "f.yaml", environment)
    return [problem.text("f.yaml") for problem in document.problems]


@pytest.mark.parametrize(
    "word",
    ["on", "off", "yes", "no", "y", "1:30", "0o17", "0x1f", "017", "1_000", "2024-01-01", ".inf",
     "nan", "+", "-", ".5", "5.", "<<x", "tRue", "NULl", "1e", "=", "1.2.3"],
)  # fmt: skip
def test_words_that_yaml_1_1_takes_for_something_else_stay_text(word: str) -> None:
    assert resolve(word) == word


@pytest.mark.parametrize(
    ("word", "value"),
    [("true", True), ("false", False), ("null", None), ("~", None), ("", None), ("0", 0),
     ("-7", -7), ("1.5", 1.5), ("1e3", 1000.0), ("65535", 65535)],
)  # fmt: skip
def test_booleans_null_and_decimal_numbers_are_what_they_look_like(
    word: str, value: object
) -> None:
    assert resolve(word) == value
    assert type(resolve(word)) is type(value)


def test_quotes_keep_a_number_text() -> None:
    assert tree_of("a: '1'\nb: 1\n") == {"a": "1", "b": 1}


def test_off_and_on_stay_keys() -> None:
    assert tree_of("on: off\n") == {"on": "off"}


def test_every_value_and_key_knows_its_line_and_column() -> None:
    document = read(b"a:\n  b: [x, y]\n", "f.yaml", {})
    assert document.mark(("a", "b", 1)) == (2, 10)
    assert document.key_mark(("a", "b")) == (2, 3)
    assert document.rule(("a", "b")) == "f.yaml:2"


def test_the_place_of_what_is_not_there_is_that_of_what_is_around_it() -> None:
    document = read(b"a:\n  b: 1\n", "f.yaml", {})
    assert document.mark(("a", "c", "d")) == (2, 3)


def test_a_missing_item_keeps_the_indexes_of_those_after_it() -> None:
    assert told("a: [1, *x, 3]") == ["f.yaml:1:8: a[1]: alias '*x': write the value out instead"]
    assert tree_of("a: [1, *x, 3]") == {"a": [1, None, 3]}


def test_an_empty_file_is_an_empty_tree() -> None:
    assert tree_of("") == {}
    assert tree_of("# only a comment\n") == {}


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert read(b"\xef\xbb\xbfa: 1\n", "f.yaml", {}).tree == {"a": 1}


def test_a_variable_in_a_plain_scalar_may_become_a_number() -> None:
    assert tree_of("port: ${PORT}\ntext: '${PORT}'\n", PORT="80") == {"port": 80, "text": "80"}


def test_what_a_variable_holds_never_becomes_structure_or_another_variable() -> None:
    holds = "{a: 1}\nb: ${SECRET}"
    assert tree_of("x: ${V}\n", V=holds, SECRET="s") == {"x": holds}


def test_a_file_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        read(b"#" * (MAX_BYTES + 1), "f.yaml", {})


def test_the_deepest_file_allowed_is_read_and_one_level_more_is_not() -> None:
    fits = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert tree_of(fits)
    with pytest.raises(ConfigError, match="nested deeper than 32 levels"):
        tree_of("a: " + "[" * 100_000)


def test_a_secret_is_read_from_its_file_and_remembered() -> None:
    files = {"/run/secrets/x": b"hush\n"}
    document = read(b"a: file:/run/secrets/x\n", "f.yaml", {}, files.__getitem__)
    assert document.tree == {"a": "hush"}
    assert document.secrets == {"hush"}


def test_the_name_of_a_secret_may_hold_a_variable() -> None:
    files = {"/etc/x": b"hush"}
    document = read(b"a: file:${DIR}/x\n", "f.yaml", {"DIR": "/etc"}, files.__getitem__)
    assert document.tree == {"a": "hush"}


def test_a_variable_cannot_name_a_secret() -> None:
    document = read(b"a: ${V}\n", "f.yaml", {"V": "file:/etc/shadow"}, {}.__getitem__)
    assert document.tree == {"a": "file:/etc/shadow"}


def test_a_secret_that_is_too_large_or_no_text_is_refused() -> None:
    files = {"/big": b"x" * 70_000, "/raw": b"\xff"}
    document = read(b"a: file:/big\nb: file:/raw\n", "f.yaml", {}, files.__getitem__)
    assert [problem.message for problem in document.problems] == [
        "secret file /big is larger than 64 KiB",
        "cannot read secret file /raw: not UTF-8",
    ]


def test_a_written_answer_may_stand_in_a_file_and_is_no_secret() -> None:
    files = {"/items.json": b"[]\n"}
    text = b"fallback: {static: {body: 'file:/items.json'}}\n"
    document = read(text, "f.yaml", {}, files.__getitem__)
    assert document.tree == {"fallback": {"static": {"body": "[]"}}}
    assert (document.secrets, document.secret_paths) == (set(), set())


def test_such_a_file_is_not_called_a_secret_when_it_is_too_large() -> None:
    document = read(b"static: {body: 'file:/big'}\n", "f.yaml", {}, {"/big": b"x" * 70_000}.get)
    assert [problem.message for problem in document.problems] == ["file /big is larger than 64 KiB"]


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_reasons(data: bytes) -> None:
    assert _outcome(data)


@given(st.text(alphabet="ab:-[]{},&*!|>'\"%#\n <$?~\t", max_size=80))
def test_any_yaml_like_text_is_read_or_refused_with_reasons(text: str) -> None:
    assert _outcome(text.encode())


def _outcome(data: bytes) -> Document | tuple[Problem, ...]:
    try:
        return read(data, "f.yaml", {})
    except ConfigError as error:
        return error.problems
