"""What is not supported yet says so, and nothing that works does."""

from __future__ import annotations

import pytest

from meshproxy.settings import future
from meshproxy.settings.schema import File
from meshproxy.settings.sentences import keys_at


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (("inbound", "routes", 0, "mirror"), "not supported yet: mirroring of traffic"),
        (("tracing", "export"), None),
        (("inbound", "timeuot"), None),
    ],
)
def test_a_key_of_a_later_version_is_told_from_a_typing_error(
    path: tuple[str | int, ...], told: str | None
) -> None:
    assert future.key(path) == told


@pytest.mark.parametrize(
    ("path", "found", "told"),
    [
        (("inbound", "load_balancer"), "maglev", "not supported yet: maglev"),
        (("inbound", "load_balancer"), "peak", None),
        ((), "pass", None),
    ],
)
def test_a_word_of_a_later_version_is_told_from_a_wrong_one(
    path: tuple[str, ...], found: object, told: str | None
) -> None:
    assert future.value(path, found) == told


def test_no_key_that_works_is_said_to_be_missing() -> None:
    places: list[tuple[str | int, ...]] = [
        (),
        *((name,) for name in File.model_fields),
        ("inbound", "routes", 0),
        ("outbound", "defaults"),
        ("outbound", "services", "x"),
        ("outbound", "services", "x", "routes", 0),
        ("inbound", "retry"),
        ("inbound", "circuit_breaker"),
        ("inbound", "rate_limits", 0),
    ]
    for place in places:
        assert [name for name in keys_at(place) if future.key((*place, name))] == []
