"""A route or a field says how important a request is; only who is trusted may raise itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshproxy.policies.priority import PrioritySpec

from .limits_scene import Scene, exchange


def level(said: Any, trusted: bool = True, **headers: str) -> int:
    """The priority that an exchange gets."""
    policy = PrioritySpec.model_validate(said).build(Scene().scope())
    made = exchange(trusted=trusted, **headers)
    if policy is not None:
        policy.admit(made, 1000.0)
    return made.priority


@pytest.mark.parametrize(("word", "expected"), [("high", 0), ("normal", 1), ("low", 2)])
def test_a_route_says_it_in_a_word(word: str, expected: int) -> None:
    assert level(word) == expected


def test_the_plain_one_is_no_policy_at_all() -> None:
    assert PrioritySpec.model_validate("normal").build(Scene().scope()) is None


BY_HEADER = {"header": "X-Priority", "high": ["critical"], "low": ["batch", "sheddable"]}


@pytest.mark.parametrize(
    ("value", "trusted", "expected"),
    [
        ("critical", True, 0),
        ("critical", False, 1),
        ("batch", True, 2),
        ("sheddable", False, 2),
        ("CRITICAL", True, 1),
        ("", True, 1),
    ],
)
def test_a_field_says_it(value: str, trusted: bool, expected: int) -> None:
    assert level(BY_HEADER, trusted, x_priority=value) == expected
    assert level(BY_HEADER, trusted) == 1


def test_a_stranger_cannot_rise_above_its_route() -> None:
    said = {"level": "low", "header": "x-priority"}
    assert level(said, trusted=False, x_priority="high") == 2
    assert level(said, trusted=True, x_priority="high") == 0


def test_the_field_is_named_to_whoever_reads_heads() -> None:
    policy = PrioritySpec.model_validate(BY_HEADER).build(Scene().scope())
    assert getattr(policy, "reads", None) == {b"x-priority"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("urgent", "write high, normal or low"),
        ({"high": ["a"]}, "name it"),
        ({"header": "x-p", "high": ["a"], "low": ["a"]}, "must not share"),
        ({"header": "x p"}, "pattern"),
    ],
)
def test_what_makes_no_sense_is_refused(said: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        PrioritySpec.model_validate(said)
