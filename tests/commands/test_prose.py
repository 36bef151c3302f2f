"""The text of an explanation: three columns, each row with its line of the file."""

from __future__ import annotations

from typing import Any

import pytest

from meshproxy.commands.prose import WHAT, WHO, lines, place


def answer(**more: Any) -> dict[str, Any]:
    return {
        "says": "forwarded to 10.0.0.1:80 of users",
        "request": {
            "method": "GET", "target": "/x", "host": "users", "client": "::1", "trusted": True,
        },
        "verdict": {"rule": ""},
        "listener": {"name": "outbound", "address": ":1", "rule": "outbound.listen (f.yaml:3)"},
        "route": {"name": "default", "rule": "outbound.services.u (f.yaml:9)", "fallback": None},
        "steps": [{"policy": "retry", "says": "again " * 30, "rule": "retry (default)"}],
        "endpoints": [
            {"address": "10.0.0.1:80", "chance": 1.0, "eligible": True, "why": "circuit closed",
             "in_flight": 2, "cost": 0.01},
            {"address": "10.0.0.2:80", "chance": 0.0, "eligible": False, "why": "circuit open",
             "in_flight": 0, "cost": 0.0},
        ],
        "pick": {"kind": "certain", "says": "its turn", "candidates": [{"address": "10.0.0.1:80"}]},
        "rewrites": {
            "target": "/y", "changed": [], "dropped": ["te", "a"],
            "added": [{"name": "via", "value": "1.1 b"}, {"name": "c", "value": "d"}],
        },
        "timeouts": [{"what": "timeout", "seconds": None, "rule": "timeout (f.yaml:4)"}],
        "worst_case": {"says": "up to 3 attempts, 2s"},
        **more,
    }  # fmt: skip


def test_what_it_comes_to_stands_first_and_columns_are_aligned() -> None:
    text = list(lines(answer()))
    assert text[:2] == ["GET /x, host users", "  forwarded to 10.0.0.1:80 of users"]
    placed = [line for line in text if line.endswith(("f.yaml:3", "f.yaml:9", "default"))]
    assert {line[WHO + WHAT :].lstrip() for line in placed} == {"f.yaml:3", "f.yaml:9", "default"}
    (row,) = [line for line in text if line.startswith("retry")]
    assert row[WHO:].startswith("again again")
    assert text[text.index(row) + 1].startswith(" " * WHO + "again")


def test_each_part_has_its_rows() -> None:
    text = "\n".join(lines(answer()))
    for said in (
        "may be tried, chance 100.0%; circuit closed; 2 in flight, answers in 10",
        "left out; circuit open; 0 in flight",
        "pick              10.0.0.1:80: its turn",
        "goes on as        /y",
        "added             via: 1.1 b\n                  c: d",
        "dropped           te, a",
        "timeout           off",
        "worst case        up to 3 attempts, 2s",
    ):
        assert said in text


def test_a_refusal_has_no_ways() -> None:
    told = answer(
        verdict={"rule": "inbound (f.yaml:2)"}, endpoints=[], pick=None, rewrites=None, timeouts=[],
        worst_case=None, steps=[],
    )  # fmt: skip
    text = list(lines(told))
    assert text[2] == "  by inbound (f.yaml:2)"
    assert text[-1].startswith("route")


def test_where_a_fallback_leads_is_a_row() -> None:
    fallback = {"name": "default", "upstream": "b", "rule": "b (f.yaml:1)"}
    route = {**answer()["route"], "fallback": fallback}
    (row,) = [line for line in lines(answer(route=route)) if line.startswith("then")]
    assert row[WHO:].split() == ["default", "of", "b", "f.yaml:1"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [("a.b (f.yaml:2)", "f.yaml:2"), ("a (default)", "default"), ("", ""), ("plain", "plain")],
)
def test_a_place_is_the_end_of_a_rule(rule: str, said: str) -> None:
    assert place(rule) == said
