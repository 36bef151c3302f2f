"""What was refused so that the rest could be served, and why: one cell of counts for all policies.

Words for why: `concurrency` (no place and no room to wait), `queue_timeout` (no place in time),
`loop_lag` and `memory` (this process has too much to do).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from meshproxy.core.report import Sample
from meshproxy.policies.contract import Scope


class Sheds:
    """Refusals by direction, route and why."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, direction: str, route: str, why: str) -> None:
        self.counts[direction, route, why] += 1

    def samples(self) -> Iterable[Sample]:
        for (direction, route, why), count in self.counts.items():
            labels = (("direction", direction), ("route", route), ("why", why))
            yield Sample("meshproxy_shed_total", labels, float(count))


def sheds(scope: Scope) -> Sheds:
    """The counts, found again after a reload."""
    return scope.draft.state(("shed",), Sheds)
