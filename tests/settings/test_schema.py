"""The models: policies from the registry, off wherever a policy may stand, nothing unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from meshproxy.policies.registry import REGISTRY
from meshproxy.settings.schema import TOP_LEVEL, File, policy


def file(**keys: object) -> File:
    return File.model_validate_json(json.dumps(keys), strict=True)


@pytest.mark.parametrize("spec", REGISTRY, ids=lambda spec: spec.key)
def test_every_policy_of_the_registry_has_its_key_and_may_be_off(spec: Any) -> None:
    if spec.key in TOP_LEVEL:
        assert policy(file(**{spec.key: "off"}), spec) is None
        return
    made = file(inbound={"app": ":80", spec.key: "off"}).inbound
    assert made is not None
    assert policy(made, spec) is None


@pytest.mark.parametrize("spec", REGISTRY, ids=lambda spec: spec.key)
def test_a_policy_that_is_always_there_is_there_unasked(spec: Any) -> None:
    made = file(outbound={"services": {"a": {"endpoints": ["b:80"]}}})
    assert made.outbound is not None
    place: Any = made if spec.key in TOP_LEVEL else made.outbound.services["a"]
    there = policy(place, spec)
    assert bool(there) is (spec.always and "outbound" in spec.always_at)


def test_a_model_cannot_be_changed() -> None:
    made = file(inbound={"app": ":80"})
    with pytest.raises(ValidationError):
        made.workers = 2


@pytest.mark.parametrize(
    "keys",
    [
        {"workers": True},
        {"workers": "1"},
        {"limits": {"headers": "100"}},
        {"limits": {"headers": 100.0}},
        {"logs": {"access": {"errors": 1}}},
        {"service": {"name": 5}},
    ],
)
def test_nothing_is_taken_for_what_it_is_not(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        file(**keys)


def test_a_route_is_called_by_its_name_or_its_match() -> None:
    made = file(
        inbound={"app": ":80", "routes": [{"name": "x", "match": "/a"}, {"match": "GET /b"}]}
    )
    assert made.inbound is not None
    assert [route.label() for route in made.inbound.routes] == ["x", "GET /b"]
