"""Endpoints by tier and by version, where they differ in it."""

from __future__ import annotations

import pytest

from meshproxy.core.route import Endpoint
from meshproxy.settings.addresses import Address
from meshproxy.settings.targets import Target, tiers, versions


def made(*targets: tuple[int, str]) -> dict[Endpoint, Target]:
    return {
        Endpoint(f"h{n}:1", f"h{n}", 1): Target(Address(f"h{n}", 1), 1, tier, version)
        for n, (tier, version) in enumerate(targets)
    }


def test_tiers_are_told_where_there_are_several() -> None:
    some = made((3, ""), (0, ""), (3, ""))
    assert [[end.host for end in tier] for tier in tiers(some)] == [["h1"], ["h0", "h2"]]
    assert tiers(made((2, ""), (2, ""))) == ()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["v1", "v2", "v1"], ["v1", "v2", "v1"]),
        (["", "v2"], ["", "v2"]),  # a canary beside those that say nothing
        (["v1", "v1"], []),
        (["", ""], []),
        (["v1"], []),
    ],
)
def test_versions_are_told_where_they_differ(said: list[str], told: list[str]) -> None:
    assert list(versions(made(*((0, version) for version in said))).values()) == told
