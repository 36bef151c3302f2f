"""The places that a route lies in, from the outermost in, and which of them speaks.

Decides who owns a policy: the innermost place that says something of it, so that its state
is shared exactly as widely as the rule was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meshproxy.policies.contract import Spec
from meshproxy.settings.errors import Path
from meshproxy.settings.schema import OFF, InboundRoute, OutboundRoute, Timeouts
from meshproxy.settings.validate import Settings


@dataclass(frozen=True, slots=True)
class Step:
    """One place: where it stands in the file, the name its state goes by, and what it says."""

    path: Path
    owner: str
    place: Timeouts


@dataclass(frozen=True, slots=True)
class Chain:
    """All places around a route and the route itself."""

    direction: str
    steps: tuple[Step, ...]

    @property
    def innermost(self) -> Step:
        return self.steps[-1]

    def inner(self, index: int, route: InboundRoute | OutboundRoute) -> Chain:
        """The chain of one of the routes in this place. State goes by the route's label, so
        that it stays when routes are moved about."""
        outer = self.innermost
        path = (*outer.path, "routes", index)
        step = Step(path, f"{outer.owner}.routes.{route.label()}", route)
        return Chain(self.direction, (*self.steps, step))

    def speaker(self, key: str, settings: Settings) -> tuple[Step, Path]:
        """The innermost step that says something under `key`, and the path of that.

        Where none does, the place right around the routes stands for it.
        """
        for step in reversed(self.steps):
            path = (*step.path, key)
            if settings.says(path):
                return step, path
        around = next(step for step in reversed(self.steps) if step.path[-2:-1] != ("routes",))
        return around, around.path

    def items(self, spec: type[Spec]) -> Iterator[tuple[Step, Path, Any]]:
        """Each entry of lists that add up, outermost first; an `off` drops those around it."""
        steps = self.steps
        for index, step in enumerate(self.steps):
            if getattr(step.place, spec.key) == OFF:
                steps = self.steps[index + 1 :]
        for step in steps:
            for index, item in enumerate(getattr(step.place, spec.key)):
                yield step, (*step.path, spec.key, index), item
