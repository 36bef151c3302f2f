"""A line for people says what the log's line says, in columns and in printable ASCII."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshproxy.telemetry.columns import HEAD, text_line

FIELDS: dict[str, Any] = {
    "time": "2023-11-14T22:13:20.250Z",
    "direction": "inbound",
    "status": 503,
    "reason": "URX,UF",
    "method": "POST",
    "path": "/orders",
    "route": "create-order",
    "endpoint": "127.0.0.1:8080",
    "duration_ms": 250.0,
    "attempts": 2,
    "request_id": "abc",
}


def test_what_people_look_for_stands_in_columns() -> None:
    line = text_line(FIELDS).decode()
    assert line.split() == [
        "22:13:20.250", "in", "503", "URX,UF", "POST", "/orders", "create-order", "->",
        "127.0.0.1:8080", "250.0ms", "2x", "abc",
    ]  # fmt: skip
    for head, word in (("st.", "503"), ("reason", "URX"), ("path", "/orders"), ("route", "create")):
        assert HEAD.index(head) == line.index(word)


def test_what_is_missing_is_a_dash_and_long_times_are_in_seconds() -> None:
    none = {
        "direction": "outbound",
        "reason": "",
        "method": "",
        "path": "",
        "endpoint": "",
        "request_id": "",
    }
    line = text_line({**FIELDS, **none, "duration_ms": 12345.6}).decode()
    assert line.split() == [
        "22:13:20.250", "out", "503", "-", "-", "-", "create-order", "->", "-", "12.346s", "2x",
        "-",
    ]  # fmt: skip


@given(st.text(max_size=40))
def test_whatever_it_holds_it_is_one_line(text: str) -> None:
    line = text_line({**FIELDS, "route": text, "endpoint": text, "path": text})
    assert line.count(b"\n") == 1
    assert line[:-1].decode("ascii").isprintable()
