"""What a text says and where it stands, and what of it cannot be read."""

from __future__ import annotations

import pytest

from meshproxy.commands.documents import Kind, composed, read
from meshproxy.settings.errors import ConfigError


def said(text: str) -> object:
    (document,) = read(text.encode(), "f.yaml").documents
    return document


def problems(data: bytes) -> str:
    with pytest.raises(ConfigError) as error:
        read(data, "f.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 12:30:45, b: 1:30}", {"a": "12:30:45", "b": "1:30"}),
        ("a: 2026-11-28\nb: 2026-11-28T10:00:00Z\n",
         {"a": "2026-11-28", "b": "2026-11-28T10:00:00Z"}),
        ("{a: 0o440, b: 0440, c: '0440'}", {"a": 0o440, "b": 0o440, "c": "0440"}),
        ("{a: 1e3, b: \"1e3\", c: 08}", {"a": 1000.0, "b": "1e3", "c": 8.0}),
        ("{a: y, b: 'y', c: ~, d: }", {"a": True, "b": "y", "c": None, "d": None}),
        ("{a: !!str 5, b: ! 5, c: |-\n  5\n}", None),
        ("a: !!str 5\nb: ! 5\nc: |-\n  5\nd: !!int '5'\n", {"a": "5", "b": "5", "c": "5", "d": 5}),
        ("{on: 1, 8080: 2}", {"on": 1, "8080": 2}),
        ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("x: [&a {b: 1, c: 1}, &d {b: 2, e: 2}]\ny: {<<: [*a, *d], c: 3}\n",
         {"x": [{"b": 1, "c": 1}, {"b": 2, "e": 2}], "y": {"b": 1, "e": 2, "c": 3}}),
    ],
)  # fmt: skip
def test_it_is_read_as_kubectl_reads(text: str, value: object) -> None:
    if value is None:
        assert "f.yaml:" in problems(text.encode())
    else:
        assert said(text) == value


def test_what_an_alias_repeats_is_the_same_tree() -> None:
    (document,) = read(b"a: &x {b: 1}\nc: *x\n", "f.yaml").documents
    assert document["a"] is document["c"]


def test_a_piece_is_where_it_stands_and_an_alias_where_the_alias_does() -> None:
    text = "é: &x {b: 1} # ü\r\nc: *x\r\n"
    (node,) = composed(text)
    _, first, _, second = node.items
    assert text[first.start.at : first.end.at] == "&x {b: 1}"
    assert text[first.inner - 1] == "{"
    assert (second.kind, text[second.start.at : second.end.at]) == (Kind.ALIAS, "*x")
    assert (second.start.line, second.start.column) == (1, 3)
    assert second.meant is first


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a: [1\nb: 2\n", "f.yaml:2:2: "),
        (b"a: 1\nb: {c: 1, c: 2}\n", "f.yaml:2:11: b.c: is here twice"),
        (b"a: 1\nb: \xc3\xa9\xff\n", "f.yaml:2:5: this is not UTF-8"),
        (b"\xef\xbb\xbfa: \xff\n", "f.yaml:1:4: this is not UTF-8"),
        (b"a: 1\nb: x\0\n", "f.yaml:2:5: the character U+0000 may not be in YAML"),
        (b"a: !!python/object:x {}\n", "f.yaml:1:4: "),
        (b"a:\n  {b: 1}: 2\n", "f.yaml:2:3: a: a key must be text, not a mapping"),
        (b"a: *x\n", "f.yaml:1:4: there is no &x"),
        (b"a: &x [*x]\n", "f.yaml:1:8: there is no &x that ends before this"),
        (b"a:\n  <<: 5\n", "f.yaml:2:7: a.<<: only mappings can be merged"),
        (b"a:\n " + b"[" * 100_000, "f.yaml:2:65: more than 64 levels deep"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(data: bytes, told: str) -> None:
    assert told in problems(data)


def test_few_lines_that_mean_billions_of_values_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "more than 5000000 values" in problems("\n".join(lines).encode())
