"""How problems are written."""

from __future__ import annotations

from meshproxy.settings.errors import ConfigError, Problem, nearest, spell


def test_problems_stand_in_the_order_of_the_file_and_once_each() -> None:
    late, early = Problem(9, 1, ("b",), "no"), Problem(2, 5, ("a", 0, "c"), "bad")
    error = ConfigError("f.yaml", [late, early, late])
    assert error.lines() == ["f.yaml:2:5: a[0].c: bad", "f.yaml:9:1: b: no"]
    assert str(error) == "f.yaml:2:5: a[0].c: bad\nf.yaml:9:1: b: no"


def test_a_problem_without_a_place_names_the_file_alone() -> None:
    assert Problem(0, 0, (), "too large").text("f.yaml") == "f.yaml: too large"


def test_programs_get_the_parts() -> None:
    record = ConfigError("f.yaml", [Problem(2, 5, ("a", 0), "bad")]).records()
    assert record == [{"file": "f.yaml", "line": 2, "column": 5, "path": "a[0]", "message": "bad"}]


def test_a_path_is_spelled_as_people_write_it() -> None:
    assert spell(("inbound", "routes", 0, "match")) == "inbound.routes[0].match"


def test_a_near_word_is_offered_and_else_all_words() -> None:
    assert nearest("timeuot", ["timeout", "listen"]) == ", did you mean 'timeout'?"
    assert nearest("zzz", ["timeout", "listen"]) == ", known here: listen, timeout"
    assert nearest("zzz", []) == ""
