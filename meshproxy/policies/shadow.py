"""Shadow mode: a rule that is tried out on real traffic, refuses nothing, and counts what it would.

One cell of counts for all policies, so that no series comes twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from meshproxy.core.report import Sample
from meshproxy.policies.contract import Scope

Mode: TypeAlias = Annotated[
    Literal["off", "shadow", "enforce"],
    Field(description="shadow changes no answer and counts what enforce would have refused."),
]


class Shadows:
    """What would have been refused, by policy, direction, route and limit."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str, str]] = Counter()

    def count(self, policy: str, direction: str, route: str, limit: str) -> None:
        self.counts[policy, direction, route, limit] += 1

    def samples(self) -> Iterable[Sample]:
        for (policy, direction, route, limit), count in self.counts.items():
            labels = (
                ("policy", policy), ("direction", direction), ("route", route), ("limit", limit),
            )  # fmt: skip
            yield Sample("meshproxy_shadow_total", labels, float(count))


def shadows(scope: Scope) -> Shadows:
    """The counts, found again after a reload."""
    return scope.draft.state(("shadow",), Shadows)
